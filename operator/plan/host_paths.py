"""Which folders of a node a resource may mount."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from paddock.operator.plan.refusal import Refusal


@dataclass(frozen=True)
class HostPathPolicy:
    """None, unless the operator's administrator says so."""

    allowed: bool = False
    prefixes: tuple[str, ...] = ()

    def check(self, path: str, field: str) -> None:
        """Raises Refusal, which names `field`, unless `path` lies under an allowed folder."""
        if not self.allowed:
            raise Refusal(
                "HostPathNotAllowed",
                f"{field}: file://{path} needs a host path, which this operator does not allow: use pvc://, or let the "
                "administrator allow its folder (PADDOCK_ALLOW_HOST_PATH, PADDOCK_HOST_PATH_PREFIXES)",
            )
        if not any(_under(path, prefix) for prefix in self.prefixes):
            raise Refusal(
                "HostPathNotAllowed",
                f"{field}: {path} is under none of the folders that this operator allows: "
                f"{', '.join(self.prefixes) or 'none is configured (PADDOCK_HOST_PATH_PREFIXES)'}",
            )


def _under(path: str, prefix: str) -> bool:
    prefix = posixpath.normpath(prefix)
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")
