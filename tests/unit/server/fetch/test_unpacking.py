"""What an archive may hold: files, inside the folder, of a sane size."""

import io
import tarfile
import zipfile

import pytest

from paddock.server.fetch import unpacking
from paddock.server.fetch.errors import FetchError
from paddock.server.fetch.unpacking import unpack


def link(name, kind, to):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, to
    return member


@pytest.fixture
def unpacked(tmp_path):
    def run(content):
        (tmp_path / "archive").write_bytes(content)
        return unpack(tmp_path / "archive", tmp_path / "target", "https://host/model.tar.gz")

    return run


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "a/../../escaped"])
def test_a_path_that_leads_out_is_refused(pack, unpacked, tmp_path, name):
    with pytest.raises(FetchError, match="outside"):
        unpacked(pack({name: b"x"}))

    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(pack, unpacked, kind):
    with pytest.raises(FetchError, match="link or a device"):
        unpacked(pack({"config.json": b"{}"}, link("weights", kind, "/etc/passwd")))


def test_a_link_in_a_zip_is_refused(unpacked):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        member = zipfile.ZipInfo("weights")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")

    with pytest.raises(FetchError, match="link or a device"):
        unpacked(content.getvalue())


def test_a_zip_is_unpacked(unpacked):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny/config.json", "{}")

    assert (unpacked(content.getvalue()) / "config.json").read_text() == "{}"


def test_a_bomb_is_stopped(pack, unpacked, monkeypatch):
    monkeypatch.setattr(unpacking, "_FREE_BYTES", 0)

    with pytest.raises(FetchError, match="bomb"):
        unpacked(pack({"zeros": bytes(4_000_000)}))


def test_too_many_files_are_refused(pack, unpacked, monkeypatch):
    monkeypatch.setattr(unpacking, "MAX_FILES", 2)

    with pytest.raises(FetchError, match="more than 2 files"):
        unpacked(pack(dict.fromkeys("abc", b"")))


def test_a_name_that_is_there_twice_is_refused(pack, unpacked):
    with pytest.raises(FetchError, match="twice"):
        unpacked(pack({"a": b"", "./a": b""}))
