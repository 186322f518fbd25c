"""What an outside launcher, such as torchrun, tells each process it starts (`external_launcher`). Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Launched:
    """One process for each rank; that of rank 0 leads and serves the API."""

    rank: int
    world_size: int
    local_world_size: int
    master_addr: str

    @staticmethod
    def read(environ: Mapping[str, str]) -> "Launched":
        """Raises `ValueError` in words for the user."""
        rank, world, local = (_count(environ, name) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        if not rank < world or not local or world % local:
            raise ValueError(
                f"RANK {rank}, WORLD_SIZE {world} and LOCAL_WORLD_SIZE {local} do not fit each other; start every rank "
                "by the same torchrun command."
            )
        return Launched(rank, world, local, environ.get("MASTER_ADDR", ""))


def _count(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    if not text.isdigit():
        raise ValueError(
            f"--distributed-executor-backend external_launcher needs {name} from the launcher, which is {text!r}; "
            "start it as: torchrun --nproc-per-node RANKS -m paddock.server serve MODEL …, or leave the flag out."
        )
    return int(text)
