"""`--quantization int8` and `int4`: the judge is transformers in float32, its weights rounded as ours and made plain."""

import pytest
import torch
from model_families import BASE, VOCAB, peaked_model
from transformers import GPT2Config, LlamaConfig, Phi3Config, Qwen3Config
from transformers.pytorch_utils import Conv1D

from paddock.engine.config import LoadConfig, ModelConfig
from paddock.engine.config.serve import ServeConfig
from paddock.engine.core import EngineCore
from paddock.engine.executor.uni import UniExecutor
from paddock.engine.layers.linear import PackableLinear, RowParallelLinear
from paddock.engine.layers.placement import Placement
from paddock.engine.layers.rounded import scale_group
from paddock.engine.messages import AddRequest
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.quantization import GROUPS, ROUNDED
from paddock.engine.models.shape import ModelShape
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings
from paddock.engine.weights.loader import load_model
from paddock.kernels import AttentionMetadata, dequantize, round_to_nearest

SIZES = BASE | {"intermediate_size": 256}
CONFIGS = {
    "qwen3": Qwen3Config(**SIZES, head_dim=64),
    "llama-tied-bias": LlamaConfig(**SIZES, tie_word_embeddings=True, attention_bias=True, mlp_bias=True),
    "phi3": Phi3Config(**SIZES),
    "gpt2": GPT2Config(
        vocab_size=VOCAB, n_embd=64, n_inner=256, n_layer=2, n_head=4, eos_token_id=None, bos_token_id=None
    ),
}
IDS = (torch.arange(40) * 7) % VOCAB
METHODS = pytest.mark.parametrize("method", ["int8", "int4"])
CPU = torch.device("cpu")


def load(folder, method, rank=0, size=1):
    shape = ModelShape.read(folder, ModelConfig(quantization=method))
    place = Placement(torch.float32, CPU, rank, size)
    return load_model(shape, folder, LoadConfig(use_tqdm_on_load=False), place, 64, 0)[0]


def round_weights(model, method):
    """In place, as the engine does: groups along the inputs, the head in 8 bits."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear | Conv1D):
            weight = module.weight.data.t() if isinstance(module, Conv1D) else module.weight.data
            bits = 8 if name == "lm_head" else ROUNDED[method]
            group = next(size for size in GROUPS if weight.shape[1] % size == 0)
            weight.copy_(dequantize(round_to_nearest(weight, bits, group)))


@pytest.fixture
def made(request, tmp_path):
    """A checkpoint's folder, and transformers' model of it with rounded weights."""
    name, method = request.param
    oracle = peaked_model(CONFIGS[name], len(name))
    oracle.save_pretrained(tmp_path)
    round_weights(oracle, method)
    return tmp_path, oracle, method


@pytest.mark.parametrize(
    "made", [(name, method) for name in CONFIGS for method in ROUNDED], indirect=True, ids="-".join
)
@torch.inference_mode()
def test_logits_are_those_of_the_rounded_weights(made):
    folder, oracle, method = made
    model = load(folder, method)
    size = (4, model.num_kv_heads, 16, model.head_dim)
    model.bind_cache([(torch.zeros(size), torch.zeros(size)) for _ in range(model.num_cache_layers)])

    ours = model.logits(model(IDS, torch.arange(40), AttentionMetadata.build([40], [40], [[2, 1, 0]], 16)))

    torch.testing.assert_close(ours, oracle(IDS[None]).logits[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "made", [("qwen3", "int8"), ("llama-tied-bias", "int4")], indirect=True, ids="-".join
)
def test_a_batch_gives_the_tokens_of_generate_with_the_rounded_weights(made):
    folder, oracle, method = made
    config = ServeConfig.model_validate({"model": {"quantization": method, "max_model_len": 128}})
    shape = ModelShape.read(folder, config.model)
    settings = EngineSettings.resolve(config, shape)
    core = EngineCore(UniExecutor(settings, config, shape, folder), settings)
    prompts = [[(7 * i + n) % VOCAB for i in range(n)] for n in (1, 9, 33)]
    for number, prompt in enumerate(prompts):
        core.add(
            AddRequest(
                str(number), prompt, SamplingParams(max_tokens=12, temperature=0, ignore_eos=True), 0.0
            )
        )

    answers = {str(number): [] for number in range(len(prompts))}
    while core.has_work:
        for output in core.step().get(b"", []):
            answers[output.request_id] += output.new_token_ids

    for number, prompt in enumerate(prompts):
        ids = torch.tensor([prompt])
        expected = oracle.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
        )
        assert answers[str(number)] == expected[0, len(prompt) :].tolist()


@pytest.mark.parametrize("made", [("qwen3", "int8"), ("qwen3", "int4")], indirect=True, ids="-".join)
def test_ranks_hold_parts_of_the_weights_that_one_rank_holds(made):
    folder, _, method = made
    whole, *parts = (plain_weights(load(folder, method, *place)) for place in ((0, 1), (0, 2), (1, 2)))

    for number, (kind, full) in enumerate(whole):
        split = [part[number][1] for part in parts]
        if kind is RowParallelLinear:
            assert torch.equal(torch.cat(split), full)
        else:
            rows = {tuple(row) for row in full.t().tolist()}
            assert all(tuple(row) in rows for part in split for row in part.t().tolist())


def plain_weights(model):
    """`[inputs, outputs]` of each linear layer: a product with the unit matrix."""
    layers = [
        module for layer in model.layers for module in layer.modules() if isinstance(module, PackableLinear)
    ]
    assert len(layers) == 4 * len(model.layers)
    return [(type(layer), layer.multiply(torch.eye(inputs_of(layer)))) for layer in layers]


def inputs_of(layer):
    if isinstance(layer, RowParallelLinear):
        return layer.columns.stop - layer.columns.start
    return layer.in_features


@METHODS
def test_ranks_that_would_cut_a_group_are_refused(method, tmp_path):
    config = Qwen3Config(**BASE | {"intermediate_size": 128}, head_dim=64)
    peaked_model(config, 0).save_pretrained(tmp_path)

    with pytest.raises(
        CheckpointError, match="groups of 128 inputs share a scale, and --tensor-parallel-size 2"
    ):
        load(tmp_path, method, 0, 2)


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        (
            "llama",
            "w8a8_int8",
            r"'w8a8_int8' is not supported; --quantization int8 and int4 round plain weights",
        ),
        ("llama", "awq", r"'awq': .*config.json has no quantization_config, so its weights are plain"),
        ("mixtral", "int8", r"'int8': this model .* has experts, whose weights are not rounded"),
        ("gpt-oss-mxfp4", "int4", r"'int4': the checkpoint is quantized already, by 'mxfp4'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name, asked, message, checkpoint_of):
    with pytest.raises(CheckpointError, match=message):
        ModelShape.read(checkpoint_of(name).path, ModelConfig(quantization=asked))


def test_a_type_and_a_device_without_a_kernel_are_refused():
    for place, message in (
        (
            Placement(torch.float16, CPU, rounded_bits=8),
            "int8: no kernel multiplies float16 by codes; use --dtype",
        ),
        (
            Placement(torch.float32, torch.device("cuda"), rounded_bits=4),
            "int4: no kernel multiplies .* on a GPU",
        ),
    ):
        with pytest.raises(CheckpointError, match=message):
            scale_group(64, place, 64)


def test_inputs_that_no_group_divides_are_refused(checkpoint_of):
    with pytest.raises(CheckpointError, match="a layer has 112 inputs, no multiple of the 32"):
        load(checkpoint_of("llama").path, "int8")
