"""`paddock fetch`: download a model into a folder that several processes, pods or nodes may share."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from paddock.engine.config import ArgumentError, parse_serve
from paddock.server.cli.arguments import FAILED, USAGE_ERROR, CommandParser, whole
from paddock.server.fetch.entry import MODEL, Entry
from paddock.server.fetch.errors import FetchError
from paddock.server.fetch.progress import Progress
from paddock.server.fetch.source import Source, source_of
from paddock.server.fetch.survey import Folder, survey

_EPILOG = """\
addresses:
  hf://owner/name[@revision]     the hub, or a mirror: HF_ENDPOINT, HF_TOKEN
  s3://bucket/folder             AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
  https://host/model.tar.gz      also .tar and .zip; needs --sha256

What follows -- are arguments of `paddock serve`: of a hub's repository only the files that they need are fetched
(--load-format, --ignore-patterns, --trust-remote-code), at their --revision.

examples:
  paddock fetch hf://Qwen/Qwen3-0.6B --into /models/qwen3 && paddock serve /models/qwen3/model
  paddock fetch https://models.example/tiny.tar.gz --sha256 9f86d08… --into /models/tiny

exit status: 0 the model is in FOLDER/model, 1 it is not, 2 the command line is wrong
"""


def fetch(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Fill the folder; the exit status."""
    own, serve_flags = _split(list(argv))
    options = _parser().parse_args(own)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # The hub's client draws bars and logs each request; our lines tell enough.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    for noisy in ("httpx", "httpx2", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        config = parse_serve(serve_flags, environ)
        source = source_of(options.address, options.sha256, config.model, config.load)
        if options.survey is not None:
            return _survey(source, Entry(Path(options.into), lambda _: None), Path(options.survey))
        with Progress(options.progress_port) as progress:
            Entry(Path(options.into), progress.follow).fill(source)
    except ArgumentError as error:
        print(f"paddock fetch: {error}", file=sys.stderr)
        return USAGE_ERROR
    except FetchError as error:
        print(f"paddock fetch: {error}", file=sys.stderr)
        return FAILED
    print(Path(options.into) / MODEL)
    return 0


def _survey(source: Source, entry: Entry, told: Path) -> int:
    """Without one the download goes on all the same, and says itself what is wrong."""
    try:
        if not entry.is_complete():
            source.resolve()
        told.write_text(survey(Folder(entry.model) if entry.is_complete() else source))
    except (FetchError, OSError) as error:
        print(f"paddock fetch: nothing is known of the model yet: {error}", file=sys.stderr)
    return 0


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    end = words.index("--") if "--" in words else len(words)
    return words[:end], words[end + 1 :]


def _parser() -> CommandParser:
    parser = CommandParser(
        "fetch",
        "Download a model into a folder. What is there is not downloaded again; what a broken download left is gone on with.",
        usage="paddock fetch ADDRESS --into FOLDER [--sha256 HEX] [--progress-port N | --survey FILE] [-- --load-format …]",
        epilog=_EPILOG,
    )
    parser.add_argument("address", metavar="ADDRESS", help="where the model is")
    parser.add_argument("--into", metavar="FOLDER", required=True, help="the model will be FOLDER/model")
    parser.add_argument(
        "--sha256", metavar="HEX", help="checksum of an https:// archive; another one is refused"
    )
    parser.add_argument(
        "--survey",
        metavar="FILE",
        help="download nothing; write into FILE, as JSON, the model's sizes as its config.json and the headers of its "
        "weights tell them (not of a .tar.gz, which can only be read whole)",
    )
    parser.add_argument(
        "--progress-port",
        metavar="N",
        type=whole(1, 65535),
        help="answer on this port how far the download is",
    )
    return parser
