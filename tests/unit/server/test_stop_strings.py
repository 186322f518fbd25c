"""Stop strings end the text at the same place, however the text is cut into pieces."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.server.tokens.stop_strings import StopHit, StopStrings

short_text = st.text(alphabet="abc", max_size=24)
stop_lists = st.lists(st.text(alphabet="abc", min_size=1, max_size=4), min_size=1, max_size=3)


def run(pieces: list[str], stops: list[str], include: bool = False) -> tuple[str, str | None]:
    scanner = StopStrings(stops, include)
    shown = ""
    for piece in pieces:
        found = scanner.push(piece)
        if isinstance(found, StopHit):
            return shown + found.text, found.stop
        shown += found
    return shown + scanner.flush(), None


def expected(text: str, stops: list[str]) -> tuple[str, str | None]:
    """By definition: read one character at a time, look at the end of the text, list order breaks ties."""
    for end in range(1, len(text) + 1):
        for stop in stops:
            if text[:end].endswith(stop):
                return text[: end - len(stop)], stop
    return text, None


@given(text=short_text, stops=stop_lists, cuts=st.sets(st.integers(0, 24)))
def test_any_cut_gives_the_result_of_single_characters(text: str, stops: list[str], cuts: set[int]) -> None:
    borders = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in itertools.pairwise(borders)]
    assert run(pieces, stops) == expected(text, stops)


@given(text=short_text, stops=stop_lists)
def test_held_text_can_still_become_a_stop_and_shown_text_cannot(text: str, stops: list[str]) -> None:
    scanner = StopStrings(stops)
    shown = ""
    for character in text:
        found = scanner.push(character)
        if isinstance(found, StopHit):
            return
        shown += found
    held = scanner.flush()
    assert shown + held == text
    assert not held or any(stop.startswith(held) for stop in stops)


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_stop_across_a_piece_border_is_cut_out(cut: int) -> None:
    text = "one STOP two"
    assert run([text[: cut + 3], text[cut + 3 :]], ["STOP"]) == ("one ", "STOP")


def test_the_stop_itself_stays_when_asked_for() -> None:
    assert run(["one STO", "P two"], ["STOP"], include=True) == ("one STOP", "STOP")


def test_a_match_before_min_tokens_does_not_count_later() -> None:
    scanner = StopStrings(["ab"])
    assert scanner.push("ab", check=False) == "ab"
    assert scanner.push("c") == "c"
