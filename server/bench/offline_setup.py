"""What the offline benchmarks have in common before they measure: the model's files, and a profile of a part."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from paddock.engine.config import ServeConfig
from paddock.server.bench.errors import BenchError
from paddock.server.bench.offline import OfflineEngine

if TYPE_CHECKING:
    from paddock.server.startup import Assets


@dataclass(frozen=True)
class Model:
    """A model whose files are read and whose engine is not started yet."""

    config: ServeConfig
    assets: "Assets"

    @classmethod
    def read(cls, config: ServeConfig) -> "Model":
        """Download it where it is a hub name. Raises BenchError."""
        from paddock.engine.launch import without_spinning
        from paddock.engine.logs import LogConfigError, configure_logging
        from paddock.engine.settings import SettingsError
        from paddock.server.startup import START_FAILURES, load_assets

        without_spinning(os.environ)
        try:
            configure_logging(None, os.environ)
            return cls(config, load_assets(config))
        except (*START_FAILURES, SettingsError, LogConfigError) as error:
            raise BenchError(str(error).rstrip(".")) from None

    def engine(self, detokenize: bool) -> OfflineEngine:
        """Raises BenchError."""
        tokenizer = self.assets.tokenizer if detokenize else None
        return OfflineEngine.load(self.config, self.assets.model_path, tokenizer)


def check_one_engine(config: ServeConfig) -> None:
    """Raises BenchError for several engines: nothing here spreads requests over them."""
    if config.parallel.data_parallel_size > 1:
        raise BenchError(
            f"--data-parallel-size {config.parallel.data_parallel_size}: one engine is measured; start paddock serve "
            "with several and use paddock bench serve"
        )


def check_profile(config: ServeConfig) -> None:
    """Raises BenchError where the work is done by other processes, which a profile would not show."""
    from paddock.engine.distributed.topology import Topology

    backend = config.parallel.distributed_executor_backend
    if backend not in (None, "uni") or Topology.of(config).world_size > 1:
        raise BenchError(
            "--profile looks into this process, and the ranks have theirs: leave out one of them"
        )


@contextlib.contextmanager
def profiled(path: Path) -> Iterator[None]:
    """Write what runs inside as a trace for chrome://tracing or Perfetto."""
    import torch
    from torch._C._profiler import _ExperimentalConfig

    kinds = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    # Steps may run in a thread of the executor's.
    threads = _ExperimentalConfig(profile_all_threads=True)
    with torch.profiler.profile(activities=kinds, experimental_config=threads) as profile:
        yield
    profile.export_chrome_trace(str(path))
