"""The device that a worker computes on, and its memory."""

import torch

from paddock.engine.config.cache import CUSTOMARY_SWAP_SPACE
from paddock.engine.settings import EngineSettings, SettingsError
from paddock.engine.worker.host import available_memory, thread_count

CPU_CACHE_CAP = 4 << 30
"""Host memory is shared with everything else on the machine: the cache takes no more of it unless told to."""

DEFAULT_SWAP = int(CUSTOMARY_SWAP_SPACE * 2**30)


def pick_device(settings: EngineSettings, index: int = 0, num_sharers: int = 1) -> torch.device:
    """The configured device, else CUDA where torch sees one. On a CPU all cores take part in loading.

    `index` is this worker among the `num_sharers` of its node: each has a GPU of its own, and a CPU is shared. Raises
    `SettingsError` when there are fewer GPUs than workers.
    """
    name = settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        torch.set_num_threads(thread_count(num_sharers=num_sharers))
        return torch.device("cpu")
    if torch.cuda.device_count() < num_sharers:
        raise SettingsError(
            f"this node's share of --tensor-parallel-size x --pipeline-parallel-size is {num_sharers} ranks, and it has "
            f"{torch.cuda.device_count()} GPUs: each rank needs one. Lower the sizes, raise --nnodes, or give it more GPUs."
        )
    device = torch.device(name, index)
    torch.cuda.set_device(device)
    return device


def free_memory(device: torch.device) -> int:
    """Bytes that can be allocated now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory()


def usable_memory(device: torch.device, utilization: float, num_sharers: int = 1) -> int:
    """Bytes that may still be taken: on CUDA what is left of a share of the whole device, on a CPU a share of the memory
    that is free, divided among the node's `num_sharers`."""
    free = free_memory(device)
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        return max(0, int(total * utilization) - (total - free))
    return int(free * utilization) // num_sharers


def swap_budget(device: torch.device, asked: int | None, num_sharers: int = 1) -> int:
    """Bytes of host memory for one worker's swapped-out blocks: as asked; else beside a GPU what is customary, where
    half of the free memory is enough for it, and on a CPU none."""
    if asked is not None:
        return asked
    return 0 if device.type == "cpu" else min(DEFAULT_SWAP, available_memory() // (2 * num_sharers))


def cache_budget(
    device: torch.device, utilization: float, activation_bytes: int, num_sharers: int = 1
) -> int:
    """Bytes for the KV cache once the weights are loaded, keeping `activation_bytes` for the largest step.

    Of what is usable; on a CPU at most `CPU_CACHE_CAP`, divided among the node's `num_sharers`.
    """
    share = usable_memory(device, utilization, num_sharers) - activation_bytes
    if device.type == "cpu":
        share = min(share, CPU_CACHE_CAP // num_sharers)
    return max(0, share)
