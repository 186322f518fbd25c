"""The dialect of the arguments, and how this server works together with a gateway."""

from typing import Literal

from paddock.engine.config.argument import Group, State, arg
from paddock.engine.config.values import Text, Whole

_NO_GATEWAY = "there is no gateway yet that a server could register with"


class WorkerConfig(Group):
    """The dialect of the arguments, and how this server works together with a gateway."""

    backend: Literal["vllm", "sglang"] = arg(
        "vllm",
        "The dialect that the other arguments are written in. The engine is the same; SGLang's arguments "
        "are translated.",
        state=State.WORKS,
        aliases=("-be",),
    )

    gateway_address: Text | None = arg(
        None,
        "Registers with the gateway at this address and keeps sending it heartbeats.",
        reason=_NO_GATEWAY,
        aliases=("-ga",),
    )

    heartbeat_interval: Whole = arg(
        30, "Seconds between two heartbeats to the gateway.", reason=_NO_GATEWAY, ge=1, aliases=("--hi",)
    )

    log_streaming: bool = arg(
        True,
        "Log lines reach the gateway as they are written.",
        reason=_NO_GATEWAY,
        aliases=("--ls",),
        negation=False,
    )
