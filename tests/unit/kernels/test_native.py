import os
import subprocess
import sys

import pytest
import torch

from paddock.kernels import native

USE_KERNELS = """
import logging, sys
logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
{before}
import torch
from paddock.kernels import native, pack_linear, rms_norm, silu_and_mul
x = torch.randn(3, 32)
rms_norm(pack_linear(torch.randn(32, 32))(x), torch.ones(32), 1e-6)
print(silu_and_mul(x).shape, native.library is not None)
"""


def use_kernels(before: str = "", after: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", USE_KERNELS.format(before=before) + after],
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        check=False,
    )


def test_the_compiled_kernels_are_built_here() -> None:
    assert native.library is not None


def test_only_one_openmp_runtime_is_loaded() -> None:
    maps = use_kernels(after="print(open('/proc/self/maps').read())").stdout
    runtimes = {line.split()[-1] for line in maps.splitlines() if "libgomp" in line or "libiomp" in line}

    assert len(runtimes) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64], ids=str)
def test_other_element_types_are_left_to_pytorch(dtype: torch.dtype) -> None:
    assert not native.handles(torch.ones(1, dtype=dtype))


def test_without_the_module_pytorch_runs_and_one_line_says_so() -> None:
    done = use_kernels("sys.modules['paddock.kernels.native._native'] = None")

    assert done.stdout.count("WARNING") == 1
    assert "Install g++" in done.stdout
    assert done.stdout.endswith("torch.Size([3, 16]) False\n")


def test_the_environment_can_choose_pytorch_without_a_word() -> None:
    assert use_kernels(PADDOCK_CPU_KERNELS="torch").stdout == "torch.Size([3, 16]) False\n"


def test_an_unknown_instruction_set_is_refused_with_the_choices() -> None:
    done = use_kernels(PADDOCK_CPU_KERNELS="avx1024")

    assert done.returncode != 0
    assert "PADDOCK_CPU_KERNELS is 'avx1024'" in done.stderr
    assert "use auto, avx512, avx2, portable or torch" in done.stderr
