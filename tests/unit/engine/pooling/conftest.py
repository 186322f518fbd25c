"""Checkpoints that tests share: each is made once."""

from collections.abc import Callable

import pytest
import torch
from pooling_models import PoolingCheckpoint, make_body, make_classifier


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """The tensors are tiny: on a busy machine threads would spend minutes waiting for each other."""
    torch.set_num_threads(1)


def _kept(
    make: Callable[..., PoolingCheckpoint], factory: pytest.TempPathFactory
) -> Callable[[str], PoolingCheckpoint]:
    made: dict[str, PoolingCheckpoint] = {}

    def get(name: str) -> PoolingCheckpoint:
        if name not in made:
            made[name] = make(name, factory.mktemp(name))
        return made[name]

    return get


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], PoolingCheckpoint]:
    return _kept(make_classifier, tmp_path_factory)


@pytest.fixture(scope="session")
def body(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], PoolingCheckpoint]:
    return _kept(make_body, tmp_path_factory)
