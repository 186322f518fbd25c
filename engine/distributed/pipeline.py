"""Hidden states on their way from one pipeline stage to the next."""

from typing import Protocol

import torch
import torch.distributed as dist


class Sender(Protocol):
    """`HiddenSender` is one for CPU ranks of one node."""

    def send(self, hidden: torch.Tensor) -> None:
        """Hand it over and go on: the stage after may be at an earlier step. It must be contiguous."""


class Receiver(Protocol):
    def receive(self, hidden: torch.Tensor) -> None:
        """Fill it with what was sent."""


class ProcessGroupSender:
    """To a rank's GPU (NCCL), or to a CPU of another node (gloo)."""

    def __init__(self, following: int) -> None:
        self._following = following
        self._sent: tuple[dist.Work, torch.Tensor] | None = None

    def send(self, hidden: torch.Tensor) -> None:
        """It is awaited when the next one is sent."""
        if self._sent is not None:
            self._sent[0].wait()
        work = dist.isend(hidden, self._following)
        assert work is not None
        # The tensor is kept with its transfer, which reads it after this returns.
        self._sent = work, hidden


class ProcessGroupReceiver:
    def __init__(self, previous: int) -> None:
        self._previous = previous

    def receive(self, hidden: torch.Tensor) -> None:
        dist.recv(hidden, self._previous)


class PipelineLink:
    """Both ends know the plan, so a message is the bare tensor: `[tokens, hidden_size]`, in the order of the steps."""

    def __init__(
        self,
        previous: Receiver | None,
        following: Sender | None,
        hidden_size: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """`previous` and `following` are None at the ends of the pipeline."""
        self._previous, self._following = previous, following
        self._hidden_size, self._dtype, self._device = hidden_size, dtype, device

    def receive(self, num_tokens: int) -> torch.Tensor | None:
        """What the stage before made of the step; None on the first stage."""
        if self._previous is None:
            return None
        hidden = torch.empty(num_tokens, self._hidden_size, dtype=self._dtype, device=self._device)
        self._previous.receive(hidden)
        return hidden

    def send(self, hidden: torch.Tensor) -> None:
        """Hand the step to the next stage and go on."""
        assert self._following is not None, "the last stage has none to send to"
        self._following.send(hidden.contiguous())
