"""The logits processors at work in one worker, and which rows each of them serves."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from paddock.engine.executor.plan import NewRow
from paddock.engine.sampling.field_processors import processors_for
from paddock.engine.sampling.logits_processor import AddedRow, BatchUpdate, LogitsProcessor
from paddock.engine.sampling.processor_choice import ProcessorChoice, arguments_for
from paddock.engine.settings import EngineSettings, SettingsError

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Member:
    path: str
    processor: LogitsProcessor
    serves: npt.NDArray[np.bool_]
    """Indexed by row."""


class ProcessorSet:
    """Costs nothing while there is no processor. A processor's failure ends the requests it touched, and no step."""

    def __init__(self, settings: EngineSettings, device: torch.device) -> None:
        """Raises `SettingsError` when a processor of the server's own cannot be loaded or made."""
        self._settings, self._device = settings, device
        self._choice = ProcessorChoice(settings)
        self._members: dict[str, Member] = {}
        self._faults: dict[int, str] = {}
        for path in self._choice.for_all:
            try:
                self._member(path)
            except Exception as error:
                raise SettingsError(f"--logits-processors: making a {path} failed: {error}") from error

    def _member(self, path: str) -> Member:
        if path not in self._members:
            processor = self._choice.load(path)(self._settings, self._device)
            serves = np.zeros(self._settings.max_num_seqs, np.bool_)
            self._members[path] = Member(path, processor, serves)
        return self._members[path]

    def update(
        self, freed_rows: Sequence[int], new_rows: Sequence[NewRow], token_ids: npt.NDArray[np.int32]
    ) -> None:
        """`token_ids` is the memory of all rows, `[rows, longest]`, the new ones' tokens already in it."""
        named = dict.fromkeys(path for new in new_rows for path in processors_for(new.sampling))
        for row in (*freed_rows, *(new.row for new in new_rows)):
            self._faults.pop(row, None)
        for path in {**dict.fromkeys(self._members), **named}:
            self._update_one(path, freed_rows, new_rows, token_ids)

    def _update_one(
        self,
        path: str,
        freed_rows: Sequence[int],
        new_rows: Sequence[NewRow],
        token_ids: npt.NDArray[np.int32],
    ) -> None:
        added = [
            _added(path, new, token_ids)
            for new in new_rows
            if path in self._choice.for_all or path in processors_for(new.sampling)
        ]
        try:
            member = self._member(path)
        except Exception as error:
            logger.exception("making the logits processor %s failed", path)
            self._blame(path, error, [row.row for row in added])
            return
        removed = [row for row in freed_rows if member.serves[row]]
        member.serves[removed] = False
        if removed:
            self._tell(member, BatchUpdate(removed, []))
        # Each alone, so that one which the processor cannot take keeps out no other.
        for row in added:
            member.serves[row.row] = self._tell(member, BatchUpdate([], [row]))

    def _tell(self, member: Member, batch: BatchUpdate) -> bool:
        try:
            member.processor.update(batch)
        except Exception as error:
            logger.exception("the logits processor %s failed when requests came or went", member.path)
            self._blame(member.path, error, [row.row for row in batch.added])
            return False
        return True

    def _blame(self, path: str, error: Exception, rows: Sequence[int]) -> None:
        for row in rows:
            self._faults[row] = f"the logits processor {path} failed: {type(error).__name__}: {error}"

    def end_request(self, row: int, reason: str) -> None:
        """Its next token is an error, whatever the processors do."""
        self._faults[row] = reason

    def apply(
        self, logits: torch.Tensor, rows: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> Iterator[tuple[int, str]]:
        """Change `logits` `[n, vocab]` in place; yields the index and the reason of each row that cannot go on."""
        for member in self._members.values():
            chosen = np.flatnonzero(member.serves[rows])
            if chosen.size:
                self._apply_one(member, logits, rows, lengths, chosen)
        for index in np.flatnonzero(np.isin(rows, list(self._faults))) if self._faults else ():
            yield int(index), self._faults[int(rows[index])]

    def _apply_one(
        self,
        member: Member,
        logits: torch.Tensor,
        rows: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        chosen: npt.NDArray[np.int64],
    ) -> None:
        """Should it fail, each row is tried alone: whose fault it is shows then, and the others have their tokens."""
        where = torch.from_numpy(chosen).to(logits.device)
        taken = logits[where]
        try:
            changed = member.processor.apply(taken, rows[chosen], lengths[chosen])
            if changed.shape != taken.shape:
                raise ValueError(f"it returned {tuple(changed.shape)}, not {tuple(taken.shape)}")
            logits[where] = changed.to(logits)
        except Exception as error:
            if len(chosen) == 1:
                logger.exception("the logits processor %s failed", member.path)
                self._blame(member.path, error, rows[chosen].tolist())
                return
        else:
            return
        for index in range(len(chosen)):
            self._apply_one(member, logits, rows, lengths, chosen[index : index + 1])


def _added(path: str, new: NewRow, token_ids: npt.NDArray[np.int32]) -> AddedRow:
    memory = token_ids[new.row]
    memory.flags.writeable = False
    return AddedRow(new.row, new.sampling, arguments_for(path, new.sampling), new.num_prompt_tokens, memory)
