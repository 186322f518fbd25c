"""Streamed text equals the tokenizer's own batch decode, whatever the tokens are."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paddock.server.tokens.tokenizer import Tokenizer

relaxed = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200
)


def pieces(tokenizer: Tokenizer, token_ids: list[int], skip: bool = True) -> list[str]:
    detokenizer = tokenizer.detokenizer([], skip)
    return [*(detokenizer.push(token_id) for token_id in token_ids), detokenizer.flush()]


@relaxed
@given(token_ids=st.lists(st.integers(0, 450)), skip=st.booleans())
def test_any_byte_level_tokens_stream_to_their_batch_decode(
    tokenizer: Tokenizer, token_ids: list[int], skip: bool
) -> None:
    assert "".join(pieces(tokenizer, token_ids, skip)) == tokenizer.decode(token_ids, skip)


@relaxed
@given(text=st.text())
def test_a_valid_text_never_shows_half_a_character(tokenizer: Tokenizer, text: str) -> None:
    shown = pieces(tokenizer, tokenizer.encode(text, False), skip=False)
    assert all("�" not in piece for piece in shown) or "�" in text
    assert "".join(shown) == text


@relaxed
@given(text=st.text(alphabet=st.characters(exclude_characters="▁", exclude_categories=["Cs"])))
def test_byte_fallback_text_streams_to_its_batch_decode(byte_fallback_folder: Path, text: str) -> None:
    tokenizer = Tokenizer(byte_fallback_folder)
    token_ids = tokenizer.encode(text, False)
    shown = pieces(tokenizer, token_ids)
    assert "".join(shown) == tokenizer.decode(token_ids, True)
    assert "�" in text or not any("�" in piece for piece in shown)


@relaxed
@given(token_ids=st.lists(st.integers(0, 499), max_size=40))
def test_any_byte_fallback_tokens_stream_without_an_error(
    byte_fallback_folder: Path, token_ids: list[int]
) -> None:
    pieces(Tokenizer(byte_fallback_folder), token_ids)


def test_a_word_after_the_prompt_keeps_its_leading_space(byte_fallback_folder: Path) -> None:
    tokenizer = Tokenizer(byte_fallback_folder)
    prompt, both = tokenizer.encode("the quick", False), tokenizer.encode("the quick brown", False)
    detokenizer = tokenizer.detokenizer(prompt, True)
    text = "".join(detokenizer.push(token_id) for token_id in both[len(prompt) :])
    assert text + detokenizer.flush() == " brown"


def test_special_tokens_show_only_when_asked(tokenizer: Tokenizer) -> None:
    token_ids = tokenizer.encode("fox<|im_end|>", False)
    assert "".join(pieces(tokenizer, token_ids, skip=True)) == "fox"
    assert "".join(pieces(tokenizer, token_ids, skip=False)) == "fox<|im_end|>"


def test_token_bytes_of_a_text_join_to_its_utf8(tokenizer: Tokenizer) -> None:
    text = "Köln 日本語 👩‍👩‍👧"
    assert b"".join(map(tokenizer.token_bytes, tokenizer.encode(text, False))) == text.encode()


def test_an_id_beyond_the_vocabulary_has_no_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.token_bytes(10_000) == b""
    assert pieces(tokenizer, [10_000]) == ["", ""]
