"""A rank reads its own part of a checkpoint and no more: of tensors, and of files where those are read whole."""

from collections import Counter

import pytest
import torch
from safetensors.torch import load_file

from paddock.engine.config.load import LoadConfig
from paddock.engine.config.model import ModelConfig
from paddock.engine.layers.placement import Placement
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights import safetensors_file
from paddock.engine.weights.loader import load_model
from paddock.engine.weights.safetensors_file import MappedSafetensors, WholeSafetensors
from paddock.engine.weights.save_sharded import save_sharded

SPLIT = ("_proj.weight", "embed_tokens.weight", "lm_head.weight")
"""Ends of names of what tensor-parallel ranks share; norms each of them has whole."""


@pytest.fixture
def reads(monkeypatch):
    """Bytes by tensor, as `load` reads them through mapped files."""
    counted = Counter()

    def counting(file, name, part, read=MappedSafetensors.read):
        tensor = read(file, name, part)
        counted[name] += tensor.nbytes
        return tensor

    monkeypatch.setattr(MappedSafetensors, "read", counting)

    def load(folder, load_format="auto", **place):
        counted.clear()
        load_rank(folder, LoadConfig(load_format=load_format, use_tqdm_on_load=False), place)
        return dict(counted)

    return load


def load_rank(folder, config, place):
    shape = ModelShape.read(folder, ModelConfig())
    load_model(shape, folder, config, Placement(torch.float32, torch.device("cpu"), **place), 64, 0)


def sizes(folder):
    return {name: tensor.nbytes for name, tensor in load_file(folder / "model.safetensors").items()}


def test_one_rank_reads_everything_once(folder, reads):
    assert reads(folder) == sizes(folder)


def test_a_tensor_parallel_rank_reads_its_part_of_each_tensor(folder, reads):
    ranks = [reads(folder, rank=rank, size=2) for rank in range(2)]

    for name, size in sizes(folder).items():
        read = [rank[name] for rank in ranks]
        assert read == [size, size] if not name.endswith(SPLIT) else sum(read) == size
    # 67 rows of embeddings: the parts of the two differ by one row.
    assert abs(sum(ranks[0].values()) - sum(ranks[1].values())) <= 2 * 32 * 4


def test_a_pipeline_stage_reads_its_own_layers_only(folder, reads):
    first, last = (reads(folder, stage=stage, num_stages=2) for stage in range(2))

    assert first.keys().isdisjoint(last)
    assert first | last == sizes(folder)
    assert {name.split(".")[2] for name in first if ".layers." in name} == {"0"}
    assert "model.embed_tokens.weight" in first
    assert {"model.norm.weight", "lm_head.weight"} <= last.keys()


def test_a_rank_of_a_cut_checkpoint_reads_the_files_of_its_stage(folder, reads, tmp_path_factory):
    cut = tmp_path_factory.mktemp("cut")
    save_sharded(folder, cut, 2)

    whole = sum(reads(cut, "sharded_state", rank=1, size=2).values())
    stages = [
        sum(reads(cut, "sharded_state", rank=1, size=2, stage=stage, num_stages=2).values())
        for stage in (0, 1)
    ]

    assert sum(stages) == whole < sum(sizes(folder).values()) * 0.6


def test_a_stage_passes_over_whole_files_of_other_stages(oracle, tmp_path, monkeypatch):
    oracle.save_pretrained(tmp_path, max_shard_size="20KB")
    opened, read = [], []
    monkeypatch.setattr(WholeSafetensors, "__init__", noting(opened, WholeSafetensors.__init__))
    monkeypatch.setattr(safetensors_file, "_read_into", noting(read, safetensors_file._read_into))
    eager = LoadConfig(safetensors_load_strategy="eager", use_tqdm_on_load=False)

    load_rank(tmp_path, eager, {"stage": 0, "num_stages": 2})

    assert 0 < len(read) < len(opened) == len(list(tmp_path.glob("*.safetensors")))


def noting(calls, function):
    def noted(*arguments):
        calls.append(arguments)
        return function(*arguments)

    return noted
