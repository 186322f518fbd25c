"""The forms in which arguments can be written on the command line."""

import pytest

from paddock.engine.config import ArgumentError, ServeConfig, parse_serve


def parse(*words: str) -> ServeConfig:
    return parse_serve(words, {}, warn=lambda warning: pytest.fail(warning))


def test_the_first_word_that_is_no_flag_is_the_model() -> None:
    assert parse("models/tiny", "--seed", "3").model.model == "models/tiny"
    assert parse("--seed", "3", "models/tiny").model.model == "models/tiny"
    assert parse("--model", "models/tiny").model.model == "models/tiny"
    assert parse("--seed", "3", "--", "-odd").model.model == "-odd"


def test_the_model_is_not_given_twice() -> None:
    with pytest.raises(ArgumentError, match="given twice"):
        parse("a", "--model", "b")


@pytest.mark.parametrize("words", [("--max-num-seqs", "7"), ("--max-num-seqs=7",), ("--max_num_seqs", "7")])
def test_a_value_follows_its_flag_or_an_equals_sign(words: tuple[str, ...]) -> None:
    assert parse(*words).scheduler.max_num_seqs == 7


def test_the_last_of_several_values_counts() -> None:
    assert parse("--max-num-seqs", "7", "--max-num-seqs", "8").scheduler.max_num_seqs == 8


def test_aliases_stand_for_long_flags() -> None:
    assert parse("-tp", "1", "-pp=1") == parse()


def test_switches_have_a_negative_form() -> None:
    assert parse("--enforce-eager").model.enforce_eager is True
    assert parse("--no-enable-prefix-caching").cache.enable_prefix_caching is False
    assert parse("--enable-prefix-caching=false").cache.enable_prefix_caching is False
    assert parse().cache.enable_prefix_caching is None


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("1k", 1000), ("1K", 1024), ("25.6k", 25600), ("2M", 2097152), ("8192", 8192), ("0.5m", 500000)],
)
def test_sizes_are_human_readable(text: str, tokens: int) -> None:
    assert parse("--max-model-len", text).model.max_model_len == tokens


@pytest.mark.parametrize(
    "text", ["1.5K", "1.0005k", "0", "-1", "1kk", "k", "1 k", "1e3", "", "0.0k", "9" * 40]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="max-model-len"):
        parse(f"--max-model-len={text}")


def test_lists_are_words_or_one_json_array() -> None:
    assert parse("--served-model-name", "a", "b", "--seed", "1").model.served_model_name == ("a", "b")
    assert parse("--served-model-name", '["a", "-b"]').model.served_model_name == ("a", "-b")
    assert parse("--allowed-origins", '["https://a"]').frontend.allowed_origins == ("https://a",)


def test_a_negative_number_is_a_value_and_no_flag() -> None:
    assert parse("--max-logprobs", "-1").model.max_logprobs == -1


@pytest.mark.parametrize(
    "words",
    [
        ("--override-generation-config", '{"temperature": 0.5, "top_k": 3}'),
        ("--override-generation-config.temperature", "0.5", "--override-generation-config.top_k=3"),
        ("--override_generation_config.top_k", "3", "--override-generation-config", '{"temperature": 0.5}'),
    ],
)
def test_json_is_one_object_or_dotted_keys_in_any_order(words: tuple[str, ...]) -> None:
    defaults = parse(*words).model.override_generation_config

    assert (defaults.temperature, defaults.top_k, defaults.top_p) == (0.5, 3, None)


def test_adapters_are_pairs_or_json_objects() -> None:
    words = ("--enable-lora", "--lora-modules", "a=b", '{"name": "c", "path": "d", "base_model_name": "e"}')
    modules = parse(*words).frontend.lora_modules

    assert [(module.name, module.path, module.base_model_name) for module in modules] == [
        ("a", "b", None),
        ("c", "d", "e"),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-O3",), "--compilation-config.level 3: cannot work here: torch.compile is not used"),
        (("-O.level=3",), "--compilation-config.level 3: "),
        (("-O", "3"), "--compilation-config.level 3: "),
        (('-O={"level":3}',), "--compilation-config.level 3: "),
        (
            ("-O.pass_config.enable_noop", "true"),
            '--compilation-config.pass_config {"enable_noop": true}: ',
        ),
        (
            ("-O.compile_sizes+", "1", "-O.compile_sizes+=2,4"),
            "--compilation-config.compile_sizes [1, 2, 4]: ",
        ),
        (("-O.cudagraph_mode", "FULL"), "; use NONE or FULL_DECODE_ONLY, or leave it out"),
        (("-O.cudagraph_copy_inputs=false",), "; use true, or leave it out"),
        (
            ("--mm-processor-kwargs.crops.max", "2", "--mm-processor-kwargs.x+", "a"),
            '{"crops": {"max": 2}, "x": ["a"]}: not supported yet',
        ),
        (("--kv-transfer-config.engine_id", "5"), '{"engine_id": "5"}: not supported yet'),
    ],
)
def test_arguments_that_cannot_be_acted_on_are_read_all_the_same(
    words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse(*words)

    assert message in str(caught.value)


def test_a_repeated_flag_adds_up() -> None:
    assert parse("--middleware", "a.b", "--middleware", "c.d").frontend.middleware == ("a.b", "c.d")


def test_dotted_keys_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ArgumentError, match="does not fit"):
        parse("--hf-overrides.a", "1", "--hf-overrides.a.b", "2")


def test_a_bare_token_flag_needs_no_value() -> None:
    assert parse("--hf-token", "--seed", "1").model.hf_token is True


def test_nothing_given_is_the_default_configuration() -> None:
    assert parse() == ServeConfig()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-be", "trt"), "--backend trt: must be one of vllm, sglang"),
        (("--backend",), "--backend: needs a value"),
        (("-ga", "gateway:4000"), "--gateway-address gateway:4000: not supported yet: there is no gateway"),
        (("--hi", "0"), "--heartbeat-interval 0: must be a whole number from 1"),
        (("--hi", "10"), "--heartbeat-interval 10: not supported yet"),
        (("--ls=false",), "--log-streaming false: not supported yet"),
        (("--ls=maybe",), '--log-streaming "maybe": must be true or false'),
        (("--no-log-streaming",), "--no-log-streaming: unknown flag"),
    ],
)
def test_worker_arguments_are_checked_and_a_gateway_is_refused_for_now(
    words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse(*words)

    assert message in str(caught.value)


def test_worker_arguments_at_their_defaults_change_nothing() -> None:
    assert parse("-be", "vllm", "--hi", "30", "--ls") == parse()
