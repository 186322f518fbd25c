"""Numbers for people: a few lines and one table."""

from collections.abc import Sequence

from paddock.server.bench.summary import TIMES, Summary

MOST_ERRORS = 5
NAME_WIDTH, VALUE_WIDTH = 42, 11


def report(summary: Summary, shown: Sequence[str], percentiles: Sequence[float]) -> str:
    """The text of `paddock bench serve`."""
    lines = [
        f"Requests answered   {summary.completed} of {summary.completed + summary.failed}",
        f"Duration            {summary.duration:.2f} s",
        f"Requests/s          {summary.request_throughput:.2f}",
        f"Prompt tokens       {summary.num_prompt_tokens} ({summary.num_prompt_tokens / summary.duration:.1f}/s)",
        f"Output tokens       {summary.num_output_tokens} ({summary.output_throughput:.1f}/s)",
    ]
    if summary.goodput is not None:
        lines.append(f"Good requests/s     {summary.goodput:.2f}")
    lines += ["", *_table(summary, shown, percentiles), *_errors(summary)]
    return "\n".join(lines)


def _table(summary: Summary, shown: Sequence[str], percentiles: Sequence[float]) -> list[str]:
    titles = ["mean", "median", "std", *(f"p{each:g}" for each in percentiles)]
    lines = [f"{'Milliseconds':<{NAME_WIDTH}}" + "".join(f"{title:>{VALUE_WIDTH}}" for title in titles)]
    for name in shown:
        spread = summary.spreads.get(name)
        values = (
            [] if spread is None else [spread.mean, spread.median, spread.std, *spread.percentiles.values()]
        )
        row = "".join(f"{value:>{VALUE_WIDTH}.2f}" for value in values) or f"{'no values':>{VALUE_WIDTH}}"
        lines.append(f"{TIMES[name]:<{NAME_WIDTH}}{row}")
    return lines


def _errors(summary: Summary) -> list[str]:
    common = sorted(summary.errors.items(), key=lambda item: item[1], reverse=True)
    lines = [f"failed, {count} times: {error}" for error, count in common[:MOST_ERRORS]]
    if len(common) > MOST_ERRORS:
        lines.append(f"and {len(common) - MOST_ERRORS} other errors")
    return ["", *lines] if lines else []
