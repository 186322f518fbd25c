"""Tokenizers written in Python: those of transformers under --tokenizer-mode slow, and a repository's own code."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sentencepiece
from custom_code import change, modules_folder, write_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, dynamic_module_utils

from paddock.engine.config import ModelConfig
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.transformers_backend import custom_class
from paddock.server.bench.errors import BenchError
from paddock.server.bench.tokens import LocalTokens
from paddock.server.tokens.choice import load_tokenizer
from paddock.server.tokens.tokenizer import Tokenizer, TokenizerError

TEXTS = ["", "hello world", "  two  spaces ", "Är det så?\n\nja, 1234", "unseen: 漢字漢字漢字 🙂 end"]


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom_class, "modules_folder", modules_folder)
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(modules_folder()))


def sentencepiece_folder(folder: Path) -> None:
    """GPT-SW3's layout: a GPT-2 whose vocabulary is a SentencePiece model."""
    corpus = [f"{word} det är hello world {number}, ja så" for number in range(200) for word in ("en", "två")]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=model, vocab_size=120, byte_fallback=False,
        hard_vocab_limit=False, minloglevel=2, user_defined_symbols=["<|endoftext|>", "<pad>"],
    )  # fmt: skip
    (folder / "spiece.model").write_bytes(model.getvalue())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPTSw3Tokenizer"}))


def pair_folder(folder: Path) -> None:
    """CTRL's layout: pairs of letters, its class implied by the model's type."""
    letters = [chr(code) for code in range(97, 123)]
    pieces = [piece for letter in letters for piece in (letter, f"{letter}@@")]
    vocabulary = {piece: index for index, piece in enumerate(["<unk>", *pieces, "he@@", "llo"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\nh e\nl o</w>\nl lo</w>\n")
    (folder / "config.json").write_text(json.dumps({"model_type": "ctrl"}))


@pytest.mark.parametrize("write", [sentencepiece_folder, pair_folder])
def test_a_familys_python_tokenizer_speaks_as_transformers_does(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    write(tmp_path)
    oracle = AutoTokenizer.from_pretrained(tmp_path)
    assert not oracle.is_fast

    found = load_tokenizer(ModelConfig(tokenizer_mode="slow"), tmp_path)

    for text in TEXTS:
        ids = oracle.encode(text)
        assert found.encode(text, True) == ids
        assert found.decode(ids, True) == oracle.decode(ids, skip_special_tokens=True)
        assert pieces(found, ids) == found.decode(ids, True)
    assert found.size == len(oracle)
    with pytest.raises(TokenizerError, match=r"has no tokenizer.json.*--tokenizer-mode slow"):
        load_tokenizer(ModelConfig(), tmp_path)


@pytest.mark.parametrize("write", [sentencepiece_folder, pair_folder])
@given(seed=st.randoms(use_true_random=False), length=st.integers(0, 200))
@settings(max_examples=40, deadline=None)
def test_a_stream_of_any_tokens_is_their_text(
    write: Callable[[Path], None], seed: Random, length: int, tokenizers: dict[Any, Tokenizer]
) -> None:
    tokenizer = tokenizers[write]
    ids = [seed.randrange(tokenizer.size) for _ in range(length)]

    assert pieces(tokenizer, ids) == tokenizer.decode(ids, True)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[Any, Tokenizer]:
    made: dict[Any, Tokenizer] = {}
    for write in (sentencepiece_folder, pair_folder):
        folder = tmp_path_factory.mktemp("tokenizer")
        write(folder)
        made[write] = load_tokenizer(ModelConfig(tokenizer_mode="slow"), folder)
    return made


def test_an_answer_goes_on_where_the_prompt_ends(tokenizers: dict[Any, Tokenizer]) -> None:
    tokenizer = tokenizers[sentencepiece_folder]
    prompt, answer = tokenizer.encode("hello", False), tokenizer.encode("world ja", False)

    stream = tokenizer.detokenizer(prompt, True)

    assert "".join([*(stream.push(each) for each in answer), stream.flush()]) == " world ja"


def pieces(tokenizer: Tokenizer, ids: list[int]) -> str:
    stream = tokenizer.detokenizer([], True)
    return "".join([*(stream.push(each) for each in ids), stream.flush()])


def test_a_family_without_a_python_tokenizer_is_refused_by_name(tmp_path: Path) -> None:
    for name in ("LlamaTokenizerFast", "Qwen2Tokenizer", "PreTrainedTokenizerFast", "NoSuchTokenizer"):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
        with pytest.raises(TokenizerError, match=rf"slow: .*: {name} has no Python implementation.*auto"):
            load_tokenizer(ModelConfig(tokenizer_mode="slow"), tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(TokenizerError, match="its files name no tokenizer class"):
        load_tokenizer(ModelConfig(tokenizer_mode="slow"), tmp_path)


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "CTRLTokenizer"}')

    with pytest.raises(TokenizerError, match="the tokenizer CTRLTokenizer cannot be read"):
        load_tokenizer(ModelConfig(tokenizer_mode="slow"), tmp_path)


def test_ids_outside_of_the_vocabulary_have_no_text(tmp_path: Path) -> None:
    sentencepiece_folder(tmp_path)
    found = load_tokenizer(ModelConfig(tokenizer_mode="slow"), tmp_path)
    ids = found.encode("hello", False)

    assert found.decode([*ids, found.size, 10**9, -1], False) == found.decode(ids, False)
    assert pieces(found, [*ids, found.size]) == found.decode(ids, True)
    assert (found.token_bytes(found.size), found.token_bytes(-1)) == (b"", b"")


def test_special_tokens_of_the_class_are_known(tmp_path: Path) -> None:
    sentencepiece_folder(tmp_path)
    found = load_tokenizer(ModelConfig(tokenizer_mode="slow"), tmp_path)

    assert found.special_tokens["eos_token"] == "<|endoftext|>"
    ids = found.encode("ja<|endoftext|>", False)
    assert (found.decode(ids, True), found.decode(ids, False)) == ("ja", " ja<|endoftext|>")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    write_tokenizer(tmp_path / "own")
    return tmp_path / "own"


def trusting(**values: Any) -> ModelConfig:
    return ModelConfig(trust_remote_code=True, **values)


def test_a_repositorys_own_tokenizer_runs_with_the_flag_only(own: Path) -> None:
    found = load_tokenizer(trusting(), own)

    assert found.encode("abc", False) == [65, 66, 67]
    assert found.decode([65, 66, 90], True) == "ab"
    assert found.special_tokens == {"eos_token": "<end>"}
    with pytest.raises(TokenizerError, match=r"has no tokenizer.json.*--trust-remote-code"):
        load_tokenizer(ModelConfig(), own)


def test_a_benchmark_counts_with_it_when_told_to(own: Path) -> None:
    assert LocalTokens.load(str(own), trust_remote_code=True).encode("abc") == [65, 66, 67]
    with pytest.raises(BenchError, match=r"has no tokenizer\.json"):
        LocalTokens.load(str(own))


def test_code_beside_a_tokenizer_json_is_taken_with_the_flag_only(own: Path, byte_level_folder: Path) -> None:
    shutil.copyfile(byte_level_folder / "tokenizer.json", own / "tokenizer.json")

    assert load_tokenizer(trusting(), own).encode("abc", False) == [65, 66, 67]
    assert type(load_tokenizer(ModelConfig(), own)) is Tokenizer
    (own / "tokenizer_config.json").unlink()
    assert type(load_tokenizer(trusting(), own)) is Tokenizer


def test_slow_takes_the_python_class_of_the_two(own: Path) -> None:
    twice = (own / "tokenization_own.py").read_text().replace("OwnTokenizer", "OwnTokenizerFast")
    (own / "tokenization_fast.py").write_text(twice.replace("list(text)", "list(text * 2)"))
    classes = ["tokenization_own.OwnTokenizer", "tokenization_fast.OwnTokenizerFast"]
    change(own / "tokenizer_config.json", auto_map={"AutoTokenizer": classes})

    assert load_tokenizer(trusting(), own).encode("ab", False) == [65, 66, 65, 66]
    assert load_tokenizer(trusting(tokenizer_mode="slow"), own).encode("ab", False) == [65, 66]


@pytest.mark.parametrize(
    ("auto_map", "message"),
    [
        (
            {"AutoTokenizer": ["a.B", None, None]},
            r"auto_map.AutoTokenizer is .*; expected a Python and a fast",
        ),
        ({"AutoTokenizer": ["../a.B", None]}, r"auto_map.AutoTokenizer is '../a.B'; expected module.Class"),
        ({"AutoTokenizer": 7}, r"auto_map.AutoTokenizer is '7'"),
        ({"AutoTokenizer": ["missing.Tokenizer", None]}, r"missing.Tokenizer cannot be imported"),
    ],
)
def test_a_wrong_reference_is_named(own: Path, auto_map: Any, message: str) -> None:
    change(own / "tokenizer_config.json", auto_map=auto_map)

    with pytest.raises(CheckpointError, match=message):
        load_tokenizer(trusting(), own)
