"""Checkpoints that are quantized already, packed here word by word as their formats are described."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

from paddock.engine.config.load import LoadConfig
from paddock.engine.config.model import ModelConfig
from paddock.engine.layers.linear import PackableLinear
from paddock.engine.layers.placement import Placement
from paddock.engine.layers.reordered import ReorderedLinear
from paddock.engine.layers.stored_codes import StoredCodes
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.loader import fill_from_checkpoint, load_model
from paddock.engine.weights.options import LoadOptions
from paddock.engine.weights.stored_formats import unpacked
from paddock.kernels import AttentionMetadata, QuantizedLinear
from paddock.kernels.linear.quantized_cpu import CpuQuantizedLinear

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""The output that each nibble of a word holds, the lowest nibble first."""


def fp8(weight):
    """Blocks of 16 x 8: float8 numbers and what a block's are multiplied by."""
    outs, ins = weight.shape
    padded = torch.nn.functional.pad(weight, (0, -ins % 8, 0, -outs % 16))
    blocks = padded.unflatten(1, (-1, 8)).unflatten(0, (-1, 16))
    scales = blocks.abs().amax(dim=(1, 3)) / 448
    stored = (blocks / scales[:, None, :, None]).to(torch.float8_e4m3fn)
    plain = (stored.float() * scales[:, None, :, None]).flatten(2, 3).flatten(0, 1)[:outs, :ins]
    stored = stored.view(torch.uint8).flatten(2, 3).flatten(0, 1)[:outs, :ins].contiguous()
    return {"weight": stored.view(torch.float8_e4m3fn), "weight_scale_inv": scales}, plain


def codes_of(weight, bits, group):
    """Codes `[inputs, outputs]`, zeros and scales `[groups, outputs]`, and the weight that they stand for."""
    groups = weight.t().unflatten(0, (-1, group))
    least, most = groups.aminmax(dim=1)
    scales = ((most - least) / (2**bits - 1)).half().clamp_(min=1e-4)
    zeros = (-least / scales.float()).round().clamp(1, 2**bits - 1).int()
    codes = (groups / scales.float()[:, None] + zeros[:, None]).round().clamp(0, 2**bits - 1).int()
    plain = ((codes - zeros[:, None]) * scales.float()[:, None]).flatten(0, 1).t()
    return codes.flatten(0, 1), zeros, scales, plain


def words(rows, bits, order=None):
    """int `[n * 32 / bits, m]` to int32 `[n, m]`: of neighbouring rows, the first in the lowest bits, or by `order`."""
    count = 32 // bits
    packed = torch.zeros(len(rows) // count, rows.shape[1], dtype=torch.int64)
    for place in range(count):
        source = place if order is None else order[place]
        packed |= rows[source::count].long() << (bits * place)
    return torch.where(packed >= 2**31, packed - 2**32, packed).int()


def gptq(weight, bits=4, group=16):
    codes, zeros, scales, plain = codes_of(weight, bits, group)
    stored = {
        "qweight": words(codes, bits),
        "qzeros": words((zeros - 1).t(), bits).t(),
        "scales": scales,
        "g_idx": torch.arange(len(codes), dtype=torch.int32) // group,
    }
    return stored, plain


def awq(weight, group=16):
    codes, zeros, scales, plain = codes_of(weight, 4, group)
    stored = {
        "qweight": words(codes.t(), 4, AWQ_ORDER).t(),
        "qzeros": words(zeros.t(), 4, AWQ_ORDER).t(),
        "scales": scales,
    }
    return stored, plain


def compressed(weight, symmetric, group=16):
    codes, zeros, scales, plain = codes_of(weight, 4, group)
    if symmetric:
        zeros = torch.full_like(zeros, 8)
        plain = ((codes - 8) * scales.float().repeat_interleave(group, 0)).t()
    stored = {
        "weight_packed": words(codes, 4).t(),
        "weight_scale": scales.t(),
        "weight_shape": torch.tensor(weight.shape),
        "weight_zero_point": words(zeros.t(), 4),
    }
    if symmetric:
        del stored["weight_zero_point"]
    return stored, plain


def by_weight(pack, index, weight, group=16, seed=0):
    """As `pack`, its groups of inputs that are no neighbours; the order is the same for all layers of as many inputs."""
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(weight.shape[1], generator=random)
    back = order.argsort()
    stored, plain = pack(weight[:, order])
    name = "qweight" if "qweight" in stored else "weight_packed"
    rows = stored[name] if name == "qweight" else stored[name].t()
    stored[name] = words(unpacked(rows, 4).transpose(1, 2).flatten(0, 1)[back].int(), 4)
    if name != "qweight":
        stored[name] = stored[name].t()
    return stored | {index: (back // group).int()}, plain[:, back]


def compressed_config(symmetric, **changes):
    weights = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 16, "symmetric": symmetric}
    scheme = {"targets": ["Linear"], "weights": weights | changes, "input_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"group_0": scheme},
        "ignore": ["lm_head"],
    }


METHODS = {
    "compressed": (lambda w: compressed(w, True), compressed_config(True)),
    "compressed-zeros": (lambda w: compressed(w, False), compressed_config(False)),
    "compressed-by-weight": (
        lambda w: by_weight(lambda x: compressed(x, False), "weight_g_idx", w),
        compressed_config(False, actorder="group"),
    ),
    "fp8": (fp8, {"quant_method": "fp8", "weight_block_size": [16, 8]}),
    "gptq": (gptq, {"quant_method": "gptq", "bits": 4, "group_size": 16, "desc_act": False}),
    "gptq-by-weight": (
        lambda w: by_weight(gptq, "g_idx", w),
        {"quant_method": "gptq", "bits": 4, "group_size": 16, "desc_act": True},
    ),
    "gptq-by-weight-in-order": (
        gptq,
        {"quant_method": "gptq", "bits": 4, "group_size": 16, "desc_act": True},
    ),
    "gptq-8": (lambda w: gptq(w, 8), {"quant_method": "gptq", "bits": 8, "group_size": 16}),
    "gptq-64": (lambda w: gptq(w, 4, 64), {"quant_method": "gptq", "bits": 4, "group_size": 64}),
    "gptq-all": (lambda w: gptq(w, 4, w.shape[1]), {"quant_method": "gptq", "bits": 4, "group_size": -1}),
    "awq-64": (lambda w: awq(w, 64), {"quant_method": "awq", "bits": 4, "group_size": 64, "version": "gemm"}),
    "awq": (awq, {"quant_method": "awq", "bits": 4, "group_size": 16, "version": "gemm"}),
}
SMALL_GROUPS = [name for name in METHODS if not name.endswith(("-64", "-in-order"))]


@pytest.fixture
def quantize(folder, oracle):
    """Rewrite the checkpoint in `folder` by a method, its linear layers made what the oracle then has."""

    def run(method, model=oracle, but=()):
        pack, config = METHODS[method]
        file = folder / "model.safetensors"
        tensors = load_file(file)
        named = dict(model.named_parameters())
        for name in [name for name in tensors if ".layers." in name and name.endswith("_proj.weight")]:
            if name in but:
                continue
            stored, plain = pack(tensors.pop(name))
            module = name.removesuffix(".weight")
            tensors |= {f"{module}.{ending}": tensor.contiguous() for ending, tensor in stored.items()}
            named[name].data.copy_(plain)
        save_file(tensors, file, metadata={"format": "pt"})
        fields = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(fields | {"quantization_config": config}))
        return SimpleNamespace(tensors=tensors, file=file)

    return run


@pytest.fixture
def wide(folder):
    """A model whose layers have inputs by the 64, in the place of the small one."""
    config = Qwen3Config(
        vocab_size=67, hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=64,
    )  # fmt: skip
    model = Qwen3ForCausalLM._from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    return model


def load(folder, asked=None):
    shape = ModelShape.read(folder, ModelConfig(quantization=asked))
    place = Placement(torch.float32, torch.device("cpu"))
    return load_model(shape, folder, LoadConfig(use_tqdm_on_load=False), place, 64, 0)


def logits_of(folder, ids, asked=None):
    model, _ = load(folder, asked)
    size = (3, model.num_kv_heads, 16, model.head_dim)
    model.bind_cache([(torch.zeros(size), torch.zeros(size)) for _ in range(model.num_cache_layers)])
    metadata = AttentionMetadata.build([len(ids)], [len(ids)], [[2, 0, 1]], 16)
    return model.logits(model(ids, torch.arange(len(ids)), metadata))


@pytest.mark.parametrize("method", SMALL_GROUPS)
@torch.inference_mode()
def test_logits_are_those_of_the_dequantized_weights(method, quantize, folder, oracle):
    ids = (torch.arange(33) * 5) % 67
    quantize(method)

    ours = logits_of(folder, ids, asked=METHODS[method][1]["quant_method"])

    torch.testing.assert_close(ours, oracle(ids[None]).logits[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", SMALL_GROUPS)
def test_each_rank_holds_its_part_of_exactly_the_dequantized_weights(
    method, quantize, folder, oracle, unfilled
):
    quantize(method)

    assert_parts_are_those_of(oracle, folder, unfilled)


def test_ranks_that_cut_a_group_share_its_scale(quantize, wide, folder, unfilled):
    quantize("gptq-64", wide)

    parts = assert_parts_are_those_of(wide, folder, unfilled)

    down = parts[0].layers[0].mlp.down_proj.multiply
    assert down.nbytes == 64 * 96 // 2 + 2 * 64 * 3 * 4, (
        "96 inputs of 4 bits, and scales and zeros for each 32"
    )


@torch.inference_mode()
def test_a_layer_of_which_a_part_is_not_quantized_is_read_as_plain_numbers(quantize, folder, oracle):
    ids = (torch.arange(33) * 5) % 67
    quantize("awq", but=["model.layers.0.self_attn.k_proj.weight", "model.layers.1.mlp.down_proj.weight"])

    torch.testing.assert_close(logits_of(folder, ids), oracle(ids[None]).logits[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("method", "bits"), [("gptq-64", 4), ("awq-64", 4), ("gptq-8", 8)])
def test_codes_take_the_memory_of_their_bits(method, bits, quantize, wide, folder):
    _, plain = load(folder)
    quantize(method, wide)

    model, held = load(folder)

    layers = linears(model)
    weights = sum(parameter.numel() for name, parameter in wide.named_parameters() if "_proj" in name)
    group = 16 if bits == 8 else 64
    assert sum(layer.multiply.nbytes for layer in layers) == weights * bits // 8 + 8 * weights // group
    assert held == plain - 4 * weights + sum(layer.multiply.nbytes for layer in layers)


@pytest.mark.parametrize("method", ["gptq-by-weight", "compressed-by-weight"])
def test_codes_stay_where_groups_are_of_inputs_that_are_no_neighbours(method, quantize, folder, unfilled):
    quantize(method)
    shape = ModelShape.read(folder, ModelConfig())

    whole, part = (filled(unfilled(folder, *place), folder, shape) for place in ((0, 1), (0, 2)))

    assert {type(layer.multiply).__name__ for layer in linears(whole)} == {"ReorderedLinear"}
    first = part.layers[0]
    assert isinstance(first.self_attn.qkv_proj.multiply, ReorderedLinear), "all inputs are here"
    assert not isinstance(first.mlp.down_proj.multiply, QuantizedLinear), (
        "a part of the inputs has parts of groups"
    )


def test_inputs_in_order_are_not_reordered(quantize, folder):
    quantize("gptq-by-weight-in-order")

    model, _ = load(folder)

    assert all(isinstance(layer.multiply, CpuQuantizedLinear) for layer in linears(model))


@torch.inference_mode()
def test_parts_of_a_layer_in_unlike_orders_are_read_as_plain_numbers(quantize, folder, oracle, monkeypatch):
    ids, seeds = (torch.arange(33) * 5) % 67, iter(range(100))
    pack, config = lambda w: by_weight(gptq, "g_idx", w, seed=next(seeds)), METHODS["gptq-by-weight"][1]
    monkeypatch.setitem(METHODS, "unlike", (pack, config))
    quantize("unlike")

    torch.testing.assert_close(logits_of(folder, ids), oracle(ids[None]).logits[0], rtol=1e-4, atol=1e-4)
    model, _ = load(folder)
    kinds = [type(layer.multiply).__name__ for layer in linears(model)[:4]]
    assert kinds == ["CpuLinear", "ReorderedLinear", "CpuLinear", "ReorderedLinear"]


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (torch.zeros(3, dtype=torch.int32), r"g_idx has shape \[3\], and the module has \d+ inputs"),
        (torch.tensor([-1]), "g_idx holds -1; expected numbers of groups"),
        (torch.tensor([900]), "do not fit groups of 16 inputs"),
    ],
)
def test_an_index_of_groups_that_does_not_fit_is_named(index, words, quantize, folder):
    made = quantize("gptq-by-weight")
    name = "model.layers.0.mlp.up_proj.g_idx"
    whole = made.tensors[name].clone()
    whole[: len(index)] = index
    made.tensors[name] = index if len(index) > 1 else whole
    save_file(made.tensors, made.file, metadata={"format": "pt"})

    with pytest.raises(CheckpointError, match=words):
        load(folder)


def test_symmetric_codes_keep_no_zeros():
    """GPTQ's usual form: every zero is the middle of the codes."""
    outputs, inputs = 8, 32
    codes = StoredCodes(outputs, inputs, 4, 16)
    for tensor, value in ((codes.codes, 1), (codes.scales, 0.5), (codes.zeros, 0)):
        tensor.fill_(value)

    assert codes.weight().zeros is None


def linears(model):
    return [
        module for layer in model.layers for module in layer.modules() if isinstance(module, PackableLinear)
    ]


def assert_parts_are_those_of(oracle, folder, unfilled):
    """Bit for bit, of one rank and of two. Returns the two."""
    shape = ModelShape.read(folder, ModelConfig())
    whole, *parts = (filled(unfilled(folder, *place), folder, shape) for place in ((0, 1), (0, 2), (1, 2)))
    for name, parameter in oracle.named_parameters():
        if "_proj.weight" in name:
            dim = 1 if name.split(".")[-2] in ("o_proj", "down_proj") else 0
            for models in ([whole], parts):
                assert torch.equal(torch.cat([weights(model)[name] for model in models], dim), parameter), (
                    name
                )
    return parts


def filled(model, folder, shape):
    fill_from_checkpoint(model, folder, LoadOptions(show_progress=False), shape)
    model.pack()
    return model


def weights(model):
    """By the checkpoint's names, what the layers of this rank multiply by."""
    found = {}
    for number, layer in enumerate(model.layers):
        attention, mlp = layer.self_attn, layer.mlp
        for path, linear in (("self_attn", attention.qkv_proj), ("mlp", mlp.gate_up_proj)):
            sizes = [part.size for part in linear.parts]
            rows = linear.multiply.rows(torch.arange(sum(sizes))).split(sizes)
            found |= {f"{number}.{path}.{part.name}": w for part, w in zip(linear.parts, rows, strict=True)}
        for path, linear in (("self_attn.o_proj", attention.o_proj), ("mlp.down_proj", mlp.down_proj)):
            found[f"{number}.{path}"] = linear.multiply.rows(torch.arange(linear.full_shape[0]))
    return {f"model.layers.{name}.weight": weight for name, weight in found.items()}


@torch.inference_mode()
def test_experts_are_read_from_blocks_of_8_bit_floats(tmp_path):
    config = Qwen3MoeConfig(
        vocab_size=67, hidden_size=32, intermediate_size=48, moe_intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, num_experts=4, num_experts_per_tok=2,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen3MoeForCausalLM._from_config(config, dtype=torch.float32).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    plain, stored = load_file(file), {}
    for name in [name for name in plain if name.endswith("_proj.weight")]:
        packed, plain[name] = fp8(plain[name])
        stored |= {f"{name.removesuffix('.weight')}.{ending}": tensor for ending, tensor in packed.items()}
    ids = (torch.arange(33) * 5) % 67

    save_file(plain, file, metadata={"format": "pt"})
    expected = logits_of(tmp_path, ids)
    save_file(plain | stored, file, metadata={"format": "pt"})
    fields = json.loads((tmp_path / "config.json").read_text())
    fields["quantization_config"] = METHODS["fp8"][1]
    (tmp_path / "config.json").write_text(json.dumps(fields))

    torch.testing.assert_close(logits_of(tmp_path, ids), expected)


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("gptq", {"desc_act": 2}, "quantization_config.desc_act is 2, and only False works"),
        ("gptq", {"bits": 3}, "quantization_config.bits is 3; 4 and 8 work"),
        ("gptq", {"group_size": 0}, "group_size is 0; expected a whole number of at least 1, or -1"),
        ("gptq", {"group_size": 8}, "do not fit groups of 8 inputs"),
        ("awq", {"version": "gemv"}, "quantization_config.version is 'gemv', and only 'gemm' works"),
        (
            "compressed",
            {"format": "int-quantized"},
            "format is 'int-quantized', and only 'pack-quantized' works",
        ),
        ("compressed", {"config_groups": {}}, "config_groups is {}; one group works"),
        (
            "compressed",
            {"config_groups": compressed_config(True, actorder="other")["config_groups"]},
            "actorder is 'other', and only None works",
        ),
        ("fp8", {"weight_block_size": 16}, "weight_block_size is 16; expected two whole numbers"),
        ("fp8", {"weight_block_size": [16, 16]}, r"weight_scale_inv has shape .* asks for"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused_by_its_key(method, changes, message, quantize, folder):
    quantize(method)
    fields = json.loads((folder / "config.json").read_text())
    fields["quantization_config"] |= changes
    (folder / "config.json").write_text(json.dumps(fields))

    with pytest.raises(CheckpointError, match=message):
        logits_of(folder, torch.tensor([1]))


def test_a_module_that_lacks_a_part_is_named(quantize, folder):
    made = quantize("gptq")
    del made.tensors["model.layers.0.mlp.up_proj.scales"]
    save_file(made.tensors, made.file, metadata={"format": "pt"})

    with pytest.raises(CheckpointError, match=r"lacks tensor model\.layers\.0\.mlp\.up_proj\.scales"):
        logits_of(folder, torch.tensor([1]))


def test_a_method_other_than_the_checkpoints_is_refused(quantize, folder):
    quantize("awq")

    with pytest.raises(
        CheckpointError, match="--quantization 'gptq': the checkpoint is quantized already, by 'awq'"
    ):
        ModelShape.read(folder, ModelConfig(quantization="gptq"))
