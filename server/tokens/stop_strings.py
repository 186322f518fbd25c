"""Find stop strings in streamed text, holding back only what could still become one."""

from dataclasses import dataclass


@dataclass(slots=True)
class StopHit:
    """A stop string was completed: the text before it (or up to its end), and which string it was."""

    text: str
    stop: str


class StopStrings:
    """Scans the text of one sequence as it grows.

    Of several matches the one that completes first wins, ties go by list order: the result is the same however
    the text is cut into pieces.
    """

    def __init__(self, stops: list[str], include_in_output: bool = False) -> None:
        self._stops = stops
        self._include = include_in_output
        self._tail = ""

    def push(self, new: str, check: bool = True) -> str | StopHit:
        """Text that is safe to show, or the hit that ends the sequence. `check` is false before min_tokens."""
        text = self._tail + new
        if check and (found := self._first_to_complete(text, len(self._tail))) is not None:
            start, stop = found
            return StopHit(text[: start + len(stop) if self._include else start], stop)
        held = self._possible_start(text)
        self._tail = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> str:
        """The held tail, when the sequence ended for another reason."""
        tail, self._tail = self._tail, ""
        return tail

    def _first_to_complete(self, text: str, known: int) -> tuple[int, str] | None:
        best: tuple[int, str] | None = None
        for stop in self._stops:
            # A match must end in the new text; earlier ones were already seen, or came before min_tokens.
            start = text.find(stop, max(0, known - len(stop) + 1))
            if start >= 0 and (best is None or start + len(stop) < best[0] + len(best[1])):
                best = (start, stop)
        return best

    def _possible_start(self, text: str) -> int:
        """Length of the longest end of `text` that begins some stop string."""
        held = 0
        for stop in self._stops:
            window = text[-(len(stop) - 1) :] if len(stop) > 1 else ""
            at = window.find(stop[0])
            while at >= 0 and len(window) - at > held:
                if stop.startswith(window[at:]):
                    held = len(window) - at
                at = window.find(stop[0], at + 1)
        return held
