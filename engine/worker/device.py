"""The device that a worker computes on, and its memory."""

import torch

from paddock.engine.settings import EngineSettings
from paddock.engine.worker.host import available_memory, thread_count

CPU_CACHE_CAP = 4 << 30
"""Host memory is shared with everything else on the machine: the cache takes no more of it unless told to."""


def pick_device(settings: EngineSettings) -> torch.device:
    """The configured device, else CUDA where torch sees one. On a CPU all cores take part in loading."""
    name = settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        torch.set_num_threads(thread_count())
        return torch.device("cpu")
    device = torch.device(name, torch.cuda.current_device())
    torch.cuda.set_device(device)
    return device


def free_memory(device: torch.device) -> int:
    """Bytes that can be allocated now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory()


def cache_budget(device: torch.device, utilization: float, activation_bytes: int) -> int:
    """Bytes for the KV cache once the weights are loaded, keeping `activation_bytes` for the largest step.

    On CUDA `utilization` is the share of the whole device that weights, activations and cache take together; on a CPU
    it is the share of the memory still free, and at most `CPU_CACHE_CAP`.
    """
    free = free_memory(device)
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        return max(0, int(total * utilization) - (total - free) - activation_bytes)
    return max(0, min(int(free * utilization) - activation_bytes, CPU_CACHE_CAP))
