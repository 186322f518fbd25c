"""Batch sizes whose decode steps are captured in CUDA graphs, as the arguments say. Torch-free."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig

LARGEST = 512
"""Where nothing is asked for: larger steps take so long that their launches are hidden behind them."""

SMALLEST = (1, 2, 4)
BETWEEN = 8


def captured_sizes(config: "ServeConfig", max_num_seqs: int) -> tuple[int, ...]:
    """Ascending; none where steps are to run eagerly. A size above `max_num_seqs`, or above `max_capture_size`, stands
    for that."""
    if _is_eager(config):
        return ()
    given, keys = config.scheduler.cuda_graph_sizes, config.engine.compilation_config
    most = min(max_num_seqs, keys.max_capture_size or max_num_seqs)
    if keys.cudagraph_capture_sizes:
        sizes = keys.cudagraph_capture_sizes
    elif len(given) > 1:
        sizes = given
    else:
        largest = min(given[0] if given else LARGEST, most)
        sizes = (*SMALLEST, *range(BETWEEN, largest, BETWEEN), largest)
        most = largest
    return tuple(sorted({min(size, most) for size in sizes}))


def graph_problem(config: "ServeConfig") -> str | None:
    """What contradicts itself, with what to do; None when nothing does."""
    given, keys = config.scheduler.cuda_graph_sizes, config.engine.compilation_config
    key = "--compilation-config.cudagraph_capture_sizes"
    if given and keys.cudagraph_capture_sizes:
        return f"--cuda-graph-sizes and {key} both say which sizes are captured; leave one of them out."
    if (given or keys.cudagraph_capture_sizes) and _is_eager(config):
        flag = "--cuda-graph-sizes" if given else key
        return (
            f"{flag} says which sizes are captured, and --enforce-eager (or use_cudagraph false, or cudagraph_mode NONE "
            "in --compilation-config) that none is; leave one of them out."
        )
    return None


def _is_eager(config: "ServeConfig") -> bool:
    keys = config.engine.compilation_config
    return config.model.enforce_eager or keys.use_cudagraph is False or keys.cudagraph_mode == "NONE"
