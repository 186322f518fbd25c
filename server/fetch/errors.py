"""What can go wrong with a download."""

import errno


class FetchError(Exception):
    """The model is not in the cache. The text names the address, what is wrong and what to do; it holds no secret."""


def of_disk(error: OSError, folder: object) -> FetchError:
    """In words, for what a file system refuses."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return FetchError(
            f"the cache {folder} cannot be written ({error.strerror}): give the claim an access mode that allows writing, "
            "or let user 65532 write to the folder"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FetchError(f"the cache {folder} is full: enlarge it, or remove models that nobody serves")
    return FetchError(f"the cache {folder}: {error.strerror or error}")
