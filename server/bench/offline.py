"""The engine core in this process, without HTTP: requests in, every token out, as fast as it goes."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from paddock.engine.config import ServeConfig
from paddock.engine.messages import AddRequest, PositionLogprobs, RequestOutput
from paddock.engine.sampling.params import SamplingParams
from paddock.server.bench.errors import BenchError
from paddock.server.generation.beam_search import BeamRules, BeamSearch

if TYPE_CHECKING:
    from paddock.engine.core import EngineCore
    from paddock.engine.settings import EngineSettings
    from paddock.server.tokens.detokenizer import Detokenizer
    from paddock.server.tokens.tokenizer import Tokenizer

ARRIVAL = 0.0
"""Nobody looks at queueing times here."""


class OfflineEngine:
    """A loaded model. `generate` works off any number of requests; the core's queue is kept full, not fuller."""

    def __init__(self, core: "EngineCore", tokenizer: "Tokenizer | None") -> None:
        """Without a tokenizer, tokens stay ids."""
        self._core = core
        self._tokenizer = tokenizer
        self._count = 0

    @classmethod
    def load(cls, config: ServeConfig, folder: Path, tokenizer: "Tokenizer | None") -> "OfflineEngine":
        """Raises BenchError."""
        from paddock.engine.core_process import USER_ERRORS, load
        from paddock.engine.garbage_collector import settle_garbage_collector

        try:
            core = load(config, folder)
        except USER_ERRORS as error:
            raise BenchError(str(error).rstrip(".") or "not enough memory") from None
        settle_garbage_collector()
        return cls(core, tokenizer)

    @property
    def settings(self) -> "EngineSettings":
        return self._core.settings

    def close(self) -> None:
        self._core.shutdown()

    def generate(
        self,
        prompts: Sequence[tuple[list[int], SamplingParams]],
        on_finished: Callable[[int], None] = lambda _: None,
    ) -> list[list[RequestOutput]]:
        """The outputs of each request, in the order given. `on_finished` hears the number of output tokens."""
        requests = [self._request(token_ids, sampling) for token_ids, sampling in prompts]
        waiting = iter(requests)
        outputs: dict[str, list[RequestOutput]] = {request.request_id: [] for request in requests}
        texts = self._detokenizers(requests)
        held = self._fill(next(waiting, None), waiting)
        while self._core.has_work:
            for output in self._core.step().get(b"", []):
                outputs[output.request_id].append(output)
                if texts:
                    push_all(texts[output.request_id], output)
                if output.finish_reason is not None:
                    _check(output)
                    on_finished(sum(len(each.new_token_ids) for each in outputs[output.request_id]))
            held = self._fill(held, waiting)
        return list(outputs.values())

    def _fill(self, first: AddRequest | None, others: Iterator[AddRequest]) -> AddRequest | None:
        """Hand requests over until the queue is full; the one that found no place, or None."""
        request = first
        while request is not None:
            refusal = self._core.add(request)
            if refusal is not None and refusal.status == 503:
                return request
            if refusal is not None:
                raise BenchError(refusal.message.rstrip("."))
            request = next(others, None)
        return None

    def _request(self, token_ids: list[int], sampling: SamplingParams) -> AddRequest:
        self._count += 1
        return AddRequest(str(self._count), token_ids, sampling, ARRIVAL)

    def _detokenizers(self, requests: Sequence[AddRequest]) -> dict[str, "Detokenizer"]:
        if self._tokenizer is None:
            return {}
        return {
            request.request_id: self._tokenizer.detokenizer(request.prompt_token_ids, True)
            for request in requests
        }

    def search_beams(self, prompts: Sequence[list[int]], width: int, num_tokens: int) -> int:
        """Beam search over prompts that advance together, end tokens as good as others; the tokens of all beams."""
        rules = BeamRules(width, num_tokens, length_penalty=1.0, early_stopping=False, end_ids=frozenset())
        searches = [BeamSearch(rules) for _ in prompts]
        sampling = SamplingParams(
            max_tokens=1, temperature=0.0, logprobs=rules.num_candidates, ignore_eos=True
        )
        while not all(search.over for search in searches):
            step = [
                ([*prompt, *beam.token_ids], sampling)
                for prompt, search in zip(prompts, searches, strict=True)
                for beam in search.beams
            ]
            candidates = iter([_best(outputs) for outputs in self.generate(step)])
            for search in searches:
                search.advance([next(candidates) for _ in search.beams])
        return sum(len(one.beam.token_ids) for search in searches for one in search.finished)


def push_all(detokenizer: "Detokenizer", output: RequestOutput) -> None:
    """Turn an output into text as the server would, which costs what it costs there."""
    for token_id in output.new_token_ids:
        detokenizer.push(token_id)
    if output.finish_reason is not None:
        detokenizer.flush()


def _check(output: RequestOutput) -> None:
    if output.finish_reason == "error":
        raise BenchError(f"a request failed: {output.error}")


def _best(outputs: Sequence[RequestOutput]) -> PositionLogprobs:
    """The best tokens of an answer of one token, without the sampled one in front."""
    [output] = outputs
    assert output.logprobs is not None
    return output.logprobs[0][1:]
