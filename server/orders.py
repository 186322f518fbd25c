"""What the first process tells the API servers beside it: one JSON line each, on their standard input."""

import msgspec


class ServeOrder(msgspec.Struct):
    """The first line. It may carry API keys, which therefore stand in no argument or variable."""

    model_path: str
    engine_addresses: dict[int, str]
    """By data-parallel rank."""
    listener_descriptor: int
    parent_pid: int
    index: int
    count: int
    created: int
    config: msgspec.Raw


class Drain(msgspec.Struct, tag=True):
    """Take no new work, and end when the running requests have ended."""


class StopNow(msgspec.Struct, tag=True):
    """End without waiting, with this status."""

    status: int


class EngineLost(msgspec.Struct, tag=True):
    """The engine has ended by itself."""

    reason: str


Order = Drain | StopNow | EngineLost

decode_serve_order = msgspec.json.Decoder(ServeOrder).decode
decode_order = msgspec.json.Decoder(Order).decode


def line(order: ServeOrder | Order) -> bytes:
    return msgspec.json.encode(order) + b"\n"
