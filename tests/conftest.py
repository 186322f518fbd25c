"""For every test: which lane runs it, and how random examples are drawn."""

import gc
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# No test asserts on time: a busy machine is no failure.
settings.register_profile("paddock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("paddock")

CLUSTER_TESTS = "tests/cluster/"


class Lanes(LoadScopeScheduling):
    """One lane takes all tests of the cluster, which share it; the others go file by file to whoever is free."""

    def _split_scope(self, nodeid: str) -> str:
        return CLUSTER_TESTS if nodeid.startswith(CLUSTER_TESTS) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Called for `pytest -n 2 --dist loadscope`."""
    return Lanes(config, log)


def pytest_collection_finish() -> None:
    """What the imported libraries hold is never garbage: without this each of the hundreds of loads of a model, which
    return free memory, walks over ten million objects of theirs.
    """
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Leave them to be taken down as at any end: some libraries complain otherwise."""
    gc.unfreeze()
