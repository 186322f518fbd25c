"""Where the engine keeps what it computes once and reads again."""

import os
from pathlib import Path


def cache_root() -> Path:
    """PADDOCK_CACHE_ROOT, else `paddock` in the user's cache folder, which XDG_CACHE_HOME moves."""
    chosen = os.environ.get("PADDOCK_CACHE_ROOT", "").strip()
    if chosen:
        return Path(chosen).expanduser()
    home = os.environ.get("XDG_CACHE_HOME", "").strip()
    return (Path(home) if home else Path.home() / ".cache") / "paddock"
