"""The text that lets a process into a group that spans nodes. Torch-free."""

from collections.abc import Mapping

from paddock.engine.distributed.topology import Topology
from paddock.engine.settings import SettingsError

VARIABLE = "PADDOCK_GROUP_SECRET"
SHORTEST = 16


def group_secret(environ: Mapping[str, str], topology: Topology) -> str | None:
    """None for a single command, whose sockets are files of this user alone. Raises `SettingsError`."""
    return required_secret(environ) if topology.meets_over_network else None


def required_secret(environ: Mapping[str, str]) -> str:
    """Raises `SettingsError`."""
    secret = environ.get(VARIABLE, "").strip()
    if len(secret) < SHORTEST:
        state = "is too short" if secret else "is not set"
        raise SettingsError(
            f"{VARIABLE} {state}: the nodes of one engine trust whoever knows it. Give every node the same text of at "
            f"least {SHORTEST} characters, for example from `openssl rand -hex 32`."
        )
    return secret
