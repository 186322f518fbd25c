"""How weight files are fetched and read."""

from typing import Literal

from paddock.engine.config.argument import Group, State, arg
from paddock.engine.config.values import JsonObject, Strings, Text


class LoadConfig(Group):
    """How weight files are fetched and read."""

    download_dir: Text | None = arg(
        None, "Downloaded weights are stored here instead of in the hub's cache.", state=State.WORKS
    )

    ignore_patterns: Strings | None = arg(
        None,
        "Files matching these globs are neither downloaded nor loaded; unset passes over original/*.",
        state=State.WORKS,
    )

    load_format: Literal[
        "auto",
        "pt",
        "safetensors",
        "npcache",
        "dummy",
        "tensorizer",
        "runai_streamer",
        "bitsandbytes",
        "sharded_state",
        "gguf",
        "mistral",
    ] = arg(
        "auto",
        "How weights are read: auto takes safetensors, then Mistral's consolidated, then PyTorch files; npcache keeps "
        "arrays converted from PyTorch files; sharded_state reads files cut for each rank; dummy fills random weights.",
        state=State.WORKS,
        supported=("auto", "safetensors", "pt", "npcache", "mistral", "sharded_state", "dummy"),
    )

    model_loader_extra_config: JsonObject = arg(
        {},
        "Settings of the loader that --load-format chose: enable_multithread_load and num_threads read several files "
        "at once, pattern names the files of sharded_state.",
        state=State.WORKS,
    )

    pt_load_map_location: Text = arg(
        "cpu",
        "Device (or JSON map of devices) onto which PyTorch checkpoints are loaded.",
        state=State.WORKS,
    )

    safetensors_load_strategy: Literal["lazy", "eager"] = arg(
        "lazy",
        "lazy maps weight files into memory on demand; eager reads each file whole first, better for "
        "network file systems.",
        state=State.WORKS,
    )

    use_tqdm_on_load: bool = arg(True, "A progress bar is shown while weights load.", state=State.WORKS)
