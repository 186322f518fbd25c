"""How weight files are fetched and read."""

from typing import Literal

from paddock.engine.config.argument import Group, State, arg
from paddock.engine.config.values import JsonObject, Strings, Text


class LoadConfig(Group):
    """How weight files are fetched and read."""

    download_dir: Text | None = arg(None, "Downloaded weights are stored here instead of in the hub's cache.")

    ignore_patterns: Strings | None = arg(
        None, "Files matching these globs are neither downloaded nor loaded."
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
        "How weights are read: auto and safetensors read safetensors files, dummy fills random weights "
        "for profiling.",
        state=State.WORKS,
        supported=("auto", "safetensors", "dummy"),
    )

    model_loader_extra_config: JsonObject = arg({}, "Settings passed to the loader that --load-format chose.")

    pt_load_map_location: Text = arg(
        "cpu", "Device (or JSON map of devices) onto which PyTorch checkpoints are loaded."
    )

    safetensors_load_strategy: Literal["lazy", "eager"] = arg(
        "lazy",
        "lazy maps weight files into memory on demand; eager reads each file whole first, better for "
        "network file systems.",
    )

    use_tqdm_on_load: bool = arg(True, "A progress bar is shown while weights load.")
