"""The engine as the server runs it: a child process, a socket, a real model."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from paddock import __version__
from paddock.engine.messages import AddRequest, Hello, Ready
from paddock.engine.sampling.params import SamplingParams

pytestmark = pytest.mark.timeout(180)


def greeted(engines, engine):
    connection = engines.connect(engine)
    connection.send(Hello(__version__))
    return connection, connection.receive(Ready)


def test_an_engine_answers_ignores_signals_and_stops_cleanly(engines) -> None:
    engine = engines.start()
    folder = Path(engine.address.removeprefix("ipc://")).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    connection, ready = greeted(engines, engine)
    assert (ready.num_blocks, ready.max_model_len, ready.block_size) == (64, 256, 16)

    first = connection.generate([5, 6, 7, 8], 24)
    os.kill(engine.pid, signal.SIGTERM)
    os.kill(engine.pid, signal.SIGINT)
    assert connection.generate([5, 6, 7, 8], 24) == first
    assert engine.poll() is None
    assert engine.failure() is None

    engine.stop()

    assert engine.poll() == 0
    assert engine.failure() is None
    assert not folder.exists()


def test_a_killed_engine_says_what_killed_it(engines) -> None:
    engine = engines.start()
    greeted(engines, engine)

    os.kill(engine.pid, signal.SIGKILL)

    assert engine.wait(30) == -signal.SIGKILL
    assert "memory limit" in engine.failure()


def test_a_model_folder_that_is_missing_is_told_in_words(engines, tmp_path) -> None:
    engine = engines.start(model=tmp_path / "nowhere")

    assert engine.wait(60) == 1
    assert "nowhere" in engine.failure()
    assert "does not exist" in engine.failure()
    assert "Traceback" not in engine.failure()


def test_a_cache_too_small_for_the_context_names_the_context_that_fits(engines) -> None:
    engine = engines.start("--num-gpu-blocks-override", "4")

    assert engine.wait(60) == 1
    assert "largest --max-model-len that fits is 64" in engine.failure()


def test_the_engine_dies_with_the_process_that_started_it(engines) -> None:
    program = (
        "import sys, pathlib\n"
        "from paddock.engine.config import parse_serve\n"
        "from paddock.engine.launch import EngineProcess\n"
        "config = parse_serve([sys.argv[1], '--max-model-len', '256'], {})\n"
        "print(EngineProcess.start(config, pathlib.Path(sys.argv[1])).pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(engines.model)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    engine = psutil.Process(int(parent.stdout.readline()))

    parent.kill()
    parent.wait()

    engine.wait(timeout=30)


def test_a_stop_in_the_middle_of_loading_is_prompt_and_no_failure(engines) -> None:
    engine = engines.start()

    engine.stop()

    assert engine.poll() is not None
    assert engine.failure() is None


def test_the_process_is_told_no_secret(engines) -> None:
    from paddock.engine.launch import _order

    config = engines.configure(engines.model, "--api-key", "sesame")

    order = _order("ipc:///nowhere", config, engines.model, door=None)

    assert b"sesame" not in order


def test_launching_loads_neither_torch_nor_transformers() -> None:
    program = "import sys, paddock.engine.launch; print({'torch', 'transformers'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert printed.stdout.strip() == "set()"


def test_many_requests_at_once_all_end(engines) -> None:
    engine = engines.start("--max-num-seqs", "4", "--max-num-batched-tokens", "32")
    connection, _ = greeted(engines, engine)
    sampling = SamplingParams(max_tokens=12, temperature=0.7, ignore_eos=True)
    for number in range(20):
        connection.send(AddRequest(str(number), [4 + number % 3] * 30, sampling, float(number)))

    lengths: dict[str, int] = {}
    unfinished = {str(number) for number in range(20)}
    while unfinished:
        for output in connection.outputs():
            lengths[output.request_id] = lengths.get(output.request_id, 0) + len(output.new_token_ids)
            if output.finish_reason:
                unfinished.remove(output.request_id)

    assert set(lengths.values()) == {12}
