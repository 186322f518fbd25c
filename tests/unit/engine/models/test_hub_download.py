"""Models come from a hub through the hub's own client: revisions, tokens, patterns, folders, broken connections."""

import json
import shutil

import pytest
from hub import Hub, Repository
from huggingface_hub import constants

from paddock.engine.config import parse_serve
from paddock.engine.models.checkpoint import resolve_config_path, resolve_model, resolve_tokenizer
from paddock.engine.models.errors import CheckpointError


@pytest.fixture
def repo(tmp_path):
    """What a repository holds: weights in three layouts, and a larger file to break off."""
    folder = tmp_path / "main"
    (folder / "original").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "original/params.json"):
        (folder / name).write_text(json.dumps({"name": name, "revision": "main"}))
    for name in (
        "model.safetensors",
        "consolidated.safetensors",
        "pytorch_model.bin",
        "original/a.safetensors",
    ):
        (folder / name).write_bytes(name.encode() * 50_000)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "config.json").write_text(json.dumps({"revision": "other"}))
    return Repository({"main": folder, "v2": other})


@pytest.fixture
def hub(repo, tmp_path, monkeypatch):
    with Hub(owner__model=repo) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "saved-token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


def resolve(*flags, model="owner/model"):
    config = parse_serve([model, *flags], {})
    return resolve_model(config.model, config.load)


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_only_the_files_that_the_format_reads_are_downloaded(hub, tmp_path):
    folder = resolve()

    assert names(folder) == {"config.json", "tokenizer.json", "model.safetensors"}
    assert folder.is_relative_to(tmp_path / "cache")
    assert hub.fetched() == {"config.json", "tokenizer.json", "model.safetensors"}


@pytest.mark.parametrize(
    ("load_format", "weights"),
    [
        ("pt", {"pytorch_model.bin"}),
        ("npcache", {"pytorch_model.bin"}),
        ("mistral", {"consolidated.safetensors"}),
        ("dummy", set()),
    ],
)
def test_each_format_has_its_files(load_format, weights, hub):
    assert names(resolve("--load-format", load_format)) == {"config.json", "tokenizer.json", *weights}


def test_auto_falls_back_to_pytorch_files(hub, repo):
    for file in repo.revisions["main"].glob("*.safetensors"):
        file.unlink()

    assert names(resolve()) == {"config.json", "tokenizer.json", "pytorch_model.bin"}


def test_a_revision_chooses_the_files(hub):
    main, other = resolve(), resolve("--revision", "v2")

    assert json.loads((main / "config.json").read_text())["revision"] == "main"
    assert json.loads((other / "config.json").read_text())["revision"] == "other"


def test_a_revision_that_does_not_exist_is_named(hub):
    with pytest.raises(
        CheckpointError, match=r"'owner/model' has no revision 'v3'; give a branch, a tag .* --revision"
    ):
        resolve("--revision", "v3")


def test_a_revision_of_a_local_folder_is_refused(repo):
    with pytest.raises(
        CheckpointError, match="--revision 'v2' chooses a revision of a hub repository, and model"
    ):
        resolve("--revision", "v2", model=str(repo.revisions["main"]))


def test_a_private_repository_needs_its_token(hub, repo):
    repo.token = "hf_right"

    with pytest.raises(CheckpointError, match=r"model 'owner/model' cannot be downloaded: .*401"):
        resolve()
    with pytest.raises(CheckpointError, match="401") as refusal:
        resolve("--hf-token", "hf_wrong")
    assert "hf_wrong" not in str(refusal.value)
    assert "model.safetensors" in names(resolve("--hf-token", "hf_right"))


def test_the_bare_flag_uses_the_saved_token(hub, repo, tmp_path):
    repo.token = "hf_saved"
    (tmp_path / "saved-token").write_text("hf_saved")

    assert "model.safetensors" in names(resolve("--hf-token"))


def test_files_that_match_an_ignored_pattern_are_not_downloaded(hub):
    assert names(resolve("--ignore-patterns", "tokenizer*", "original/*")) == {
        "config.json",
        "model.safetensors",
    }


def test_without_an_ignored_pattern_the_originals_come_too(hub):
    assert "original/a.safetensors" in names(resolve("--ignore-patterns", "nothing"))


def test_a_download_folder_takes_the_place_of_the_cache(hub, tmp_path):
    folder = resolve("--download-dir", str(tmp_path / "here"))

    assert folder.is_relative_to(tmp_path / "here")
    assert not (tmp_path / "cache").exists()


def test_a_broken_connection_is_taken_up_where_it_broke(hub, repo, monkeypatch):
    # The client keeps whole pieces only.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    repo.cut = 300_000

    folder = resolve()

    assert (folder / "model.safetensors").read_bytes() == b"model.safetensors" * 50_000
    ranges = [asked for _, path, asked in hub.requests if path.endswith("model.safetensors") and asked]
    assert ranges == ["bytes=300000-"]


def test_what_is_there_is_not_downloaded_again(hub):
    resolve()
    hub.requests.clear()

    resolve()

    assert hub.fetched() == set()


def test_a_hub_that_cannot_be_reached_leaves_what_is_cached(hub, monkeypatch):
    folder = resolve()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    assert resolve() == folder


def test_a_tokenizer_may_come_from_another_revision_or_repository(hub, repo, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    (tokens / "tokenizer.json").write_text("{}")
    hub.repositories["owner/tokens"] = Repository({"main": tokens, "v1": tokens})

    def tokenizer(*flags):
        config = parse_serve(["owner/model", *flags], {})
        return resolve_tokenizer(config.model, config.load, tmp_path)

    assert tokenizer() == tmp_path
    assert names(tokenizer("--tokenizer", "owner/tokens", "--tokenizer-revision", "v1")) == {"tokenizer.json"}
    revised = json.loads((tokenizer("--tokenizer-revision", "v2") / "config.json").read_text())
    assert revised["revision"] == "other"
    with pytest.raises(CheckpointError, match=r"--tokenizer .* no revision 'v9'.* --tokenizer-revision"):
        tokenizer("--tokenizer-revision", "v9")


def test_a_configuration_may_come_from_another_repository(hub, repo):
    config = parse_serve(["/model", "--hf-config-path", "owner/model"], {})

    model = resolve_config_path(config.model, config.load)

    assert "config.json" in {path.rpartition("/")[2] for _, path, _ in hub.requests}
    assert str(model.hf_config_path).endswith(repo.commit("main"))


def test_a_hub_that_is_down_says_what_to_do(hub, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")

    with pytest.raises(
        CheckpointError, match="neither a local folder nor downloadable: the hub cannot be reached"
    ):
        resolve()
