"""What a batch keeps of its answers, however it is stopped."""

import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paddock.server.batch.errors import BatchError
from paddock.server.batch.journal import Header, Journal
from paddock.server.batch.run import Job, journal_path

HEADER = Header("sha", "model")


def answer(number: int) -> bytes:
    return json.dumps({"custom_id": f"{number}", "text": "é\n"}).encode()


def opened(path: Path, header: Header = HEADER) -> Journal:
    return Journal(path, header)


def test_answers_come_out_in_the_order_of_the_requests(tmp_path: Path) -> None:
    journal = opened(tmp_path / "j")
    for number in (3, 1, 2):
        journal.add(number, answer(number), is_error=number == 2)
    file = io.BytesIO()
    journal.write_to(file)
    assert file.getvalue().splitlines() == [answer(1), answer(2), answer(3)]
    assert journal.num_errors == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(cut=st.integers(0, 400))
def test_a_file_that_is_cut_anywhere_keeps_its_whole_answers(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j"
    path.unlink(missing_ok=True)
    journal = opened(path)
    for number in (1, 2, 3):
        journal.add(number, answer(number), is_error=False)
    journal.close()
    whole = path.read_bytes()
    os.truncate(path, min(cut, len(whole)))

    again = opened(path)
    kept = again.done
    assert kept == set(range(1, len(kept) + 1))
    assert len(kept) == max(0, whole[:cut].count(b"\n") - 1)
    again.add(9, answer(9), is_error=False)
    file = io.BytesIO()
    again.write_to(file)
    assert file.getvalue().splitlines() == [answer(number) for number in (*sorted(kept), 9)]
    again.close()


@pytest.mark.parametrize("other", [Header("other", "model"), Header("sha", "other")])
def test_answers_to_another_batch_are_not_mixed_in(tmp_path: Path, other: Header) -> None:
    opened(tmp_path / "j").close()
    with pytest.raises(BatchError, match="holds answers to another input or of another model: remove it"):
        opened(tmp_path / "j", other)


@pytest.mark.parametrize("text", ["my diary\nof today\n", "my diary"])
def test_a_foreign_file_is_not_overwritten(tmp_path: Path, text: str) -> None:
    (tmp_path / "j").write_text(text)
    with pytest.raises(BatchError, match="is no record of a batch"):
        opened(tmp_path / "j")
    assert (tmp_path / "j").read_text() == text


def test_two_runs_of_one_batch_do_not_meet(tmp_path: Path) -> None:
    first = opened(tmp_path / "j")
    with pytest.raises(BatchError, match="in use by another run of this batch"):
        opened(tmp_path / "j")
    first.close()


def test_only_the_user_can_read_it(tmp_path: Path) -> None:
    opened(tmp_path / "j").close()
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


def test_an_upload_signed_anew_finds_its_answers(tmp_path: Path) -> None:
    def path(output: str) -> Path:
        return journal_path(Job("in", output, tmp_path, [], "model", 1, None), HEADER)

    assert path("https://store/x?signature=1") == path("https://store/x?signature=2")
    assert path("https://store/x?signature=1") != path("https://store/y?signature=1")
    assert path(str(tmp_path / "out.jsonl")).name == "out.jsonl.partial"
