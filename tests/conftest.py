"""For every test: which lane runs it, and how random examples are drawn."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

CLUSTER_TESTS = Path(__file__).parent / "cluster"

# No test asserts on time: a busy machine is no failure.
settings.register_profile("paddock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("paddock")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`pytest -n 2 --dist loadgroup`: one lane has the cluster, the other the rest, file by file."""
    for item in items:
        lane = "cluster" if item.path.is_relative_to(CLUSTER_TESTS) else str(item.path)
        item.add_marker(pytest.mark.xdist_group(lane))
