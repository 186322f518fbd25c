"""What replaces old arguments: small translations from their values to other fields."""

from paddock.engine.config.argument import Successor
from paddock.engine.config.naming import flag_of

Path = tuple[str, ...]

TASKS: dict[str, tuple[str, str]] = {
    "auto": ("auto", "auto"),
    "generate": ("generate", "auto"),
    "transcription": ("generate", "auto"),
    "draft": ("draft", "auto"),
    "embed": ("pooling", "embed"),
    "embedding": ("pooling", "embed"),
    "classify": ("pooling", "classify"),
    "score": ("pooling", "classify"),
    "reward": ("pooling", "reward"),
}


def path_of(field: str) -> Path:
    """Split a dotted field name such as `cache.block_size`."""
    return tuple(field.split("."))


def same_as(field: str) -> Successor:
    """The value goes unchanged to another field."""
    path = path_of(field)
    return Successor(flag_of(path[1]), lambda value: {path: value})


def key_of(field: str, key: str) -> Successor:
    """The value becomes one key of a JSON argument."""
    path = path_of(field)
    return Successor(f"{flag_of(path[1])}.{key}", lambda value: {(*path, key): value})


def when_true(field: str, target: object) -> Successor:
    """True sets another field to a fixed value; false changes nothing."""
    path = path_of(field)

    def translate(value: object) -> dict[Path, object] | None:
        if not isinstance(value, bool):
            return None
        return {path: target} if value else {}

    return Successor(f"{flag_of(path[1])} {target}", translate)


def inverse(field: str) -> Successor:
    """The other field has the opposite meaning."""
    path = path_of(field)
    return Successor(flag_of(path[1]), lambda value: {path: not value} if isinstance(value, bool) else None)


def task_successor() -> Successor:
    """One task name stands for a runner and a conversion."""

    def translate(value: object) -> dict[Path, object] | None:
        pair = TASKS.get(value) if isinstance(value, str) else None
        return {("model", "runner"): pair[0], ("model", "convert"): pair[1]} if pair else None

    return Successor("--runner and --convert", translate)
