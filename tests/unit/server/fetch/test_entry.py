"""An entry of a cache that several processes share."""

import subprocess
import sys
import threading

import pytest
from waiting import until

from paddock.server.fetch.entry import Entry
from paddock.server.fetch.errors import FetchError

HOLD = """
import fcntl, sys
with open(sys.argv[1], "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


class Folder:
    """A source of one file. `fetched` counts."""

    def __init__(self, version="v1", name="config.json"):
        self.address, self.version, self.name, self.fetched = "s3://bucket/tiny", version, name, 0

    def resolve(self):
        return self.version

    def fetch(self, download):
        self.fetched += 1
        (download.folder / self.name).write_text("{}")
        return download.folder


def entry_in(folder):
    return Entry(folder, lambda download: None)


def test_a_complete_model_is_not_downloaded_again(tmp_path):
    source = Folder()

    entry_in(tmp_path / "e").fill(source)
    entry_in(tmp_path / "e").fill(source)

    assert source.fetched == 1


def test_who_comes_while_another_downloads_waits_and_takes_what_is_there(tmp_path, caplog):
    caplog.set_level("INFO")
    entry, source = entry_in(tmp_path), Folder()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    holder.stdout.readline()
    waiting = threading.Thread(target=entry.fill, args=(source,))

    waiting.start()
    until(lambda: "waiting for another pod" in caplog.text, seconds=20, what="the second to wait")
    entry.model.mkdir()
    (entry.model / "config.json").write_text("{}")
    holder.communicate()
    waiting.join(20)

    assert not waiting.is_alive()
    assert source.fetched == 0


def test_the_lock_of_a_process_that_died_is_free(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    holder.stdout.readline()
    holder.kill()
    holder.communicate()

    entry_in(tmp_path).fill(Folder())

    assert entry_in(tmp_path).is_complete()


def test_files_of_two_versions_are_not_mixed(tmp_path):
    (tmp_path / "download-v1").mkdir()
    (tmp_path / "download-v1" / "old.safetensors").touch()

    entry_in(tmp_path).fill(Folder("v2"))

    assert [path.name for path in (tmp_path / "model").iterdir()] == ["config.json"]


def test_an_empty_folder_in_the_models_place_is_no_model(tmp_path):
    (tmp_path / "model").mkdir()

    entry_in(tmp_path).fill(Folder())

    assert (tmp_path / "model" / "config.json").exists()


def test_what_is_no_model_is_not_published(tmp_path):
    with pytest.raises(FetchError, match=r"holds no config\.json"):
        entry_in(tmp_path).fill(Folder(name="readme.md"))

    assert not (tmp_path / "model").exists()


def test_a_cache_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(FetchError, match="the cache"):
        entry_in(tmp_path / "file" / "entry").fill(Folder())
