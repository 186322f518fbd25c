"""Archives over HTTPS: the checksum decides, a broken connection is gone on with, TLS is never left."""

import pytest
from archive_server import ArchiveServer, Served
from certificates import Authority

from paddock.server.fetch.archive import ArchiveSource
from paddock.server.fetch.download import Download
from paddock.server.fetch.entry import Entry
from paddock.server.fetch.errors import FetchError


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority.file))
        yield authority.sign("archives")


@pytest.fixture
def serve(pair):
    with ArchiveServer(pair) as server:

        def add(served: Served) -> str:
            server.files["/model.tar.gz"] = served
            return f"{server.url}/model.tar.gz"

        yield add


def fill(folder, address, checksum):
    entry = Entry(folder, lambda download: None)
    entry.fill(ArchiveSource(address, checksum))
    return entry.model


def test_an_archive_becomes_the_models_folder(serve, pack, sha256, tmp_path):
    content = pack()

    model = fill(tmp_path, serve(Served(content)), sha256(content))

    assert sorted(path.name for path in model.iterdir()) == ["config.json", "model.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "model", "source.json"]


def test_the_only_folder_of_an_archive_is_the_models_folder(serve, pack, sha256, tmp_path):
    content = pack({"tiny/config.json": b"{}"})

    assert [path.name for path in fill(tmp_path, serve(Served(content)), sha256(content)).iterdir()] == [
        "config.json"
    ]


def test_a_broken_connection_is_gone_on_with(serve, pack, sha256, tmp_path):
    content = pack()
    served = Served(content, cut=200)

    fill(tmp_path, serve(served), sha256(content))

    assert served.ranges == [None, "bytes=200-"]


def test_a_later_process_goes_on_with_what_an_earlier_one_left(serve, pack, sha256, tmp_path):
    content = pack()
    left = tmp_path / f"download-sha256{sha256(content)[:10]}"
    left.mkdir()
    (left / "archive").write_bytes(content[:300])
    served = Served(content)

    fill(tmp_path, serve(served), sha256(content))

    assert served.ranges == ["bytes=300-"]


def test_another_checksum_is_refused_and_nothing_is_published(serve, pack, sha256, tmp_path):
    content = pack()
    address = serve(Served(content))

    with pytest.raises(FetchError, match=f"{sha256(content)} and not {'0' * 64}: it is refused"):
        fill(tmp_path, address, "0" * 64)

    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.rglob("archive"))


@pytest.mark.parametrize(
    ("served", "words"),
    [
        (Served(status=404), "the server answers 404"),
        (Served(sends_to="http://127.0.0.1:9/model.tar.gz"), "without TLS"),
        (Served(b"no archive"), "is no sound"),
    ],
    ids=["missing", "downgraded", "not-an-archive"],
)
def test_what_cannot_be_used_is_said(serve, sha256, tmp_path, served, words):
    with pytest.raises(FetchError, match=words):
        fill(tmp_path, serve(served), sha256(served.content))


def test_a_model_larger_than_the_disk_is_refused_before_it_fills_it(tmp_path):
    with pytest.raises(FetchError, match=r"needs 1000000.0 GB more and the cache has .* free"):
        Download(tmp_path).expect(10**15, "https://host/huge.tar")
