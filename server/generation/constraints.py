"""How this server constrains outputs: its defaults, and where a model's thinking ends."""

from dataclasses import dataclass

import msgspec

from paddock.engine.config import ServeConfig
from paddock.engine.structured_output.constraint import Constraint, Thinking
from paddock.server.errors import bad_request
from paddock.server.reasoning.parser import Block, ReasoningParser
from paddock.server.reasoning.registry import reasoning_parser
from paddock.server.reasoning.tagged import TaggedReasoning
from paddock.server.tokens.absent import NoTokenizer
from paddock.server.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Constraints:
    disable_fallback: bool = False
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    thinker: type[ReasoningParser] | None = None
    """None where constraints hold from the first token."""

    start_ids: tuple[int, ...] = ()
    end_ids: tuple[int, ...] = ()
    """Tokens around the thinking; none when the model's tokenizer has no token for a mark."""

    @staticmethod
    def load(config: ServeConfig, tokenizer: Tokenizer) -> "Constraints":
        """Raises ReasoningParserError for an unknown name."""
        if isinstance(tokenizer, NoTokenizer):
            return Constraints()
        settings = config.engine.structured_outputs_config
        name = settings.reasoning_parser or config.structured_outputs.reasoning_parser
        thinker = reasoning_parser(name) if name and not settings.enable_in_reasoning else None
        tagged = thinker if thinker is not None and issubclass(thinker, TaggedReasoning) else None
        return Constraints(
            settings.disable_fallback,
            settings.disable_any_whitespace,
            settings.disable_additional_properties,
            thinker,
            () if tagged is None else _single_tokens(tagged.starts, tokenizer),
            () if tagged is None else _single_tokens(tagged.ends, tokenizer),
        )

    def of_completion(self, constraint: Constraint | None) -> Constraint | None:
        """A bare completion is not thinking."""
        return None if constraint is None else self._with_defaults(constraint)

    def of_chat(
        self,
        constraint: Constraint | None,
        prompt: str,
        continued: str | None,
        field: str,
        thinking_budget: int | None = None,
    ) -> Constraint | None:
        """`continued` is the message that the answer goes on with. Raises ApiError 400 that names `field`, or the
        budget of tokens where thinking cannot be bounded."""
        if thinking_budget is not None:
            self._check_bounds_thinking()
            constraint = constraint or Constraint(kind="text")
        if constraint is None or self.thinker is None:
            return self.of_completion(constraint)
        block = self.thinker.block_of(prompt) if continued is None else self.thinker.block_within(continued)
        if block is Block.CLOSED:
            return None if constraint.kind == "text" else self.of_completion(constraint)
        if not self.end_ids:
            raise bad_request(
                f"{field}: the end of this model's thinking is not a token of its own, so the output cannot be "
                "constrained after it. Turn thinking off, or start the server with "
                "--structured-outputs-config.enable_in_reasoning true.",
                field,
            )
        begun = block is Block.OPENED or (
            issubclass(self.thinker, TaggedReasoning) and self.thinker.thinks_at_once
        )
        thinking = Thinking(self.start_ids, self.end_ids, begun, thinking_budget)
        return msgspec.structs.replace(self._with_defaults(constraint), thinking=thinking)

    def _check_bounds_thinking(self) -> None:
        if self.thinker is None or not self.end_ids:
            raise bad_request(
                "thinking.budget_tokens: this server cannot bound the thinking of its model. That needs a "
                "--reasoning-parser whose end mark is one token of the model's, and no "
                '--structured-outputs-config.enable_in_reasoning; or send thinking {"type": "adaptive"}.',
                "thinking.budget_tokens",
            )

    def _with_defaults(self, constraint: Constraint) -> Constraint:
        """A request may be stricter than the server, not laxer."""
        spaces = constraint.disable_any_whitespace or self.disable_any_whitespace
        return msgspec.structs.replace(
            constraint,
            disable_fallback=constraint.disable_fallback or self.disable_fallback,
            disable_any_whitespace=spaces and constraint.whitespace_pattern is None,
            disable_additional_properties=(
                constraint.disable_additional_properties or self.disable_additional_properties
            ),
        )


def _single_tokens(marks: tuple[str, ...], tokenizer: Tokenizer) -> tuple[int, ...]:
    """Of each mark its token; none at all when one of them has more than one."""
    encoded = [tokenizer.encode(mark, False) for mark in marks]
    return tuple(ids[0] for ids in encoded) if all(len(ids) == 1 for ids in encoded) else ()
