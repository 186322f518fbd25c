"""The table of a benchmark as it goes into the README: ours, each peer, how many times the best of them."""

from collections.abc import Sequence
from dataclasses import dataclass

OURS = "paddock"


@dataclass(frozen=True, slots=True)
class Row:
    work: str
    values: dict[str, float]
    """By engine; ours and at least one peer's."""
    unit: str
    more_is_better: bool = False
    limit: str = ""
    """Ours, as a share of what the machine can do."""

    def times(self, peer: str) -> float:
        """How often ours is better; above one we win."""
        ours, theirs = self.values[OURS], self.values[peer]
        return ours / theirs if self.more_is_better else theirs / ours

    def best_peer(self) -> str:
        return min((engine for engine in self.values if engine != OURS), key=self.times)


def print_comparison(rows: Sequence[Row]) -> None:
    """Markdown, after an empty line. Columns are the engines of all rows."""
    peers = list(dict.fromkeys(engine for row in rows for engine in row.values if engine != OURS))
    print("\n| work | paddock | limit | " + " | ".join(peers) + " | times the best peer |")
    print("|---|---:|---:|" + "---:|" * len(peers) + "---:|")
    for row in rows:
        cells = (_cell(row, peer) if peer in row.values else "" for peer in peers)
        best = row.best_peer()
        print(
            f"| {row.work} | {row.values[OURS]:{_digits(row.values[OURS])}} {row.unit} | {row.limit} | "
            f"{' | '.join(cells)} | {row.times(best):.2f} ({best}) |"
        )


def _cell(row: Row, peer: str) -> str:
    value = row.values[peer]
    return f"{value:{_digits(value)}} ({row.times(peer):.2f}x)"


def _digits(value: float) -> str:
    """Three digits at least."""
    return f",.{0 if value >= 100 else 1 if value >= 10 else 2}f"
