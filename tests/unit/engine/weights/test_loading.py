"""Weights land in the fused parameters, and a checkpoint that does not fit is refused by name."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from paddock.engine.models.errors import CheckpointError
from paddock.engine.weights.safetensors_loader import load_safetensors


def rewrite(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def fill(model, folder, tied_head=False):
    load_safetensors(folder, list(model.weight_targets()), tied_head=tied_head, show_progress=False)
    return model


def test_each_projection_lies_in_its_part_of_the_fused_parameter(folder, oracle, unfilled):
    model = fill(unfilled(folder), folder)

    ours, theirs = model.layers[1], oracle.model.layers[1]
    qkv = [getattr(theirs.self_attn, f"{name}_proj").weight for name in "qkv"]
    assert torch.equal(ours.self_attn.qkv_proj.weight, torch.cat(qkv))
    assert torch.equal(
        ours.mlp.gate_up_proj.weight, torch.cat([theirs.mlp.gate_proj.weight, theirs.mlp.up_proj.weight])
    )
    assert torch.equal(ours.self_attn.k_norm.weight, theirs.self_attn.k_norm.weight)
    assert torch.equal(model.embed_tokens.weight, oracle.model.embed_tokens.weight)


def test_a_sharded_checkpoint_gives_the_same_parameters(folder, oracle, unfilled, tmp_path_factory):
    single = fill(unfilled(folder), folder)
    shards = tmp_path_factory.mktemp("shards")
    oracle.save_pretrained(shards, max_shard_size="20KB")
    assert len(list(shards.glob("model-*.safetensors"))) > 2

    sharded = fill(unfilled(shards), shards)

    for one, other in zip(single.weight_targets(), sharded.weight_targets(), strict=True):
        assert torch.equal(one.destination, other.destination)


def test_two_ranks_hold_together_what_one_holds(folder, oracle, unfilled):
    ranks = [fill(unfilled(folder, rank, 2), folder) for rank in range(2)]

    attention = [rank.layers[0].self_attn for rank in ranks]
    q, k, v = zip(*(a.qkv_proj.weight.split([16, 8, 8]) for a in attention), strict=True)
    theirs = oracle.model.layers[0].self_attn
    assert torch.equal(torch.cat(q), theirs.q_proj.weight)
    assert torch.equal(torch.cat(k), theirs.k_proj.weight)
    assert torch.equal(torch.cat(v), theirs.v_proj.weight)
    assert torch.equal(torch.cat([a.o_proj.weight for a in attention], dim=1), theirs.o_proj.weight)
    embedding = torch.cat([rank.embed_tokens.weight for rank in ranks])
    assert torch.equal(embedding[:67], oracle.model.embed_tokens.weight)
    assert not embedding[67:].any()


def test_four_ranks_share_two_kv_heads(folder, oracle, unfilled):
    ranks = [fill(unfilled(folder, rank, 4), folder) for rank in range(4)]

    keys = [rank.layers[0].self_attn.qkv_proj.weight[8:16] for rank in ranks]
    theirs = oracle.model.layers[0].self_attn.k_proj.weight
    assert [torch.equal(key, theirs[8 * (i // 2) : 8 * (i // 2) + 8]) for i, key in enumerate(keys)] == [
        True
    ] * 4


def test_a_rank_count_that_does_not_divide_the_heads_is_refused(folder, unfilled):
    with pytest.raises(
        ValueError, match="tensor_parallel_size 3 does not divide the model's 4 attention heads"
    ):
        unfilled(folder, 0, 3)


def test_weights_are_cast_while_they_are_copied(folder, load):
    model = load(folder, dtype=torch.bfloat16)

    assert model.embed_tokens.weight.dtype == torch.bfloat16
    assert model.logits(torch.ones(1, 32, dtype=torch.bfloat16)).dtype == torch.float32


def test_dummy_weights_need_no_file_and_follow_the_seed(folder, load):
    (folder / "model.safetensors").unlink()

    one, same, other = (load(folder, "dummy", seed=seed) for seed in (3, 3, 4))

    x = torch.ones(1, 32)
    assert torch.equal(one.logits(x), same.logits(x))
    assert not torch.equal(one.logits(x), other.logits(x))
    rows = one.embed_tokens.weight
    assert len(rows.unique(dim=0)) == len(rows)
    assert 0.5 < rows.std() * 32**0.5 < 1.5


def test_missing_weights_say_what_to_do(folder, load):
    (folder / "model.safetensors").unlink()

    with pytest.raises(
        CheckpointError, match="no safetensors file; add the weights, or use load_format 'dummy'"
    ):
        load(folder)


def test_pickled_weights_are_refused(folder, load):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    with pytest.raises(
        CheckpointError, match="PyTorch pickles, which are not loaded because they can run code"
    ):
        load(folder)


def test_a_missing_shard_is_named(folder, oracle, load, tmp_path_factory):
    shards = tmp_path_factory.mktemp("shards")
    oracle.save_pretrained(shards, max_shard_size="20KB")
    gone = sorted(shards.glob("model-*.safetensors"))[1]
    gone.unlink()

    with pytest.raises(CheckpointError, match=f"weight files are missing: {gone.name}"):
        load(shards)


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": 3}', "{}"])
def test_a_broken_index_is_named(folder, load, text):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(text)

    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json: is not an index of weights"):
        load(folder)


@pytest.mark.parametrize("keep", [0, 5, 700, -40], ids=["empty", "header-cut", "in-header", "tail-cut"])
def test_a_file_cut_short_is_named(folder, load, keep):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])

    with pytest.raises(CheckpointError, match=r"model\.safetensors: is corrupt or cut short .* again"):
        load(folder)


def test_a_file_of_other_bytes_is_named(folder, load):
    (folder / "model.safetensors").write_bytes(b"<html>not found</html>" * 50)

    with pytest.raises(CheckpointError, match="is corrupt or cut short"):
        load(folder)


def test_a_missing_tensor_is_named(folder, load):
    rewrite(folder, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))

    with pytest.raises(CheckpointError, match=r"lacks 1 tensors .*: model\.layers\.1\.mlp\.up_proj\.weight"):
        load(folder)


def test_an_unexpected_tensor_is_named(folder, load):
    rewrite(folder, lambda tensors: tensors.update({"model.layers.0.self_attn.q_proj.bias": torch.zeros(32)}))

    with pytest.raises(CheckpointError, match=r"no place for: model\.layers\.0\.self_attn\.q_proj\.bias"):
        load(folder)


def test_a_wrong_shape_names_the_tensor_and_both_shapes(folder, load):
    rewrite(folder, lambda tensors: tensors.update({"model.norm.weight": torch.ones(31)}))

    with pytest.raises(CheckpointError, match=r"model\.norm\.weight has shape \[31\].* asks for \[32\]"):
        load(folder)


def test_leftovers_of_old_and_tied_checkpoints_are_passed_over(folder, load):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    rewrite(
        folder,
        lambda tensors: tensors.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}),
    )

    model = load(folder)

    torch.testing.assert_close(model.logits(torch.ones(1, 32))[0], model.embed_tokens.weight.sum(1))


def test_a_format_that_is_not_supported_is_refused(folder, load):
    from types import SimpleNamespace

    from paddock.engine.config.model import ModelConfig
    from paddock.engine.layers.placement import Placement
    from paddock.engine.models.shape import ModelShape
    from paddock.engine.weights.loader import load_model

    shape = ModelShape.read(folder, ModelConfig())
    with pytest.raises(
        CheckpointError, match="load_format 'gguf' is not supported; use auto, safetensors, dummy"
    ):
        load_model(
            shape,
            folder,
            SimpleNamespace(load_format="gguf"),
            Placement(torch.float32, torch.device("cpu")),
            64,
            0,
        )
