"""Engines whose address space is cut once they serve: `python run_short_of_memory.py FOLDER MEBIBYTES`.

First without a limit, then with MEBIBYTES to spare, one request with a long prompt comes to others that generate. Prints
both runs' tokens by request id, of an engine that plans a step at a time and of one that plans ahead, and what was
logged, as JSON.
"""

import json
import logging
import resource
import sys
from pathlib import Path

import torch
from model_shape import model_shape

from paddock.engine.config import ServeConfig
from paddock.engine.core import EngineCore
from paddock.engine.executor.uni import UniExecutor
from paddock.engine.messages import AddRequest
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings

TOKENS = 2048


def make_core(folder: Path, ahead: bool) -> EngineCore:
    shape = model_shape(intermediate_size=16384, max_position_embeddings=4096)
    settings = EngineSettings(
        max_model_len=4096,
        dtype="float32",
        vocab_size=shape.vocab_size,
        eos_token_ids=(),
        block_size=16,
        max_num_seqs=4,
        max_num_batched_tokens=TOKENS,
        max_waiting=4,
        device="cpu",
        enable_prefix_caching=False,
        async_scheduling=ahead,
        num_gpu_blocks_override=600,
    )
    config = ServeConfig.model_validate({"load": {"load_format": "dummy"}})
    return EngineCore(UniExecutor(settings, config, shape, folder), settings)


def generate(core: EngineCore) -> dict[str, list[int]]:
    tokens: dict[str, list[int]] = {"first": [], "second": [], "long": []}
    prompts = {"first": [3, 1, 4], "second": [1, 5, 9, 2], "long": [step % 50 for step in range(TOKENS - 50)]}
    for request_id, prompt in prompts.items():
        core.add(AddRequest(request_id, prompt, SamplingParams(max_tokens=6, temperature=0), 0.0))
        for outputs in core.step().values():
            for output in outputs:
                tokens[output.request_id] += output.new_token_ids
    while core.has_work:
        for outputs in core.step().values():
            for output in outputs:
                tokens[output.request_id] += output.new_token_ids
    core.check_integrity()
    return tokens


def main() -> None:
    folder, spare = Path(sys.argv[1]), int(sys.argv[2]) << 20
    logged: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("paddock").addHandler(handler)
    torch.set_num_threads(1)
    cores = [make_core(folder, ahead) for ahead in (False, True)]
    at_ease = [generate(core) for core in cores]
    words = Path("/proc/self/status").read_text().split()
    taken = int(words[words.index("VmSize:") + 1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (taken + spare, taken + spare))
    short = [generate(core) for core in cores]
    print(json.dumps({"at_ease": at_ease, "short": short, "logged": logged}))


if __name__ == "__main__":
    main()
