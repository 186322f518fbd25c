"""Every family's weights survive being cut for ranks: transposed, packed, three-dimensional and MXFP4 ones too."""

import pytest
import torch
from model_families import CONFIGS

from paddock.engine.config import parse_serve
from paddock.engine.layers.placement import Placement
from paddock.engine.models.registry import model_class
from paddock.engine.models.shape import ModelShape
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.weights.loader import fill_from_checkpoint, fill_from_rank_files
from paddock.engine.weights.options import LoadOptions
from paddock.engine.weights.save_sharded import save_sharded

SHARDED = ("--load-format", "sharded_state")


@pytest.mark.parametrize("size", [1, 2])
def test_each_rank_gets_the_bytes_that_it_would_cut_itself(every_checkpoint, size, tmp_path):
    source = every_checkpoint.path
    save_sharded(source, tmp_path / "cut", size, part_bytes=20_000)

    for rank in range(size):
        place = Placement(torch.float32, torch.device("cpu"), rank, size)
        cut, whole = parameters(tmp_path / "cut", place, sharded=True), parameters(source, place)
        assert [name for name, _ in cut] == [name for name, _ in whole]
        assert all(torch.equal(one, other) for (_, one), (_, other) in zip(cut, whole, strict=True))


def parameters(folder, place, *, sharded=False):
    """Every parameter of one rank, before it is packed."""
    config = parse_serve([str(folder), *(SHARDED if sharded else ())], {})
    shape = ModelShape.read(folder, config.model)
    model = model_class(shape.architecture)(shape, place, 64)
    targets = list(model.weight_targets())
    options = LoadOptions.read(config.load)
    if sharded:
        fill_from_rank_files(targets, folder, options, place, shape)
    else:
        fill_from_checkpoint(model, folder, options, shape)
    return [(target.name, target.destination) for target in targets]


@pytest.mark.parametrize("name", ["gpt2", "gpt-oss", "gpt-oss-mxfp4", "mixtral", "phi3", "qwen3-moe"])
def test_a_cut_checkpoint_speaks_the_same_tokens(
    name, checkpoint_of, checkpoint_type, engine, prompts, tmp_path
):
    assert name in CONFIGS
    checkpoint = checkpoint_of(name)
    save_sharded(checkpoint.path, tmp_path / "cut", 1, part_bytes=20_000)
    config = parse_serve([str(tmp_path / "cut"), *SHARDED], {})
    greedy = SamplingParams(max_tokens=8, temperature=0)

    cut = engine(checkpoint_type(tmp_path / "cut", None, config)).generate(prompts[:8], greedy)

    assert cut == engine(checkpoint).generate(prompts[:8], greedy)
