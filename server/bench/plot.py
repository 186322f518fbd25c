"""Pictures of a run, as PNG. The plotting library is an extra and is loaded when a picture is asked for."""

from collections.abc import Sequence
from pathlib import Path

from paddock.server.bench.errors import BenchError
from paddock.server.bench.outcome import Outcome
from paddock.server.bench.summary import TIMES, VALUES

INCHES, DOTS_PER_INCH = (11.0, 7.0), 100


def check_plot(path: str | None) -> None:
    """Whether a picture could be written there: asked before the run, not after it. Raises BenchError."""
    if path is None:
        return
    if not path.endswith(".png"):
        raise BenchError(f"--plot {path}: the picture is a PNG; name a file that ends in .png")
    if not Path(path).absolute().parent.is_dir():
        raise BenchError(f"--plot {path}: its folder does not exist")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise BenchError("--plot needs matplotlib: pip install 'paddock[plot]'") from None


def plot_load(path: str, outcomes: Sequence[Outcome], title: str) -> None:
    """Cumulative distributions of the four times, and the requests over the run."""
    from matplotlib.figure import Figure

    answered = [outcome for outcome in outcomes if not outcome.error]
    figure = Figure(figsize=INCHES, layout="constrained")
    figure.suptitle(title)
    axes = list(figure.subplots(2, 3).flat)
    for axis, (name, words) in zip(axes, TIMES.items(), strict=False):
        values = sorted(1000 * value for outcome in answered for value in VALUES[name](outcome))
        if values:
            axis.plot(values, [(at + 1) / len(values) for at in range(len(values))])
        axis.set(title=words, xlabel="ms", ylabel="share of values", ylim=(0, 1))
        axis.grid(alpha=0.3)
    _, _, _, _, running, rate = axes
    _plot_running(running, outcomes)
    starts = [outcome.started for outcome in answered]
    rate.scatter(starts, [1000 * (outcome.first_token or outcome.seconds) for outcome in answered], s=6)
    rate.set(title="First token by start", xlabel="start, s", ylabel="ms")
    rate.grid(alpha=0.3)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _plot_running(axis: object, outcomes: Sequence[Outcome]) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axis, Axes)
    changes = sorted(
        [(outcome.started, 1) for outcome in outcomes]
        + [(outcome.started + outcome.seconds, -1) for outcome in outcomes]
    )
    times, running, now = [], [], 0
    for time, change in changes:
        now += change
        times.append(time)
        running.append(now)
    axis.step(times, running, where="post")
    axis.set(title="Requests under way", xlabel="s", ylabel="requests")
    axis.grid(alpha=0.3)


def plot_repetitions(path: str, seconds: Sequence[float], title: str) -> None:
    """The time of each repetition."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, layout="constrained")
    axis = figure.subplots()
    axis.plot(range(1, len(seconds) + 1), seconds, marker="o")
    axis.set(title=title, xlabel="repetition", ylabel="s", ylim=(0, None))
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=DOTS_PER_INCH)
