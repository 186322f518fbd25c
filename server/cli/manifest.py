"""`paddock manifest`: an InferenceService from a server's command line, or a check of one, without a cluster."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ACCEPTED, REFUSED, USAGE_ERROR = 0, 1, 2

_EPILOG = """\
examples:
  paddock manifest --name qwen3 -- vllm serve Qwen/Qwen3-0.6B --max-model-len 32k
  paddock manifest --name llama --replicas 2 -- python -m sglang.launch_server --model-path /models/llama
  paddock manifest --check service.yaml

exit status: 0 the API server would accept it, 1 it would refuse it, 2 the command line is wrong
"""


def manifest(argv: Sequence[str]) -> int:
    """Write or check a manifest; the exit status."""
    own, command = _split(argv)
    options = _parser().parse_args(own)
    if options.check:
        return _check(options.check)
    if not command:
        print("paddock manifest: give a server's command line after --, or --check FILE", file=sys.stderr)
        return USAGE_ERROR
    return _write(command, options)


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our own options, and what follows the first `--`."""
    words = list(argv)
    if "--" not in words:
        return words, []
    end = words.index("--")
    return words[:end], words[end + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="paddock manifest",
        usage="paddock manifest [--name NAME] [--namespace N] [--replicas N] [--uri URI] -- COMMAND …\n"
        "       paddock manifest --check FILE",
        description="Print the InferenceService for the command line of a server that somebody already runs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--name", default="model", help="name of the InferenceService (default: model)")
    parser.add_argument("--namespace", help="its namespace; the current one when left out")
    parser.add_argument("--replicas", type=int, help="number of replicas (default: 1)")
    parser.add_argument("--uri", help="where the cluster finds the model, such as pvc://CLAIM/FOLDER")
    parser.add_argument(
        "--check", metavar="FILE", help="judge a manifest as the API server would; - is stdin"
    )
    return parser


def _write(command: Sequence[str], options: argparse.Namespace) -> int:
    from paddock.engine.config import ArgumentError
    from paddock.engine.config.manifest.writer import write_manifest

    try:
        written = write_manifest(command, options.name, options.namespace, options.replicas, options.uri)
    except ArgumentError as error:
        print(f"paddock manifest: {error}", file=sys.stderr)
        return USAGE_ERROR
    print(written.text(), end="")
    return REFUSED if written.refused else ACCEPTED


def _check(path: str) -> int:
    """Judge every InferenceService of a file; other kinds are none of ours."""
    documents = _documents(path)
    if documents is None:
        return USAGE_ERROR
    from paddock.engine.config.manifest.check import KIND, check, identity_faults

    ours = [each for each in documents if not isinstance(each, dict) or each.get("kind") == KIND]
    if not ours:
        print(f"paddock manifest: {path} holds no {KIND}", file=sys.stderr)
        return USAGE_ERROR
    verdicts = [(_name(each) or path, identity_faults(each) or check(each)) for each in ours]
    for name, faults in verdicts:
        for fault in faults:
            print(f"{name}: {fault}", file=sys.stderr)
        if not faults:
            print(f"{name}: the API server would accept it")
    return REFUSED if any(faults for _, faults in verdicts) else ACCEPTED


def _name(document: Any) -> str:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""


def _documents(path: str) -> list[Any] | None:
    import yaml

    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        return [document for document in yaml.safe_load_all(text) if document is not None]
    except (OSError, UnicodeDecodeError) as error:
        print(f"paddock manifest: {path}: cannot be read: {error}", file=sys.stderr)
    except yaml.YAMLError as error:
        print(f"paddock manifest: {path}: is not YAML: {error}", file=sys.stderr)
    return None
