"""Log lines: text for people, JSON for collectors."""

from __future__ import annotations

import logging
import sys

from paddock.engine.config.json_lines import JsonLines


def start_logging(level: str, form: str) -> None:
    """Everything to stderr. kopf speaks from warnings on: its debug log holds whole specs."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if form == "json" else text)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(max(logging.WARNING, logging.getLevelName(level)))
    # "OS signals are ignored": kopf runs in a thread on purpose, and signals are ours.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    # Each of kopf's retries is one long line; the end of watching is said by watch.py.
    logging.getLogger("kopf._cogs.clients").setLevel(logging.CRITICAL if level != "DEBUG" else logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
