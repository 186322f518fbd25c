"""Which code runs a checkpoint, and what is said of a configuration that its family cannot run."""

import json
import sys
from subprocess import run

import pytest
import torch
from model_families import CONFIGS

from paddock.engine.config.model import ModelConfig
from paddock.engine.layers.mxfp4 import dequantize
from paddock.engine.layers.placement import Placement
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.family import Family
from paddock.engine.models.registry import NATIVE_FAMILIES, model_class
from paddock.engine.models.shape import ModelShape

META = Placement(torch.float32, torch.device("meta"))


@pytest.fixture
def read(tmp_path):
    def make(name, *, implementation="auto", **changes):
        config = CONFIGS[name]()
        fields = json.loads(config.to_json_string(use_diff=False)) | changes
        fields["architectures"] = changes.get("architectures", [architecture_of(config)])
        (tmp_path / "config.json").write_text(json.dumps(fields))
        return ModelShape.read(tmp_path, ModelConfig(model_impl=implementation))

    return make


def architecture_of(config):
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as names

    return names[config.model_type]


@pytest.mark.parametrize("architecture", list(NATIVE_FAMILIES))
def test_every_native_family_has_its_class_and_a_test_of_its_tokens(architecture):
    assert model_class(architecture).__mro__[1:]
    assert architecture in {architecture_of(make()) for make in CONFIGS.values()}


def test_only_the_family_that_is_asked_for_is_imported():
    code = (
        "import sys\n"
        "from paddock.engine.models.registry import model_class\n"
        "assert 'torch' not in sys.modules\n"
        "model_class('LlamaForCausalLM')\n"
        "print([name for name in sys.modules if name.endswith(('gemma', 'moe', 'transformers'))])\n"
    )

    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_auto_takes_its_own_code_where_there_is_some(read):
    assert read("llama").native
    assert not read("llama", implementation="transformers").native
    assert not read("llama", architectures=["Olmo2ForCausalLM"]).native


def test_a_variant_that_the_own_code_lacks_goes_to_transformers(read):
    assert not read("opt", do_layer_norm_before=False).native
    with pytest.raises(CheckpointError, match="do_layer_norm_before is False, and the engine's own OPT"):
        read("opt", implementation="vllm", do_layer_norm_before=False)


def test_the_own_code_can_be_demanded(read):
    assert read("llama", implementation="vllm").native
    with pytest.raises(
        CheckpointError, match="no code of its own for architecture 'Olmo2ForCausalLM', only for"
    ):
        read("llama", implementation="vllm", architectures=["Olmo2ForCausalLM"])


def test_a_default_fills_what_is_absent_and_leaves_a_null():
    family = Family("m:C", aliases={"hidden_size": ("n_embd",)}, defaults={"cap": 30.0, "bias": True})

    assert family.canonical({"n_embd": 8, "cap": None}) == {
        "n_embd": 8,
        "hidden_size": 8,
        "cap": None,
        "bias": True,
    }


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("gemma2", {"query_pre_attn_scalar": "a"}, "query_pre_attn_scalar is 'a'; expected a number above 0"),
        ("gemma2", {"attn_logit_softcapping": -1}, "attn_logit_softcapping is -1; expected a number above 0"),
        (
            "gemma3",
            {"layer_types": ["full_attention"]},
            "layer_types is .*; expected one entry for each of 4",
        ),
        ("gemma3", {"layer_types": ["chunked"] * 4}, "layer_types holds 'chunked'; 'full_attention' and"),
        (
            "gemma3",
            {"rope_parameters": {"full_attention": 3}},
            "rope_parameters.full_attention is 3; expected an object",
        ),
        ("gpt2", {"activation_function": "tanh"}, "hidden_act 'tanh' is not supported; use 'gelu_"),
        ("mixtral", {"num_experts_per_tok": 9}, "num_experts_per_tok is 9; .* at least 1 and at most 5"),
        ("mixtral", {"num_local_experts": 0}, "num_local_experts is 0; expected a whole number"),
        ("qwen3-moe", {"mlp_only_layers": "1"}, "mlp_only_layers is '1'; expected a list of layer numbers"),
        ("qwen3-moe", {"norm_topk_prob": "yes"}, "norm_topk_prob is 'yes'; expected true or false"),
        ("deepseek-v2", {"topk_method": "noaux"}, "topk_method 'noaux' is not supported; use 'greedy' or"),
        ("deepseek-v3", {"n_group": 3}, "n_group 3 does not divide n_routed_experts 8"),
        ("gpt-oss-mxfp4", {"quantization_config": {"quant_method": "awq"}}, "quantization_config 'awq'"),
        (
            "gpt-oss-mxfp4",
            {"quantization_config": {"quant_method": "mxfp4"}, "intermediate_size": 48},
            "intermediate_size / tensor_parallel_size is 48, no multiple of the 32 values",
        ),
        ("opt", {"word_embed_proj_dim": 32}, "word_embed_proj_dim 32 other than hidden_size 64"),
    ],
)
def test_a_malformed_configuration_is_refused_by_its_key(read, name, changes, message):
    def build():
        shape = read(name, **changes)
        model_class(shape.architecture)(shape, META, 16)

    with pytest.raises(CheckpointError, match=message):
        build()


def test_mxfp4_values_are_those_of_the_format():
    # Codes 0 to 15, low bits first, then a second group of code 7 with another scale.
    blocks = torch.tensor([[[low + 16 * (low + 1) for low in range(0, 16, 2)] * 2, [0x77] * 16]]).byte()
    scales = torch.tensor([[127, 129]]).byte()

    values = dequantize(blocks, scales, torch.float32)

    positive = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    assert values[0, :16].tolist() == positive + [-value for value in positive]
    assert values[0, 32:].tolist() == [24.0] * 32
