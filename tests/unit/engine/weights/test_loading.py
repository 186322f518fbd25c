"""Weights land in the fused parameters, and a checkpoint that does not fit is refused by name."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from paddock.engine.models.errors import CheckpointError
from paddock.engine.weights.loader import fill_from_checkpoint
from paddock.engine.weights.options import LoadOptions


def rewrite(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def fill(model, folder):
    fill_from_checkpoint(model, folder, LoadOptions(show_progress=False), model.shape)
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
        CheckpointError,
        match=r"no safetensors file .* and no .bin or .pt file; add the weights, .* load_format 'dummy'",
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

    torch.testing.assert_close(
        model.logits(torch.ones(1, 32))[0], model.embed_tokens(torch.arange(67)).sum(1)
    )


def test_an_index_that_names_the_wrong_file_is_told_with_the_tensor(folder, oracle, load, tmp_path_factory):
    shards = tmp_path_factory.mktemp("shards")
    oracle.save_pretrained(shards, max_shard_size="20KB")
    index = shards / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    others = sorted(set(content["weight_map"].values()) - {content["weight_map"]["model.norm.weight"]})
    content["weight_map"]["model.norm.weight"] = others[0]
    index.write_text(json.dumps(content))

    with pytest.raises(CheckpointError, match=f"tensor model.norm.weight is in {others[0]}, and it is not"):
        load(shards)


def test_an_index_does_not_lead_out_of_its_folder(folder, load):
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"model.norm.weight": "../other/model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    with pytest.raises(CheckpointError, match="is not an index of weights"):
        load(folder)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn, torch.int64])
def test_a_quantized_tensor_is_told_with_its_type(dtype, folder, load):
    rewrite(folder, lambda tensors: tensors.update({"model.norm.weight": torch.ones(32).to(dtype)}))

    name = str(dtype).removeprefix("torch.")
    with pytest.raises(
        CheckpointError, match=rf"tensor model\.norm\.weight has dtype {name}, and one of float64"
    ):
        load(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_tensor_with_a_value_that_is_no_number_is_told(value, folder, load):
    def spoil(tensors):
        tensors["model.layers.1.mlp.down_proj.weight"][3, 5] = value

    rewrite(folder, spoil)

    with pytest.raises(
        CheckpointError, match=r"mlp\.down_proj\.weight \(float32\) holds NaN or infinity as float32"
    ):
        load(folder)


def test_a_value_too_large_for_the_dtype_is_told(folder, load):
    rewrite(folder, lambda tensors: tensors["model.norm.weight"].fill_(1e6))

    with pytest.raises(
        CheckpointError, match=r"holds NaN or infinity as float16, .*choose a --dtype with a wider"
    ):
        load(folder, dtype=torch.float16)


def test_a_rank_does_not_mind_what_is_spoilt_in_another_ranks_part(folder, unfilled):
    """Only its own rows are read."""

    def spoil(tensors):
        tensors["model.layers.0.mlp.up_proj.weight"][47] = float("nan")

    rewrite(folder, spoil)

    fill(unfilled(folder, 0, 2), folder)
    with pytest.raises(CheckpointError, match=r"up_proj\.weight"):
        fill(unfilled(folder, 1, 2), folder)


def test_a_pipeline_stage_reads_its_own_layers_of_the_whole_checkpoint(folder, load_stage):
    first, last = load_stage(folder, 0, 2), load_stage(folder, 1, 2)

    names = [{target.name for target in stage.weight_targets()} for stage in (first, last)]
    assert any(name.startswith("model.layers.0.") for name in names[0])
    assert not any(name.startswith("model.layers.1.") for name in names[0])
    assert "lm_head.weight" in names[1]
    assert "lm_head.weight" not in names[0]
