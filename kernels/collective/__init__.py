"""Collectives between the processes of one machine, through memory that all of them map."""

from paddock.kernels.collective.shared_memory import SharedMemoryRanks, shared_memory_serves

__all__ = ["SharedMemoryRanks", "shared_memory_serves"]
