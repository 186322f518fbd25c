"""Beam search: which continuations of a prompt to follow, and which finished ones are best.

The rules are those of `generate(num_beams=…)` in transformers: a sum of log-probabilities over a power of the length,
and end tokens that count only among the best `width` candidates of a step (Wu et al. 2016, section 7, without
coverage).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from paddock.engine.messages import PositionLogprobs, TokenLogprob


@dataclass(frozen=True, slots=True)
class BeamRules:
    width: int
    max_tokens: int
    length_penalty: float
    early_stopping: bool
    end_ids: frozenset[int]

    @property
    def num_candidates(self) -> int:
        """Best tokens needed of each beam: were all end tokens among them, `width` others would be left."""
        return self.width + len(self.end_ids)


@dataclass(frozen=True, slots=True)
class Beam:
    token_ids: tuple[int, ...] = ()
    positions: tuple[PositionLogprobs, ...] = ()
    """For each token its own entry, then the best ones at its place."""

    total: float = 0.0
    """Sum of the log-probabilities."""

    def grown(self, token: TokenLogprob, position: PositionLogprobs) -> "Beam":
        return Beam(
            (*self.token_ids, token.token_id),
            (*self.positions, [token, *position]),
            self.total + token.logprob,
        )


@dataclass(frozen=True, slots=True)
class Finished:
    beam: Beam
    score: float
    ended: bool
    """By an end token; otherwise the length ended it."""


class BeamSearch:
    """The state of one prompt's search. It talks to nobody: its owner brings the candidates of each step."""

    def __init__(self, rules: BeamRules) -> None:
        self._rules = rules
        self.beams = [Beam()]
        self.finished: list[Finished] = []

    @property
    def over(self) -> bool:
        return not self.beams

    def advance(self, candidates: Sequence[PositionLogprobs]) -> None:
        """One step. `candidates` holds the best tokens after each of `beams`, in falling order."""
        grown = [
            beam.grown(token, position)
            for beam, position in zip(self.beams, candidates, strict=True)
            for token in position
        ]
        grown.sort(key=lambda beam: beam.total, reverse=True)
        width, end_ids = self._rules.width, self._rules.end_ids
        for beam in grown[:width]:
            if beam.token_ids[-1] in end_ids:
                self._finish(beam, ended=True)
        self.beams = [beam for beam in grown if beam.token_ids[-1] not in end_ids][:width]
        if self._settled():
            self.beams = []
        elif len(self.beams[0].token_ids) == self._rules.max_tokens:
            for beam in self.beams:
                self._finish(beam, ended=False)
            self.beams = []

    def _finish(self, beam: Beam, ended: bool) -> None:
        self.finished.append(Finished(beam, self._score(beam), ended))
        self.finished.sort(key=lambda one: one.score, reverse=True)
        del self.finished[self._rules.width :]

    def _score(self, beam: Beam) -> float:
        weight: float = len(beam.token_ids) ** self._rules.length_penalty
        return beam.total / weight

    def _settled(self) -> bool:
        """Whether no running beam is expected to beat the worst of `width` finished ones."""
        if not self.beams:
            return True
        if len(self.finished) < self._rules.width:
            return False
        return self._rules.early_stopping or self.finished[-1].score >= self._score(self.beams[0])
