"""Two ranks in processes of their own that run saved models in parts."""

import os
import sys
from pathlib import Path
from subprocess import PIPE, Popen

SCRIPT = Path(__file__).parent / "run_rank.py"


def run_two_ranks(folder: Path, names: list[str], seconds: int = 300) -> None:
    """See `run_rank.py` for the names, and for what it writes into `folder`."""
    memory = os.memfd_create("families")
    ranks = [
        Popen(
            [sys.executable, str(SCRIPT), str(folder), str(rank), str(memory), *names],
            pass_fds=(memory,),
            stderr=PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for rank in (0, 1)
    ]
    os.close(memory)
    errors = [rank.communicate(timeout=seconds)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], errors
