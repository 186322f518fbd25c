"""Models whose code is in their own repository: run under --trust-remote-code, from the revision that is asked for."""

import stat
from pathlib import Path

import pytest
from custom_code import AUTO_MAP, change, modules_folder, write_code, write_model
from hub import Hub, Repository
from huggingface_hub import constants
from transformers import AutoModelForCausalLM, dynamic_module_utils

from paddock.engine.config import parse_serve
from paddock.engine.config.problems import ArgumentError
from paddock.engine.models.checkpoint import resolve_model
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.transformers_backend import custom_class
from paddock.engine.sampling.params import SamplingParams

GREEDY = SamplingParams(max_tokens=12, temperature=0)
PROMPTS = [[(7 * i * i + 3 * i + n) % 101 for i in range(n)] for n in (1, 5, 23, 40)]


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    monkeypatch.setattr(custom_class, "modules_folder", modules_folder)
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(modules_folder()))


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def served(checkpoint_type, engine):
    """The tokens of a model by its command line."""

    def run(model, *flags):
        config = parse_serve([str(model), *flags], {})
        path = resolve_model(config.model, config.load)
        checkpoint = checkpoint_type(path, None, config)
        return engine(checkpoint, max_model_len=128, max_num_batched_tokens=19).generate(PROMPTS, GREEDY)

    return run


def oracle(checkpoint_type, folder):
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval()
    checkpoint = checkpoint_type(folder, model)
    return [checkpoint.continuation(prompt, 12) for prompt in PROMPTS]


def test_the_models_own_code_gives_the_tokens_of_generate(folder, served, checkpoint_type):
    expected = oracle(checkpoint_type, folder)

    assert served(folder, "--trust-remote-code") == expected
    change(folder / "config.json", sign=-1.0)
    negated = served(folder, "--trust-remote-code")
    assert negated == oracle(checkpoint_type, folder)
    assert negated != expected


def test_overrides_reach_the_models_own_configuration(folder, served, checkpoint_type):
    found = served(folder, "--trust-remote-code", "--hf-overrides", '{"sign": -1.0}')

    change(folder / "config.json", sign=-1.0)
    assert found == oracle(checkpoint_type, folder)


@pytest.mark.parametrize("architecture", ["OwnForCausalLM", "OwnModel"])
def test_without_the_flag_nothing_runs_and_the_flag_is_named(folder, served, architecture):
    change(folder / "config.json", architectures=[architecture])
    for file in folder.glob("*.py"):
        file.write_text(f"open({str(folder / 'ran')!r}, 'w')\n{file.read_text()}")

    with pytest.raises(CheckpointError, match=rf"{architecture} is code .* only with --trust-remote-code"):
        served(folder)

    assert not (folder / "ran").exists()
    served(folder, "--trust-remote-code")
    assert (folder / "ran").exists()


def test_a_class_may_have_any_name(folder, served, checkpoint_type):
    change(folder / "config.json", architectures=["OwnModel"])

    assert served(folder, "--trust-remote-code") == oracle(checkpoint_type, folder)


def test_the_engines_own_code_is_preferred_where_it_has_some(folder, served, checkpoint_type, tmp_path):
    write_model(tmp_path / "negated", scale=-1.0)
    change(folder / "config.json", architectures=["LlamaForCausalLM"], model_type="llama")
    write_code(folder, scale=-1.0)

    native = served(folder, "--trust-remote-code")

    assert native == served(folder)
    forced = served(folder, "--trust-remote-code", "--model-impl", "transformers")
    assert forced == oracle(checkpoint_type, tmp_path / "negated") != native


def test_a_read_only_folder_is_served(folder, served, checkpoint_type):
    expected = oracle(checkpoint_type, folder)
    for path in (*folder.iterdir(), folder):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    before = sorted(path.name for path in folder.iterdir())

    assert served(folder, "--trust-remote-code") == expected
    assert sorted(path.name for path in folder.iterdir()) == before


FAILING = """
from transformers import LlamaForCausalLM
class OwnForCausalLM(LlamaForCausalLM):
    def forward(self, *args, **kwargs):
        assert False, "no such thing"
"""
MIXING = """
from transformers import LlamaForCausalLM
class OwnForCausalLM(LlamaForCausalLM):
    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = output.logits.cumsum(1)
        return output
"""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import nothing_of_this_name",
            r"modeling_own.OwnForCausalLM cannot be imported: .*nothing_of_this_name",
        ),
        ("class OwnForCausalLM: pass", "OwnForCausalLM is no PreTrainedModel of transformers"),
        ("x = (", r"cannot be imported: '\(' was never closed"),
        ("OwnForCausalLM = 1 / 0", "cannot be imported: division by zero"),
        (FAILING, "it fails on a plain text of two tokens or more: no such thing"),
        (MIXING, "over the paged cache its logits differ"),
    ],
)
def test_code_that_cannot_be_served_is_refused_with_the_reason(folder, served, code, message):
    (folder / "modeling_own.py").write_text(code)

    with pytest.raises(CheckpointError, match=message):
        served(folder, "--trust-remote-code")


def test_a_missing_module_is_named(folder, served):
    (folder / "modeling_own.py").unlink()

    with pytest.raises(CheckpointError, match=r"modeling_own.OwnForCausalLM cannot be imported"):
        served(folder, "--trust-remote-code")


@pytest.mark.parametrize(
    "reference",
    ["../../etc/x.Class", "/tmp/evil.Class", "a.b.c", "nothing", 3, "a--m.Class", "../x--m.Class"],
)
def test_references_that_lead_elsewhere_are_refused(folder, served, reference):
    change(folder / "config.json", auto_map=AUTO_MAP | {"AutoModelForCausalLM": reference})

    with pytest.raises(CheckpointError, match=r"auto_map.AutoModelForCausalLM is .*; expected module.Class"):
        served(folder, "--trust-remote-code")


def test_weights_that_the_code_has_and_the_files_lack_are_refused(folder, served):
    code = (folder / "modeling_own.py").read_text()
    more = "    def __init__(self, config):\n        super().__init__(config)\n        import torch\n"
    more += "        self.more = torch.nn.Linear(2, 2)\n        self.post_init()\n\n    def forward"
    (folder / "modeling_own.py").write_text(code.replace("    def forward", more))

    with pytest.raises(
        CheckpointError, match=r"lacks 2 tensors that config.json asks for: more.bias, more.weight"
    ):
        served(folder, "--trust-remote-code")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """owner/model has its code inverted in v2, owner/code has code alone."""
    for name, scale in (("main", 1.0), ("v2", -1.0)):
        write_model(tmp_path / name, scale=scale)
    for name, scale in (("code", 1.0), ("code-v2", -1.0)):
        (tmp_path / name).mkdir()
        write_code(tmp_path / name, scale)
    model = Repository({"main": tmp_path / "main", "v2": tmp_path / "v2"})
    code = Repository({"main": tmp_path / "code", "v2": tmp_path / "code-v2"})
    with Hub(owner__model=model, owner__code=code) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield hub


def test_the_code_comes_from_the_revision_that_is_asked_for(hub, served, tmp_path, checkpoint_type):
    main, second = (oracle(checkpoint_type, tmp_path / name) for name in ("main", "v2"))
    assert main != second

    assert served("owner/model", "--trust-remote-code") == main
    assert served("owner/model", "--trust-remote-code", "--code-revision", "v2") == second
    assert served("owner/model", "--trust-remote-code", "--revision", "v2") == second
    flags = ("--trust-remote-code", "--revision", "v2", "--code-revision", "main")
    assert served("owner/model", *flags) == main


def test_the_code_may_be_in_another_repository(hub, served, tmp_path, checkpoint_type):
    main, second = (oracle(checkpoint_type, tmp_path / name) for name in ("main", "v2"))
    elsewhere = {use: f"owner/code--{name}" for use, name in AUTO_MAP.items()}
    write_model(tmp_path / "local", auto_map=elsewhere, scale=3.0)
    for name in ("configuration_own.py", "modeling_own.py"):
        (tmp_path / "local" / name).unlink()

    assert served(tmp_path / "local", "--trust-remote-code") == main
    assert served(tmp_path / "local", "--trust-remote-code", "--code-revision", "v2") == second


def test_without_the_flag_no_code_is_downloaded(hub):
    config = parse_serve(["owner/model"], {})

    folder = resolve_model(config.model, config.load)

    assert not list(folder.glob("*.py"))
    assert not any(name.endswith(".py") for name in hub.fetched())


def test_a_code_revision_that_would_choose_nothing_is_refused(hub, served, folder, tmp_path):
    with pytest.raises(
        CheckpointError, match=r"--code-revision 'v2' .* model '.*' is a local folder; leave it out"
    ):
        served(folder, "--trust-remote-code", "--code-revision", "v2")
    with pytest.raises(CheckpointError, match=r"code of 'owner/model' has no revision 'v9'.*--code-revision"):
        served("owner/model", "--trust-remote-code", "--code-revision", "v9")
    write_model(tmp_path / "bare", auto_map={})
    hub.repositories["owner/model"].revisions["bare"] = tmp_path / "bare"
    with pytest.raises(CheckpointError, match=r"--code-revision 'v2' .* 'owner/model' brings none"):
        served("owner/model", "--trust-remote-code", "--code-revision", "v2", "--revision", "bare")


def test_a_code_revision_needs_the_flag():
    with pytest.raises(ArgumentError, match="--code-revision needs --trust-remote-code"):
        parse_serve(["owner/model", "--code-revision", "v2"], {})


def test_the_folder_of_modules_is_where_one_can_write(tmp_path, monkeypatch):
    find = custom_class.find_modules_folder
    monkeypatch.setenv("PADDOCK_CACHE_ROOT", str(tmp_path / "root"))
    monkeypatch.delenv("HF_MODULES_CACHE", raising=False)
    assert find() == tmp_path / "root/modules"

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PADDOCK_CACHE_ROOT", str(tmp_path / "file"))
    assert Path(find()).name.startswith("paddock-modules-")

    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "chosen"))
    assert find() == tmp_path / "chosen"

    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "file/x"))
    with pytest.raises(CheckpointError, match=r"HF_MODULES_CACHE is .* cannot be written"):
        find()
