"""The Triton kernels, interpreted on CPU tensors against their definitions, and compiled for a GPU that is not here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run(script: str, **environ: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(HERE / script)],
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def errors() -> dict[str, float]:
    """Largest difference from the definition, by case."""
    cases = [json.loads(line) for line in run("interpreted_cases.py", TRITON_INTERPRET="1")]
    return {case["name"]: case["error"] for case in cases}


def test_cache_write_copies_exactly(errors: dict[str, float]) -> None:
    writes = {name: error for name, error in errors.items() if name.startswith("write")}

    assert len(writes) == 9
    assert set(writes.values()) == {0.0}


@pytest.mark.parametrize(
    ("dtype", "tolerance", "window"), [("float32", 2e-6, None), ("float32", 2e-6, 50), ("float16", 2e-3, 50)]
)
@pytest.mark.parametrize("batch", ["mixed", "decodes", "prompts"])
def test_paged_attention_agrees_with_the_definition(
    window: int | None, batch: str, dtype: str, tolerance: float, errors: dict[str, float]
) -> None:
    cases = {
        name: error
        for name, error in errors.items()
        if name.startswith(f"{batch}-window{window}-") and name.endswith(dtype)
    }

    assert len(cases) == 4
    # A NaN, from an unwritten output or a slot that no sequence owns, fails the comparison too.
    assert all(error < tolerance for error in cases.values()), cases


@pytest.mark.parametrize("kind", ["softcap", "sinks"])
def test_capped_scores_and_sinks_agree_with_the_definition(kind: str, errors: dict[str, float]) -> None:
    cases = {name: error for name, error in errors.items() if name.startswith(kind)}

    assert len(cases) == 6
    assert all(error < 2e-6 for error in cases.values()), cases


def test_long_contexts_are_split_into_no_more_than_their_share_of_programs(errors: dict[str, float]) -> None:
    cases = {name: error for name, error in errors.items() if name.startswith("long")}

    assert len(cases) == 6
    assert all(error < 2e-6 for error in cases.values()), cases


def test_a_cache_of_8_bit_floats_is_written_and_read_as_defined(errors: dict[str, float]) -> None:
    writes = {name: error for name, error in errors.items() if name.startswith("narrow-write")}
    reads = {name: error for name, error in errors.items() if name.startswith("narrow-attention")}

    assert len(writes) == len(reads) == 4
    assert set(writes.values()) == {0.0}, writes
    assert all(error < (2e-6 if name.endswith("32") else 2e-3) for name, error in reads.items()), reads


@pytest.fixture(scope="module")
def rows() -> dict[str, float]:
    """Of the kernels that take single rows, by case: as `errors`, or how many tokens were drawn wrongly."""
    return {
        case["name"]: case["error"]
        for case in map(json.loads, run("interpreted_rows.py", TRITON_INTERPRET="1"))
    }


@pytest.mark.parametrize(("kernel", "count"), [("norm", 8), ("gate", 4), ("rotary", 12)])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 5e-6), ("float16", 1e-2)])
def test_kernels_of_rows_agree_with_their_definitions(
    dtype: str, tolerance: float, kernel: str, count: int, rows: dict[str, float]
) -> None:
    cases = {name: error for name, error in rows.items() if name.startswith(kernel) and name.endswith(dtype)}

    assert len(cases) == count
    assert all(error < tolerance for error in cases.values()), cases


@pytest.mark.parametrize(("kernel", "count"), [("narrow-rotary", 2), ("draw", 9)])
def test_narrow_caches_and_drawn_tokens_are_those_of_the_definition(
    kernel: str, count: int, rows: dict[str, float]
) -> None:
    cases = {name: error for name, error in rows.items() if name.startswith(kernel)}

    assert len(cases) == count
    assert set(cases.values()) == {0.0}, cases


def test_every_kernel_compiles_for_hopper(tmp_path: Path) -> None:
    compiled = run("compile_for_gpu.py", TRITON_CACHE_DIR=str(tmp_path), TRITON_DEFAULT_FP_FUSION="1")

    assert compiled == [
        "_write_kernel", "_write_kernel", "_join_kernel", "_decode_kernel", "_decode_kernel", "_prompt_kernel",
        "_prompt_kernel", "_norm_kernel", "_gate_kernel", "_head_kernel", "_head_kernel", "_draw_kernel",
        "_grouped_kernel", "_grouped_kernel",
    ]  # fmt: skip
