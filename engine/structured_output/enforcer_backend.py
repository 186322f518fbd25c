"""lm-format-enforcer: a parser of characters walks the tree of the vocabulary at every token. Plain Python, so slow."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from lmformatenforcer import (
    CharacterLevelParser,
    CharacterLevelParserConfig,
    JsonSchemaParser,
    RegexParser,
    StringParser,
    UnionParser,
)
from lmformatenforcer.tokenizerprefixtree import TokenizerPrefixTree, TokenizerPrefixTreeNode

from paddock.engine.structured_output.backend import MOST_SPACES, MaskWords
from paddock.engine.structured_output.constraint import Constraint
from paddock.engine.structured_output.regex_text import choices_of
from paddock.engine.structured_output.schema_keywords import LM_FORMAT_ENFORCER, unkept_keyword
from paddock.engine.structured_output.vocabulary import Vocabulary


class Tree:
    """The vocabulary by characters."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._prefixes = TokenizerPrefixTree(list(_texts(tokens)), False, len(tokens))
        self.texts: Mapping[int, str] = self._prefixes.tokens_to_strs
        self.alphabet = "".join(child for child in self._prefixes.root.children if len(child) == 1)
        self._with_controls = frozenset(
            token_id for token_id, text in self.texts.items() if any(character < " " for character in text)
        )

    def reachable(self, parser: CharacterLevelParser) -> Iterator[int]:
        """Tokens that the parser could read, any of them more than once."""
        root, shortcut = self._prefixes.root, parser.shortcut_key()
        if not isinstance(shortcut, tuple) or shortcut[0] != "json_freetext":
            return _reachable(parser, root)
        # Inside a string nearly every token will do: only those that end it need the walk.
        ending = _step(parser, root, '"') if '"' in root.children else ()
        return chain(self._inside_string(*shortcut[1:]), ending)

    def _inside_string(self, length: int, least: int, most: int) -> Iterator[int]:
        cache = self._prefixes.json_freetext_tokens
        before_end = min(cache.max_token_len, max(0, least - length))
        room = min(cache.max_token_len, most - length)
        allowed = cache.lookup_allowed_tokens(before_end, room).allowed_tokens
        return (token_id for token_id in allowed if token_id not in self._with_controls)


def _reachable(parser: CharacterLevelParser, node: TokenizerPrefixTreeNode) -> Iterator[int]:
    yield from node.tokens
    for character in node.children.keys() & set(parser.get_allowed_characters()):
        yield from _step(parser, node, character)


def _step(parser: CharacterLevelParser, node: TokenizerPrefixTreeNode, character: str) -> Iterator[int]:
    if character in parser.get_allowed_characters():
        yield from _reachable(parser.add_character(character), node.children[character])


class EnforcerMatcher:
    def __init__(self, parser: CharacterLevelParser, tree: Tree, eos: int) -> None:
        self._parser, self._tree, self._eos = parser, tree, eos

    def fill(self, words: MaskWords) -> None:
        masks = words.view(np.uint32)
        for token_id in self._allowed():
            masks[token_id >> 5] |= np.uint32(1 << (token_id & 31))

    def _allowed(self) -> Iterator[int]:
        if self._parser.can_end():
            yield self._eos
        yield from self._tree.reachable(self._parser)

    def accept(self, token_id: int) -> bool:
        parser = self._parser
        for character in self._tree.texts.get(token_id, ""):
            if character not in parser.get_allowed_characters():
                return False
            parser = parser.add_character(character)
        self._parser = parser
        return token_id in self._tree.texts


@dataclass(frozen=True, slots=True)
class EnforcerGrammar:
    constraint: Constraint
    tree: Tree
    eos: int

    def new_matcher(self) -> EnforcerMatcher:
        # Parsers of one origin share state, and matchers work in several threads: each gets its own.
        return EnforcerMatcher(_new_parser(self.constraint, self.tree.alphabet), self.tree, self.eos)


class EnforcerBackend:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self._eos = vocabulary.eos
        self._tree = Tree(vocabulary.tokens)

    def objection(self, constraint: Constraint) -> str | None:
        if constraint.whitespace_pattern is not None:
            return "whitespace_pattern cannot be kept"
        match constraint.kind:
            case "grammar" | "structural_tag":
                return f"{constraint.kind} cannot be kept"
            case "json":
                return unkept_keyword(json.loads(constraint.text), LM_FORMAT_ENFORCER)
            case _:
                return None

    def compile(self, constraint: Constraint) -> EnforcerGrammar:
        _new_parser(constraint, self._tree.alphabet)
        return EnforcerGrammar(constraint, self._tree, self._eos)


def _new_parser(constraint: Constraint, alphabet: str) -> CharacterLevelParser:
    parser = _parser_of(constraint)
    parser.config = CharacterLevelParserConfig(
        alphabet=alphabet,
        max_consecutive_whitespaces=0 if constraint.disable_any_whitespace else MOST_SPACES,
    )
    return parser


def _parser_of(constraint: Constraint) -> CharacterLevelParser:
    match constraint.kind:
        case "regex":
            return RegexParser(constraint.text)
        case "choice":
            return UnionParser([StringParser(text) for text in choices_of(constraint.text)])
        case "json":
            return JsonSchemaParser(json.loads(constraint.text))
        case _:
            return JsonSchemaParser({"type": "object"})


def _texts(tokens: Iterable[bytes]) -> Iterator[tuple[int, str, bool]]:
    """Tokens that are whole characters; the parser knows no halves. The last item marks words for a use of its own."""
    for token_id, token in enumerate(tokens):
        try:
            text = token.decode()
        except UnicodeDecodeError:
            continue
        if text:
            yield token_id, text, True
