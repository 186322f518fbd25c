"""Every uninitialised float tensor is NaN while a kernel test runs, so an unwritten output fails."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from paddock.kernels import native


@pytest.fixture(autouse=True)
def nan_filled_empties(monkeypatch: pytest.MonkeyPatch) -> None:
    def poisoned(create: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def fill(*args: object, **kwargs: object) -> torch.Tensor:
            tensor = create(*args, **kwargs)
            return tensor.fill_(float("nan")) if tensor.is_floating_point() else tensor

        return fill

    monkeypatch.setattr(torch, "empty", poisoned(torch.empty))
    monkeypatch.setattr(torch, "empty_like", poisoned(torch.empty_like))
    monkeypatch.setattr(torch.Tensor, "new_empty", poisoned(torch.Tensor.new_empty))


def runnable_instruction_sets() -> list[str]:
    names = []
    for name in ("avx512", "avx2", "portable"):
        try:
            if native.library is not None:
                native.library.select(name)
                names.append(name)
        except ValueError:
            continue
    if native.library is not None:
        native.library.select(None)
    return names


@pytest.fixture(params=runnable_instruction_sets())
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    assert native.library is not None
    yield native.library.select(request.param)
    native.library.select(None)


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
