"""Settings of the host's kernel that kubelet changes for the whole machine, and their values before.

Clusters share them: the values are saved once, before the first cluster, and put back after the last one.
"""

import json
from pathlib import Path

CHANGED_BY_KUBELET = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
PROC_SYS = Path("/proc/sys")


def save(file: Path, settings: Path = PROC_SYS) -> None:
    """Write the present values to `file`, unless an earlier cluster has saved them already."""
    if not file.exists():
        file.write_text(
            json.dumps({name: (settings / name).read_text().strip() for name in CHANGED_BY_KUBELET})
        )


def changed(file: Path, settings: Path = PROC_SYS) -> dict[str, str]:
    """Saved values that differ from the present ones."""
    if not file.exists():
        return {}
    saved: dict[str, str] = json.loads(file.read_text())
    return {name: value for name, value in saved.items() if (settings / name).read_text().strip() != value}


def restore(file: Path, settings: Path = PROC_SYS) -> None:
    """Put the saved values back and forget them."""
    for name, value in changed(file, settings).items():
        (settings / name).write_text(value)
    file.unlink(missing_ok=True)
