"""Flags that cannot be followed are refused by name before anything slow begins, with the reason and what to do."""

from pathlib import Path

import pytest
from serving import SMALL_CACHE, TINY_MODEL

from paddock.server.batch import transfer
from paddock.server.cli.main import main

Output = pytest.CaptureFixture[str]

MODEL = (str(TINY_MODEL), *SMALL_CACHE)
THROUGHPUT = (
    "bench",
    "throughput",
    str(TINY_MODEL),
    "--dataset-name",
    "random",
    "--input-len",
    "16",
    "--output-len",
    "8",
)


def said(words: list[str], status: int, capsys: Output) -> str:
    """What the command printed as it ended with this status."""
    try:
        found = main(words)
    except SystemExit as end:
        found = int(end.code or 0)
    error = capsys.readouterr().err
    assert found == status, error
    return error


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--dataset-name", "hf"], "--dataset-name hf: data sets of the hub need a library"),
        (["--dataset-name", "random-mm"], "--dataset-name random-mm: it is made of pictures"),
        (["--hf-split", "train"], "--hf-split: data sets of the hub need a library"),
        (["--no-stream"], "--no-stream: data sets of the hub need a library"),
        (["--backend", "openai-audio"], "--backend openai-audio: no model that hears is served"),
        (
            ["--trust-remote-code"],
            "--trust-remote-code is for the code of a tokenizer: name one with --tokenizer",
        ),
        (["--tokenizer-mode", "slow"], "--tokenizer-mode slow: a tokenizer is read from its tokenizer.json"),
        (
            ["--burstiness", "2"],
            "--burstiness shapes the gaps between requests; give a finite --request-rate",
        ),
        (
            ["--ramp-up-strategy", "linear"],
            "--ramp-up-strategy needs --ramp-up-start-rps and a --ramp-up-end-rps",
        ),
        (["--ramp-up-strategy", "linear", "--request-rate", "1"], "sets the rate: leave out --request-rate"),
        (["--ramp-up-end-rps", "1"], "need --ramp-up-strategy"),
        (["--plot", "run.svg"], "--plot run.svg: the picture is a PNG"),
        (["--result-filename", "x"], "--result-dir and --result-filename name a file: give --save-result"),
        (["--save-detailed"], "--save-detailed adds to a file: give --save-result"),
        (["--endpoint", "/v1/chat/completions"], "--backend openai needs a path that ends in /completions"),
        (
            ["--goodput", "itl:5"],
            "argument --goodput: 'itl:5' is not KEY:MILLISECONDS with one of ttft, tpot, e2el",
        ),
        (
            ["--percentile-metrics", "x"],
            "argument --percentile-metrics: 'x' is none of ttft, tpot, itl, e2el",
        ),
        (["--request-rate", "0"], "argument --request-rate: '0' is not a number above 0"),
        (["--extra-body", "[]"], "argument --extra-body: '[]' is not a JSON object"),
        (
            ["--random-range-ratio", "1"],
            "argument --random-range-ratio: '1' is not a number from 0 to below 1",
        ),
        (
            ["--endpoint-type", "openai", "--backend", "vllm"],
            "--endpoint-type openai contradicts --backend vllm",
        ),
    ],
    ids=lambda value: "",
)
def test_bench_serve(words: list[str], problem: str, capsys: Output) -> None:
    assert problem in said(["bench", "serve", *words], 2, capsys)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["latency", *MODEL, "--port", "80"], "--port: paddock bench latency serves nobody over HTTP"),
        (
            ["latency", *MODEL, "--max-model-len", "x"],
            '--max-model-len "x": must be a whole number or a size',
        ),
        (
            ["latency", *MODEL, "--batch-size", "0"],
            "argument --batch-size: '0' is no whole number of at least 1",
        ),
        (["latency", *MODEL, "--nonsense"], "--nonsense: unknown flag"),
        (["latency", *MODEL, "--output-json", "/none/x"], "--output-json /none/x: its folder does not exist"),
        (["throughput", *MODEL], "--dataset-name sharegpt needs a file: name it with --dataset-path"),
        (["throughput", *MODEL, "--dataset-name", "random"], "needs --input-len and --output-len"),
        ([*THROUGHPUT[1:], "--backend", "mii"], "--backend mii: that engine is not part of this"),
        ([*THROUGHPUT[1:], "--backend", "hf"], "--hf-max-batch-size and --backend hf need each other"),
        (
            [*THROUGHPUT[1:], *SMALL_CACHE, "--backend", "hf", "--hf-max-batch-size", "2"],
            "--num-gpu-blocks-override: --backend hf runs transformers",
        ),
        ([*THROUGHPUT[1:], "--lora-path", "x"], "--lora-path: adapters are not supported yet"),
        ([*THROUGHPUT[1:], "--hf-subset", "x"], "--hf-subset: data sets of the hub need a library"),
        ([*THROUGHPUT[1:], "--disable-frontend-multiprocessing"], "concerns --async-engine"),
        ([*THROUGHPUT[1:], "--dataset-path", "x"], "--dataset-path: --dataset-name random reads no file"),
    ],
    ids=lambda value: "",
)
def test_bench_offline(words: list[str], problem: str, capsys: Output) -> None:
    assert problem in said(["bench", *words], 2, capsys)


@pytest.mark.parametrize(
    ("status", "words", "problem"),
    [
        (2, ["-o", "x", *MODEL], "the following arguments are required: -i/--input-file"),
        (
            2,
            ["-i", "s3://a/b", "-o", "x", *MODEL],
            "--input-file s3://a/b: only files and http(s) addresses",
        ),
        (
            2,
            ["-i", "x", "-o", "/none/x", *MODEL],
            "--output-file /none/x: must be a file in a folder that exists",
        ),
        (
            2,
            ["-i", "x", "-o", "x", *MODEL, "--port", "9"],
            "--url and --port are of the metrics: give --enable-metrics",
        ),
        (
            2,
            ["-i", "x", "-o", "x", *MODEL, "--host", "h"],
            "--host: paddock run-batch serves nobody over HTTP",
        ),
        (
            2,
            ["-i", "x", "-o", "x", *MODEL, "--use-v2-block-manager"],
            "there is one block manager; drop the flag",
        ),
        (1, ["-i", "/none/in", "-o", "x", *MODEL], "--input-file /none/in: cannot be read: No such file"),
        (
            1,
            ["-i", "http://127.0.0.1:1/x?s=sesame", "-o", "x", *MODEL],
            "--input-file http://127.0.0.1:1/x: GET failed",
        ),
    ],
    ids=lambda value: "",
)
def test_run_batch(
    status: int,
    words: list[str],
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Output,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(transfer, "FIRST_WAIT_SECONDS", 0.01)
    error = said(["run-batch", *words], status, capsys)
    assert problem in error
    assert "sesame" not in error
