"""Hidden states on their way from one pipeline stage to the next."""

import torch
import torch.distributed as dist


class PipelineLink:
    """Both ends know the plan, so a message is the bare tensor: `[tokens, hidden_size]`, in the order of the steps."""

    def __init__(
        self,
        previous: int | None,
        following: int | None,
        hidden_size: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """`previous` and `following` are ranks; None at the ends of the pipeline."""
        self._previous, self._following = previous, following
        self._hidden_size, self._dtype, self._device = hidden_size, dtype, device
        self._sent: tuple[dist.Work, torch.Tensor] | None = None

    def receive(self, num_tokens: int) -> torch.Tensor | None:
        """What the stage before made of the step; None on the first stage."""
        if self._previous is None:
            return None
        hidden = torch.empty(num_tokens, self._hidden_size, dtype=self._dtype, device=self._device)
        dist.recv(hidden, self._previous)
        return hidden

    def send(self, hidden: torch.Tensor) -> None:
        """Hand the step to the next stage and go on: it is awaited when the next one is sent."""
        assert self._following is not None, "the last stage has none to send to"
        if self._sent is not None:
            self._sent[0].wait()
        hidden = hidden.contiguous()
        work = dist.isend(hidden, self._following)
        assert work is not None
        # The tensor is kept with its transfer, which reads it after this returns.
        self._sent = work, hidden
