from functools import cache

import pytest
from constrained_texts import VOCABULARY

from paddock.engine.structured_output.grammar_maker import GrammarMaker


@cache
def _maker(backend: str) -> GrammarMaker:
    return GrammarMaker(backend, lambda: VOCABULARY)


@pytest.fixture
def maker_of():
    """Libraries are slow to load, so each is loaded once."""
    return _maker
