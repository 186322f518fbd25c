"""Settings of the host come back as they were."""

from pathlib import Path

import pytest
from local_cluster.kernel_settings import CHANGED_BY_KUBELET, changed, restore, save


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    folder = tmp_path / "sys"
    for name in CHANGED_BY_KUBELET:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("0\n")
    return folder


def test_what_kubelet_changed_is_put_back(settings: Path, tmp_path: Path) -> None:
    save(tmp_path / "saved", settings)
    (settings / "kernel/panic").write_text("10\n")

    assert changed(tmp_path / "saved", settings) == {"kernel/panic": "0"}
    restore(tmp_path / "saved", settings)

    assert (settings / "kernel/panic").read_text().strip() == "0"
    assert not (tmp_path / "saved").exists()


def test_a_second_cluster_does_not_save_the_changed_values(settings: Path, tmp_path: Path) -> None:
    save(tmp_path / "saved", settings)
    (settings / "kernel/panic").write_text("10\n")

    save(tmp_path / "saved", settings)

    assert changed(tmp_path / "saved", settings) == {"kernel/panic": "0"}
