"""Values in force, from arguments and model; contradictions are told in words."""

import json
from pathlib import Path

import pytest

from paddock.engine.config import parse_serve
from paddock.engine.models.shape import ModelShape
from paddock.engine.settings import EngineSettings, SettingsError

SHAPE = {
    "architectures": ["Qwen3ForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
    "max_position_embeddings": 4096,
    "eos_token_id": [3, 4],
    "torch_dtype": "bfloat16",
}


@pytest.fixture
def resolve(tmp_path: Path):
    def resolve(*arguments: str, **shape: object) -> EngineSettings:
        (tmp_path / "config.json").write_text(json.dumps({**SHAPE, **shape}))
        config = parse_serve([str(tmp_path), *arguments], {})
        return EngineSettings.resolve(config, ModelShape.read(tmp_path, config.model))

    return resolve


def test_what_is_unset_gets_the_documented_defaults(resolve) -> None:
    settings = resolve()

    assert (settings.block_size, settings.max_num_seqs, settings.max_num_batched_tokens) == (16, 256, 2048)
    assert settings.enable_prefix_caching
    assert settings.enable_chunked_prefill
    assert (settings.max_model_len, settings.vocab_size, settings.eos_token_ids) == (4096, 500, (3, 4))
    assert settings.max_waiting == 4 * 256


def test_what_is_set_is_in_force(resolve) -> None:
    settings = resolve(
        *("--max-model-len", "1k", "--block-size", "32", "--max-num-seqs", "8", "--seed", "5"),
        *("--max-num-batched-tokens", "64", "--no-enable-prefix-caching", "--num-gpu-blocks-override", "99"),
        *("--kv-cache-memory-bytes", "1M", "--gpu-memory-utilization", "0.5"),
    )

    assert (settings.max_model_len, settings.block_size, settings.max_num_seqs) == (1000, 32, 8)
    assert (settings.max_num_batched_tokens, settings.enable_prefix_caching) == (64, False)
    assert (settings.num_gpu_blocks_override, settings.kv_cache_memory_bytes) == (99, 1 << 20)
    assert (settings.gpu_memory_utilization, settings.seed, settings.max_waiting) == (0.5, 5, 32)


def test_a_context_beyond_the_model_is_refused_with_the_longest_it_has(resolve) -> None:
    with pytest.raises(
        SettingsError, match=r"--max-model-len 5000 is more than the 4096 .* use at most 4096"
    ):
        resolve("--max-model-len", "5000")


def test_without_sliding_windows_the_context_ends_with_the_smallest_window(resolve) -> None:
    windows = {"use_sliding_window": True, "sliding_window": 700, "max_window_layers": 1}

    assert resolve(**windows).max_model_len == 4096
    assert resolve("--disable-sliding-window", **windows).max_model_len == 700
    assert resolve("--disable-sliding-window", "--max-model-len", "600", **windows).max_model_len == 600
    assert resolve("--disable-sliding-window").max_model_len == 4096, "no layer has a window"
    with pytest.raises(SettingsError, match=r"700 is more than the window of 512 tokens.* use at most 512"):
        resolve("--disable-sliding-window", "--max-model-len", "700", **(windows | {"sliding_window": 512}))


def test_a_model_of_transformers_states_its_window(resolve) -> None:
    window = {"architectures": ["StarCoder2ForCausalLM"], "sliding_window": 700}
    only = ("--disable-sliding-window", "--model-impl", "transformers")

    assert resolve(*only, **window).max_model_len == 700
    assert resolve(*only, **window, layer_types=["full_attention"] * 2).max_model_len == 4096
    assert resolve(*only, **window, use_sliding_window=False).max_model_len == 4096
    nested = {"text_config": {"sliding_window": 300}, "architectures": ["Gemma3ForConditionalGeneration"]}
    assert resolve(*only, **nested).max_model_len == 300


def test_without_chunking_the_budget_grows_to_the_context_of_the_model(resolve) -> None:
    assert resolve("--no-enable-chunked-prefill").max_num_batched_tokens == 4096
    short = resolve("--no-enable-chunked-prefill", "--max-model-len", "3000")
    assert short.max_num_batched_tokens == 3000


def test_a_budget_that_is_unset_covers_every_running_request(resolve) -> None:
    assert resolve("--max-num-seqs", "3000").max_num_batched_tokens == 3000


def test_prompts_side_by_side_are_long_beyond_a_share_of_the_context(resolve) -> None:
    assert resolve().long_prefill_token_threshold == 0
    assert resolve("--max-num-partial-prefills", "2").long_prefill_token_threshold == 4096 // 25
    with pytest.raises(SettingsError, match="no prompt would ever be long; use at most 4096"):
        resolve("--long-prefill-token-threshold", "5000")


def test_without_chunking_a_budget_below_the_context_is_refused(resolve) -> None:
    with pytest.raises(SettingsError, match="Raise it to at least 4096"):
        resolve("--no-enable-chunked-prefill", "--max-num-batched-tokens", "3000")


@pytest.mark.parametrize(
    ("asked", "checkpoint", "dtype"),
    [
        ("auto", "bfloat16", "bfloat16"),
        ("auto", "float32", "float32"),
        ("float", "bfloat16", "float32"),
        ("half", "bfloat16", "float16"),
        ("bfloat16", "float32", "bfloat16"),
    ],
)
def test_the_data_type_is_the_one_asked_for_or_the_checkpoint_s(resolve, asked, checkpoint, dtype) -> None:
    assert resolve("--dtype", asked, torch_dtype=checkpoint).dtype == dtype


def test_a_float16_checkpoint_stays_so_only_where_it_can_be_computed(resolve) -> None:
    assert resolve(torch_dtype="float16").dtype in ("float16", "bfloat16")


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        ((), (1, 2, 4, 8, 16, 20)),
        (("--cuda-graph-sizes", "10"), (1, 2, 4, 8, 10)),
        (("--cuda-graph-sizes", "3"), (1, 2, 3)),
        (("--cuda-graph-sizes", "12", "3", "500"), (3, 12, 20)),
        (("-O.cudagraph_capture_sizes", "[7]"), (7,)),
        (("-O.max_capture_size", "9"), (1, 2, 4, 8, 9)),
        (("--enforce-eager",), ()),
        (("-O.use_cudagraph=false",), ()),
        (("-O.cudagraph_mode", "NONE"), ()),
    ],
)
def test_decode_steps_are_captured_for_the_sizes_that_are_asked_for(resolve, arguments, sizes) -> None:
    assert resolve("--max-num-seqs", "20", *arguments).graph_sizes == sizes


def test_without_being_asked_steps_of_up_to_512_requests_are_captured(resolve) -> None:
    sizes = resolve("--max-num-seqs", "2000").graph_sizes

    assert sizes == (1, 2, 4, *range(8, 513, 8))
    assert resolve().graph_sizes == tuple(size for size in sizes if size <= 256)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--cuda-graph-sizes", "4", "--enforce-eager"),
            "--cuda-graph-sizes says which sizes are captured, and",
        ),
        (("-O.cudagraph_capture_sizes", "[4]", "-O.cudagraph_mode", "NONE"), "cudagraph_capture_sizes says"),
        (
            ("--cuda-graph-sizes", "4", "-O.cudagraph_capture_sizes", "[4]"),
            "both say which sizes are captured",
        ),
    ],
)
def test_sizes_said_twice_or_for_nothing_are_refused(resolve, arguments, message) -> None:
    with pytest.raises(SettingsError, match=message):
        resolve(*arguments)
