"""`helm test`: what it finds of an operator that works, of one that is away, and of a cluster without the definition."""

import asyncio
from typing import Any, cast

import pytest

from paddock.operator.client import Api
from paddock.operator.installation_check import CheckFailed, check


class Cluster:
    """An API server whose operator writes this condition, or none."""

    def __init__(self, accepted: str | None, *, knows: bool = True) -> None:
        self._accepted = accepted
        self._knows = knows
        self.left: dict[str, dict[str, Any]] = {}

    async def serves(self, _: str) -> bool:
        return self._knows

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        made = {**manifest, "metadata": {**manifest["metadata"], "uid": "1"}}
        self.left[made["metadata"]["name"]] = made
        return made

    async def get(self, _kind: str, _namespace: str, name: str) -> dict[str, Any]:
        condition = {
            "type": "Accepted",
            "status": self._accepted,
            "reason": "Accepted",
            "message": "no such field",
        }
        return {**self.left[name], **({"status": {"conditions": [condition]}} if self._accepted else {})}

    async def delete(self, _kind: str, _namespace: str, name: str, uid: str, _version: str | None) -> None:
        assert self.left.pop(name)["metadata"]["uid"] == uid


def run(cluster: Cluster) -> str:
    return asyncio.run(check(cast(Api, cluster), "models", seconds=0))


def test_a_service_that_wants_no_pods_is_taken_up_and_deleted() -> None:
    cluster = Cluster("True")

    assert "took up InferenceService models/installation-check-" in run(cluster)
    assert cluster.left == {}


@pytest.mark.parametrize(("accepted", "said"), [(None, "it has no status"), ("False", "no such field")])
def test_an_operator_that_does_not_take_it_up_fails_the_check_and_nothing_is_left(
    accepted: str | None, said: str
) -> None:
    cluster = Cluster(accepted)

    with pytest.raises(CheckFailed, match=said):
        run(cluster)
    assert cluster.left == {}


def test_without_the_definition_the_check_says_how_to_install_it() -> None:
    with pytest.raises(CheckFailed, match=r"crds\.install=true"):
        run(Cluster("True", knows=False))
