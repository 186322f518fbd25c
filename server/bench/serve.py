"""`paddock bench serve`: from flags to a measured run."""

import argparse
import asyncio
import math
import random
import re
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paddock.server.bench import result_file
from paddock.server.bench.api import CHAT_ENDPOINT, RequestSettings, as_sent, check_endpoint
from paddock.server.bench.arrivals import start_times
from paddock.server.bench.dataset import Workload
from paddock.server.bench.dataset_options import repeated_lengths
from paddock.server.bench.errors import BenchError
from paddock.server.bench.lengths import Lengths
from paddock.server.bench.outcome import Outcome
from paddock.server.bench.pages import Pages
from paddock.server.bench.plot import plot_load
from paddock.server.bench.sample import Sample
from paddock.server.bench.serve_flags import api_name, check, local_tokenizer, ramp_up
from paddock.server.bench.summary import Summary, summarize
from paddock.server.bench.tokens import LocalTokens, RemoteTokens, Tokens

KEY_VARIABLE = "OPENAI_API_KEY"
ENDPOINTS = {"openai-chat": CHAT_ENDPOINT, "openai-embeddings": "/v1/embeddings"}
SAMPLING = ("top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty")


class ServeBench:
    """One run. Making it asks the server nothing; wrong flags raise BenchError at once."""

    def __init__(self, options: argparse.Namespace, environ: Mapping[str, str]) -> None:
        self._options = options
        self._backend = api_name(options)
        check(options, self._backend)
        host = f"[{options.host}]" if ":" in options.host else options.host
        self._base_url: str = options.base_url or f"http://{host}:{options.port}"
        self._endpoint = options.endpoint or ENDPOINTS.get(self._backend, "/v1/completions")
        check_endpoint(self._backend, self._endpoint)
        self._headers = dict(options.header)
        key = environ.get(KEY_VARIABLE, "").strip()
        if key and "authorization" not in map(str.lower, self._headers):
            self._headers["Authorization"] = f"Bearer {key}"
        self._pages = Pages(self._base_url, self._headers)
        self._ramp_up = ramp_up(options)
        self._rate = math.inf if options.request_rate is None else options.request_rate
        self._burstiness = 1.0 if options.burstiness is None else options.burstiness

    def run(self) -> Summary:
        """Wait for the server, send the load, write what was asked for. Raises BenchError."""
        options = self._options
        self._pages.wait_until_healthy(options.ready_check_timeout_sec)
        model = options.served_model_name or options.model or self._pages.first_model()
        samples = self._samples(model)
        path = self._result_path(model)
        # The load's client is imported here: help and refusals come without it.
        from paddock.server.bench.load import Target, run_load, warm_up

        target = Target(
            self._base_url + self._endpoint,
            options.lora_modules or [model],
            self._headers,
            options.request_id_prefix or f"bench-{uuid.uuid4().hex[:8]}-",
            self._settings(),
        )
        times = start_times(
            len(samples), self._rate, self._burstiness, self._ramp_up, random.Random(options.seed)
        )
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            if options.num_warmups:
                _refuse_failures(runner.run(warm_up(target, samples, options.num_warmups)))
            self._profile("start")
            run = runner.run(
                run_load(
                    target, samples, times, options.max_concurrency, options.seed, not options.disable_tqdm
                )
            )
            self._profile("stop")
        summary = summarize(run.outcomes, run.seconds, options.metric_percentiles, dict(options.goodput))
        if path is not None:
            result = self._result(model, summary)
            if options.save_detailed:
                result |= result_file.details(run.outcomes)
            result_file.write(path, result, options.append_result)
            print(f"result: {path}", file=sys.stderr)
        if options.plot is not None:
            plot_load(options.plot, run.outcomes, f"{options.label or self._backend}: {model}")
            print(f"plot: {options.plot}", file=sys.stderr)
        return summary

    def _samples(self, model: str) -> list[Sample]:
        found: list[Tokens] = []

        def tokens() -> Tokens:
            if not found:
                found.append(self._tokens(model))
            return found[0]

        workload = self._workload()
        print(f"making {workload.num_prompts} prompts ({workload.name})", file=sys.stderr)
        return as_sent(self._backend, workload.samples(tokens()), tokens)

    def _tokens(self, model: str) -> Tokens:
        name = local_tokenizer(self._options)
        if name is None:
            return RemoteTokens(self._pages, model)
        return LocalTokens.load(name, self._options.trust_remote_code)

    def _workload(self) -> Workload:
        options = self._options
        lengths = Lengths(
            random_input=options.random_input_len,
            random_output=options.random_output_len,
            random_range_ratio=options.random_range_ratio,
            random_prefix=options.random_prefix_len,
            random_batch=options.random_batch_size,
            sharegpt_output=options.sharegpt_output_len,
            custom_output=options.custom_output_len,
            spec_bench_output=options.spec_bench_output_len,
            sonnet_input=options.sonnet_input_len,
            sonnet_output=options.sonnet_output_len,
            sonnet_prefix=options.sonnet_prefix_len,
            **repeated_lengths(options),
        )
        return Workload(
            options.dataset_name, options.dataset_path, options.num_prompts, lengths, options.seed,
            shuffle=not options.disable_shuffle, oversample=not options.no_oversample,
            chat_template=self._backend in ("openai", "vllm") and not options.skip_chat_template,
            category=options.spec_bench_category,
        )  # fmt: skip

    def _settings(self) -> RequestSettings:
        options = self._options
        sampling: dict[str, Any] = {name: getattr(options, name) for name in SAMPLING}
        sampling["temperature"] = 0.0 if options.temperature is None else options.temperature
        if options.ignore_eos:
            sampling["ignore_eos"] = True
        return RequestSettings(
            self._backend, sampling, options.logprobs, options.use_beam_search, options.extra_body
        )

    def _profile(self, what: str) -> None:
        if not self._options.profile:
            return
        status, answer = self._pages.post(f"/{what}_profile", {})
        if status != 200:
            raise BenchError(f"--profile: the server's /{what}_profile answered {status}: {answer}")

    def _result_path(self, model: str) -> Path | None:
        options = self._options
        if not (options.save_result or options.append_result):
            return None
        rate = "inf" if math.isinf(self._rate) else f"{self._rate:g}"
        concurrency = f"-concurrency{options.max_concurrency}" if options.max_concurrency else ""
        name = f"{options.label or self._backend}-{rate}qps{concurrency}-{Path(model).name}-"
        made = re.sub(r"[^\w.-]", "_", name) + time.strftime("%Y%m%d-%H%M%S") + ".json"
        path = Path(options.result_dir or ".") / (options.result_filename or made)
        result_file.check_folder(path, "--result-dir")
        return path

    def _result(self, model: str, summary: Summary) -> dict[str, Any]:
        options = self._options
        infinite = math.isinf(self._rate)
        return {
            "date": time.strftime("%Y%m%d-%H%M%S"),
            "backend": self._backend,
            "endpoint": self._endpoint,
            "label": options.label,
            "model_id": model,
            "tokenizer_id": options.tokenizer or options.model or "server",
            "dataset_name": options.dataset_name,
            "num_prompts": options.num_prompts,
            "seed": options.seed,
            "request_rate": "inf" if infinite else self._rate,  # JSON has no infinity
            "burstiness": self._burstiness,
            "ramp_up_strategy": options.ramp_up_strategy,
            "ramp_up_start_rps": options.ramp_up_start_rps,
            "ramp_up_end_rps": options.ramp_up_end_rps,
            "max_concurrency": options.max_concurrency,
            **summary.as_json(options.percentile_metrics),
            **dict(options.metadata),
        }


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def _refuse_failures(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.error:
            raise BenchError(f"a warm-up request failed: {outcome.error}")
