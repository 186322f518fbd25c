"""Every load format gives the same model, and each setting beside it shows in what is read."""

import json
import logging
import os
import pickle
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import MistralConfig, MistralForCausalLM

from paddock.engine.config import parse_serve
from paddock.engine.layers.placement import Placement
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.registry import model_class
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights import fill as filling
from paddock.engine.weights.array_cache import CachedArrays
from paddock.engine.weights.loader import fill_from_checkpoint, fill_from_rank_files, load_model
from paddock.engine.weights.mistral_file import INNER, TOP
from paddock.engine.weights.options import LoadOptions
from paddock.engine.weights.safetensors_file import MappedSafetensors, WholeSafetensors
from paddock.engine.weights.save_sharded import main as save_sharded_command
from paddock.engine.weights.save_sharded import save_sharded

X = torch.linspace(-1, 1, 32).view(1, 32)


@pytest.fixture
def logits():
    """What the model of `paddock serve FOLDER FLAGS` makes of one hidden state and one embedded token."""

    def run(folder, *flags, rank=0, size=1):
        config = parse_serve([str(folder), *flags], {})
        shape = ModelShape.read(folder, config.model)
        place = Placement(torch.float32, torch.device("cpu"), rank, size)
        model, _ = load_model(shape, folder, config.load, place, 64, 0)
        layer = model.layers[1]
        assert layer.self_attn.qkv_proj.multiply is not None
        return torch.cat([model.logits(X)[0], layer.self_attn.qkv_proj(X)[0], layer.mlp(X)[0]])

    return run


@pytest.fixture
def pickled(folder):
    """The same weights as two PyTorch files with an index."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"pytorch_model-0000{number}-of-00002.bin"
        torch.save({name: tensors[name] for name in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def without_safetensors(folder):
    for file in folder.glob("*.safetensors"):
        file.unlink()
    return folder


def test_pytorch_files_give_the_same_model(pickled, logits):
    expected = logits(pickled)
    without_safetensors(pickled)

    assert torch.equal(logits(pickled, "--load-format", "pt"), expected)
    assert torch.equal(logits(pickled), expected)


def test_files_of_old_pytorch_are_read_too(folder, logits):
    expected = logits(folder)
    tensors = load_file(folder / "model.safetensors")
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)

    assert torch.equal(logits(folder, "--load-format", "pt"), expected)


class Trap:
    """Code that would run when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("trap-was-sprung"),))


@pytest.mark.parametrize("new", [True, False], ids=["archive", "old"])
def test_code_in_a_pytorch_file_never_runs(new, folder, logits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = without_safetensors(folder) / "pytorch_model.bin"
    torch.save({"model.norm.weight": Trap()}, file, _use_new_zipfile_serialization=new)

    with pytest.raises(
        CheckpointError, match=r"pytorch_model\.bin: holds Python objects other than tensors, which"
    ):
        logits(folder)

    assert not Path("trap-was-sprung").exists()


@pytest.mark.parametrize("content", [b"", b"<html>", pickle.dumps([1, 2], 2)], ids=["empty", "html", "list"])
def test_a_pytorch_file_of_other_bytes_is_named(content, folder, logits):
    (without_safetensors(folder) / "pytorch_model.bin").write_bytes(content)

    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: "):
        logits(folder)


def saved_on(device, file, tensors):
    """A file that says its tensors lay on `device`, which this machine need not have."""
    torch.save(tensors, file)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            if name.endswith("data.pkl"):
                old, new = b"X\x03\x00\x00\x00cpu", b"X" + len(device).to_bytes(4, "little") + device.encode()
                assert old in data
                data = data.replace(old, new)
            archive.writestr(name, data)


def test_the_map_of_locations_says_where_tensors_of_a_device_go(folder, logits):
    expected = logits(folder)
    saved_on("cuda:7", folder / "pytorch_model.bin", load_file(folder / "model.safetensors"))
    without_safetensors(folder)

    assert torch.equal(logits(folder), expected)
    mapped = logits(folder, "--pt-load-map-location", '{"cuda:7": "cpu"}')
    assert torch.equal(mapped, expected)
    with pytest.raises(CheckpointError, match="cannot be loaded with --pt-load-map-location"):
        logits(folder, "--pt-load-map-location", '{"cuda:6": "cpu"}')


@pytest.mark.parametrize("text", ["tpu", "cuda:x", "{", '{"cuda:1": 2}', "cpu0", '{"a": "cpu"}'])
def test_a_location_that_is_no_device_is_refused(text, folder, logits):
    with pytest.raises(CheckpointError, match="--pt-load-map-location"):
        logits(folder, "--pt-load-map-location", text)


def test_npcache_reads_the_arrays_from_the_second_time_on(pickled, logits, tmp_path, monkeypatch):
    monkeypatch.setenv("PADDOCK_CACHE_ROOT", str(tmp_path / "cache"))
    expected = logits(pickled)
    without_safetensors(pickled)

    first = logits(pickled, "--load-format", "npcache")
    [cached] = (tmp_path / "cache" / "arrays").iterdir()
    for file in pickled.glob("*.bin"):
        status = file.stat()
        file.write_bytes(bytes(status.st_size))  # nothing of it can be read any more
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = logits(pickled, "--load-format", "npcache")

    assert torch.equal(first, expected)
    assert torch.equal(again, expected)
    index = json.loads((pickled / "pytorch_model.bin.index.json").read_text())
    assert len(list(cached.glob("*.npy"))) == len(index["weight_map"])


def test_npcache_keeps_bfloat16_bits(folder, logits, tmp_path, monkeypatch):
    monkeypatch.setenv("PADDOCK_CACHE_ROOT", str(tmp_path / "cache"))
    halves = {name: tensor.bfloat16() for name, tensor in load_file(folder / "model.safetensors").items()}
    torch.save(halves, folder / "pytorch_model.bin")

    assert torch.equal(logits(folder, "--load-format", "npcache"), logits(folder, "--load-format", "pt"))


def test_npcache_converts_a_changed_checkpoint_anew(folder, logits, tmp_path, monkeypatch):
    monkeypatch.setenv("PADDOCK_CACHE_ROOT", str(tmp_path / "cache"))
    tensors = load_file(folder / "model.safetensors")
    torch.save(tensors, folder / "pytorch_model.bin")
    before = logits(folder, "--load-format", "npcache")
    tensors["lm_head.weight"] *= 2
    torch.save(tensors, folder / "pytorch_model.bin")

    assert torch.equal(logits(folder, "--load-format", "npcache")[:67], 2 * before[:67])


def test_npcache_in_a_folder_that_cannot_be_written_says_which_variable_helps(pickled, logits, monkeypatch):
    monkeypatch.setenv("PADDOCK_CACHE_ROOT", "/proc/nowhere")

    with pytest.raises(CheckpointError, match="set PADDOCK_CACHE_ROOT to a folder that can"):
        logits(pickled, "--load-format", "npcache")


@pytest.mark.parametrize("size", [1, 2])
def test_ranks_load_what_was_cut_for_them(size, folder, logits, tmp_path_factory):
    out = tmp_path_factory.mktemp("cut")
    save_sharded(folder, out, size, part_bytes=9_000)
    flags = ("--load-format", "sharded_state")

    assert len(list(out.glob("model-rank-0-part-*.safetensors"))) > 1
    for rank in range(size):
        place = Placement(torch.float32, torch.device("cpu"), rank, size)
        cut, whole = (parameters(f, place, *flags) for f, flags in ((out, flags), (folder, ())))
        assert all(torch.equal(one, other) for one, other in zip(cut, whole, strict=True))


def parameters(folder, place, *flags):
    """Every parameter of one rank, before it is packed."""
    config = parse_serve([str(folder), *flags], {})
    shape = ModelShape.read(folder, config.model)
    model = model_class(shape.architecture)(shape, place, 64)
    targets = list(model.weight_targets())
    options = LoadOptions.read(config.load)
    if options.load_format == "sharded_state":
        fill_from_rank_files(targets, folder, options, place, shape)
    else:
        fill_from_checkpoint(model, folder, options, shape)
    return [target.destination for target in targets]


def test_files_cut_for_other_ranks_are_refused(folder, logits, tmp_path_factory):
    out = tmp_path_factory.mktemp("cut")
    save_sharded(folder, out, 2)

    with pytest.raises(
        CheckpointError, match=r"was saved for more than 1 ranks .*use the --tensor-parallel-size"
    ):
        logits(out, "--load-format", "sharded_state")
    for file in out.glob("model-rank-1-*"):
        file.unlink()
    with pytest.raises(
        CheckpointError, match=r"embed_tokens\.weight of this rank has shape \[34, 32\].*\[67, 32\] is"
    ):
        logits(out, "--load-format", "sharded_state")
    with pytest.raises(CheckpointError, match="no x-0-0; save the model for 1 ranks with"):
        logits(
            out,
            *("--load-format", "sharded_state"),
            *("--model-loader-extra-config", '{"pattern": "x-{rank}-{part}"}'),
        )


def test_a_pattern_names_the_files_of_ranks(folder, logits, tmp_path_factory):
    out = tmp_path_factory.mktemp("cut")
    [file] = save_sharded(folder, out, 1)
    file.rename(out / "r0p0.bin")

    extra = ("--model-loader-extra-config.pattern", "r{rank}p{part}.bin")
    assert torch.equal(logits(out, "--load-format", "sharded_state", *extra), logits(folder))


def as_mistral(folder):
    """The same weights in Mistral's own layout; pairs of rotated dimensions lie next to each other there."""
    config = json.loads((folder / "config.json").read_text())
    outer, inner = ({new: old for old, new in names.items()} for names in (TOP, INNER))
    renamed = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if name in outer:
            renamed[outer[name]] = tensor
            continue
        layer, module = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
        if module in ("self_attn.q_proj", "self_attn.k_proj"):
            heads = tensor.view(-1, 2, config["head_dim"] // 2, tensor.shape[-1])
            tensor = heads.transpose(1, 2).reshape(tensor.shape).contiguous()
        renamed[f"layers.{layer}.{inner[module]}.weight"] = tensor
    (folder / "model.safetensors").unlink()
    (folder / "config.json").unlink()
    save_file(renamed, folder / "consolidated.safetensors")
    params = {
        "dim": config["hidden_size"],
        "n_layers": config["num_hidden_layers"],
        "head_dim": config["head_dim"],
        "hidden_dim": config["intermediate_size"],
        "n_heads": config["num_attention_heads"],
        "n_kv_heads": config["num_key_value_heads"],
        "norm_eps": config["rms_norm_eps"],
        "vocab_size": config["vocab_size"],
        "rope_theta": config["rope_parameters"]["rope_theta"],
        "max_seq_len": 64,
    }
    (folder / "params.json").write_text(json.dumps(params))


@pytest.fixture
def mistral_folder(tmp_path):
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=67,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        sliding_window=None,
    )
    MistralForCausalLM._from_config(config, dtype=torch.float32).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("size", [1, 2])
def test_mistrals_own_files_give_the_same_parameters(size, mistral_folder):
    places = [Placement(torch.float32, torch.device("cpu"), rank, size) for rank in range(size)]
    expected = [parameters(mistral_folder, place) for place in places]
    as_mistral(mistral_folder)
    flags = ("--config-format", "mistral", "--load-format", "mistral")

    for place, whole in zip(places, expected, strict=True):
        for given in (flags, ()):
            ours = parameters(mistral_folder, place, *given)
            assert all(torch.equal(one, other) for one, other in zip(ours, whole, strict=True))


def test_the_format_of_the_configuration_is_as_asked(mistral_folder):
    (mistral_folder / "params.json").write_text(json.dumps({"dim": 64}))

    def read(*flags):
        return ModelShape.read(mistral_folder, parse_serve([str(mistral_folder), *flags], {}).model)

    assert read().hidden_size == read("--config-format", "hf").hidden_size == 32
    with pytest.raises(CheckpointError, match=r"params\.json: lacks n_layers, hidden_dim, .*Mistral model"):
        read("--config-format", "mistral")


def test_what_mistrals_own_files_may_hold_beyond_dense_text_models_is_refused(mistral_folder):
    (mistral_folder / "params.json").write_text(json.dumps({"moe": {"num_experts": 8}}))

    with pytest.raises(CheckpointError, match=r"moe makes it a mixture of experts, .* --config-format hf"):
        ModelShape.read(mistral_folder, parse_serve(["x", "--config-format", "mistral"], {}).model)


def test_eager_files_are_read_whole_and_lazy_ones_are_mapped(folder, logits):
    file = folder / "model.safetensors"

    lazy = MappedSafetensors(file)
    first = lazy.read("model.norm.weight", ())
    assert str(file) in Path("/proc/self/maps").read_text()
    del lazy, first
    eager = WholeSafetensors(file)
    eager.read("model.norm.weight", ())
    assert str(file) not in Path("/proc/self/maps").read_text()

    assert torch.equal(logits(folder, "--safetensors-load-strategy", "eager"), logits(folder))


def test_files_are_read_by_several_threads_when_asked(folder, oracle, logits, tmp_path_factory, monkeypatch):
    shards = tmp_path_factory.mktemp("shards")
    oracle.save_pretrained(shards, max_shard_size="10KB")
    copying, copy = set(), filling._copy
    # Each waits for another one: with a single thread nobody would come.
    meeting = threading.Barrier(2, timeout=20)

    def meet(file, target):
        if threading.get_ident() not in copying:
            copying.add(threading.get_ident())
            meeting.wait()
        copy(file, target)

    expected = logits(shards)
    monkeypatch.setattr(filling, "_copy", meet)
    extra = '{"enable_multithread_load": true, "num_threads": 2}'
    assert torch.equal(logits(shards, "--model-loader-extra-config", extra), expected)
    assert len(copying) == 2


@pytest.mark.parametrize(
    ("load_format", "extra", "message"),
    [
        (
            "auto",
            '{"num_thread": 2}',
            "load_format 'auto' has no key 'num_thread'; it takes enable_multithread_load",
        ),
        ("dummy", '{"num_threads": 2}', "load_format 'dummy' has no key 'num_threads'; it takes none"),
        ("auto", '{"pattern": "a"}', "load_format 'auto' has no key 'pattern'"),
        ("auto", '{"num_threads": "2"}', "num_threads is '2'; it must be a whole number"),
        ("auto", '{"num_threads": 2}', "num_threads needs enable_multithread_load: true"),
        (
            "auto",
            '{"enable_multithread_load": true, "num_threads": 0}',
            "num_threads is 0; it must be from 1 to 256",
        ),
        ("sharded_state", '{"pattern": "../{rank}-{part}"}', "must be a file name with {rank} and {part}"),
    ],
)
def test_settings_of_the_loader_are_checked_by_format(load_format, extra, message, folder, logits):
    with pytest.raises(CheckpointError) as refusal:
        logits(folder, "--load-format", load_format, "--model-loader-extra-config", extra)

    assert message in str(refusal.value)


def test_ignored_files_are_not_loaded(folder, oracle, logits):
    expected = logits(folder)
    oracle.lm_head.weight.data *= 2
    save_file({"lm_head.weight": oracle.lm_head.weight.data}, folder / "zz-extra.safetensors")
    (folder / "model.safetensors").rename(folder / "a.safetensors")

    assert not torch.equal(logits(folder), expected)
    assert torch.equal(logits(folder, "--ignore-patterns", "zz-*"), expected)
    with pytest.raises(CheckpointError, match="no safetensors file"):
        logits(folder, "--ignore-patterns", "*.safetensors")


def test_progress_is_shown_unless_it_is_switched_off(folder, logits, caplog):
    with caplog.at_level(logging.INFO):
        logits(folder, "--no-use-tqdm-on-load")
        assert not [line for line in caplog.messages if line.startswith("loading weights")]
        logits(folder)
    assert [line for line in caplog.messages if line.startswith("loading weights")]


def test_arrays_are_never_unpickled(tmp_path):
    np.save(tmp_path / "0.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "contents.json").write_text('{"x": {"file": "0.npy", "dtype": "float32", "shape": [1]}}')

    with pytest.raises(ValueError, match="Python objects in dtype"):
        CachedArrays(tmp_path).read("x", ())


def test_the_command_that_cuts_a_checkpoint_says_what_it_wrote(folder, tmp_path_factory, capsys):
    out = tmp_path_factory.mktemp("cut")

    assert save_sharded_command([str(folder), str(out), "-tp", "2"]) == 0
    assert [Path(line.split()[0]).name for line in capsys.readouterr().out.splitlines()] == [
        f"model-rank-{rank}-part-0.safetensors" for rank in range(2)
    ]
    assert (out / "config.json").exists()


@pytest.mark.parametrize(
    ("ranks", "full", "message"),
    [
        ("2", True, "is not empty; name a new folder"),
        ("3", False, "does not divide the model's 4 attention heads"),
    ],
)
def test_the_command_says_what_it_cannot_cut(ranks, full, message, folder, tmp_path_factory, capsys):
    out = folder if full else tmp_path_factory.mktemp("cut")

    assert save_sharded_command([str(folder), str(out), "-tp", ranks]) == 1
    assert message in capsys.readouterr().err
