"""`python -m paddock.server.fetch.keep_adapters`: runs beside a server in its pod, until it is told to stop."""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from paddock.server.fetch.keeper import Keeper
from paddock.server.fetch.teller import Teller

LOOK_SECONDS = 1.0


def main(argv: Sequence[str]) -> int:
    """The exit status: 0 after a signal."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    for noisy in ("httpx", "httpx2", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    keeper = Keeper(options.wanted, options.cache, options.lists)
    with Teller(options.port, keeper.report):
        while not stop.is_set():
            keeper.step()
            stop.wait(LOOK_SECONDS)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="keep_adapters", description=__doc__)
    parser.add_argument("--wanted", type=Path, required=True, help="the list of adapters, which may change")
    parser.add_argument("--cache", type=Path, required=True, help="folder to fetch them into")
    parser.add_argument(
        "--lists", type=Path, required=True, help="folder of the lists for and from the server"
    )
    parser.add_argument("--port", type=int, required=True, help="answer on this port how far each is")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
