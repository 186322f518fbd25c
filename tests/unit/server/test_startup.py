"""Ports, tokenizers and timeouts: faults are found before anything slow begins."""

import socket
from pathlib import Path

import pytest

from paddock.server.cli.main import main
from paddock.server.cli.serve import help_topic
from paddock.server.listener import PortError, bind
from paddock.server.startup import StartError, Timeouts, outputs_per_turn, step_sizes_interval
from paddock.server.tokens.tokenizer import Tokenizer, TokenizerError


def test_a_bound_port_does_not_answer_yet() -> None:
    with bind("127.0.0.1", 0) as listener, socket.socket() as caller:
        assert caller.connect_ex(listener.getsockname()) != 0


@pytest.mark.parametrize("host", ["127.0.0.1", None])
def test_a_port_in_use_names_the_port_and_the_way_out(host: str | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=rf"port {port} .*--port"):
            bind(host, port)


def test_without_a_host_both_families_reach_the_port() -> None:
    with bind(None, 0) as listener:
        listener.listen()
        port = listener.getsockname()[1]
        for address in ("127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])):
            socket.create_connection((address, port), timeout=5).close()


def test_an_unknown_host_is_a_port_error() -> None:
    with pytest.raises(PortError, match="no-such-host"):
        bind("no-such-host.invalid", 0)


@pytest.mark.parametrize("name", ["PADDOCK_DRAIN_TIMEOUT_SECONDS", "PADDOCK_STEP_TIMEOUT_SECONDS"])
@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", ""])
def test_a_timeout_that_is_no_number_is_named(name: str, value: str) -> None:
    with pytest.raises(StartError, match=name):
        Timeouts.read({name: value})


def test_no_step_is_hung_before_it_can_be_told() -> None:
    with pytest.raises(StartError, match="from 1 to 86400"):
        Timeouts.read({"PADDOCK_STEP_TIMEOUT_SECONDS": "0"})


@pytest.mark.parametrize("value", ["soon", "-1", "1999", "1.5", "999999999999"])
def test_a_time_of_silence_that_makes_no_sense_is_named(value: str) -> None:
    with pytest.raises(StartError, match="PADDOCK_RPC_TIMEOUT"):
        Timeouts.read({"PADDOCK_RPC_TIMEOUT": value})


def test_timeouts_come_from_the_environment() -> None:
    assert Timeouts.read({"PADDOCK_RPC_TIMEOUT": "2500"}).silence == 2.5
    assert Timeouts.read({"PADDOCK_DRAIN_TIMEOUT_SECONDS": "2.5"}) == Timeouts(2.5, 300.0)


@pytest.mark.parametrize("value", ["many", "0", "-3", "1.5"])
def test_a_number_of_outputs_that_is_none_is_named(value: str) -> None:
    with pytest.raises(StartError, match=r"PADDOCK_V1_OUTPUT_PROC_CHUNK_SIZE.*at least 1"):
        outputs_per_turn({"PADDOCK_V1_OUTPUT_PROC_CHUNK_SIZE": value})


def test_lines_on_sizes_of_steps_come_not_too_often() -> None:
    name = "PADDOCK_LOG_BATCHSIZE_INTERVAL"
    assert [step_sizes_interval({name: text}) for text in ("-1", "", "2.5")] == [None, None, 2.5]
    with pytest.raises(StartError, match=f"{name}.*at least 0.1"):
        step_sizes_interval({name: "0"})


def test_a_folder_without_tokenizer_says_how_to_convert(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="save_pretrained"):
        Tokenizer(tmp_path)


@pytest.mark.parametrize("text", ["{", '{"version": "1.0"}'])
def test_a_broken_tokenizer_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        Tokenizer(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_tokenizer_config_is_named(tmp_path: Path, text: str, byte_level_folder: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((byte_level_folder / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(text)
    with pytest.raises(TokenizerError, match=r"tokenizer_config\.json"):
        Tokenizer(tmp_path)


def test_help_topics_are_found_anywhere() -> None:
    assert help_topic(["model", "--port", "1"]) is None
    assert help_topic(["model", "-h"]) == ""
    assert help_topic(["--help=CacheConfig"]) == "CacheConfig"


def test_an_unknown_command_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fly"]) == 2
    assert "'fly'" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_the_commands(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    assert "serve MODEL" in capsys.readouterr().out
