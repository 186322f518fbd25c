"""Where the cluster's files may lie, and what a cluster may be called."""

from pathlib import Path

import pytest
from local_cluster.directories import ClusterDirectory, cache_root
from local_cluster.errors import ClusterError


def test_the_cache_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDOCK_CACHE", str(tmp_path / "cache"))

    assert cache_root() == tmp_path / "cache"
    assert ClusterDirectory.of("demo").kubeconfig == tmp_path / "cache/clusters/demo/admin.conf"


def test_a_cache_that_nodes_could_not_see_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDOCK_CACHE", "/var/lib/paddock")

    with pytest.raises(ClusterError, match=r"PADDOCK_CACHE=/var/lib/paddock lies under /var/lib"):
        cache_root()


@pytest.mark.parametrize("name", ["", "Demo", "1st", "a-", "a/b", "..", "fourteen-chars"])
def test_a_name_that_cannot_name_a_link_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match=r"--name .* is not a cluster name"):
        ClusterDirectory.of(name)


@pytest.mark.parametrize("name", ["a", "demo", "test-2", "thirteen-char"])
def test_the_link_of_an_accepted_name_fits_into_fifteen_characters(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADDOCK_CACHE", str(tmp_path))

    assert len(ClusterDirectory.of(name).host_link) <= 15
