"""best_of: more answers are generated than shown, and the likeliest of them, by the mean over their tokens, are shown."""

from collections.abc import Iterator

from paddock.server.generation.choice import Piece
from paddock.server.generation.completion_format import CompletionFormat, CompletionOptions, EchoedPrompt
from paddock.server.generation.format import ReplyIdentity
from paddock.server.generation.logprobs import LogprobFormat
from paddock.server.protocol.replies import Usage


class BestOfFormat(CompletionFormat):
    """Writes whole answers only: which are the best is known at the end."""

    def __init__(
        self,
        identity: ReplyIdentity,
        n: int,
        echoed: list[EchoedPrompt],
        options: CompletionOptions,
        logprobs: LogprobFormat,
        *,
        best_of: int,
    ) -> None:
        """Of every `best_of` answers n are shown, best first."""
        super().__init__(identity, n, echoed, options, logprobs)
        self._best_of = best_of

    def whole(self, pieces: list[Piece], usage: Usage) -> bytes:
        return super().whole(list(self._best(pieces)), usage)

    def _best(self, pieces: list[Piece]) -> Iterator[Piece]:
        for first in range(0, len(pieces), self._best_of):
            answers = pieces[first : first + self._best_of]
            yield from sorted(answers, key=mean_logprob, reverse=True)[: self._n]


def mean_logprob(piece: Piece) -> float:
    """Per token; the engine reports the chosen one's first."""
    return sum(position[0].logprob for position in piece.logprobs) / max(1, len(piece.logprobs))
