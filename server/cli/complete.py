"""`paddock complete`: continuations of texts by a running server."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from paddock.server.cli.arguments import whole
from paddock.server.cli.remote_model import RemoteModel, converse, new_parser


def complete(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Complete line by line, or once with `--quick`; the exit status."""
    parser = new_parser("complete", "Complete text with a running server. Each line is a prompt of its own.")
    parser.add_argument(
        "-q", "--quick", metavar="PROMPT", help="complete this prompt, print the text and end"
    )
    parser.add_argument(
        "--max-tokens",
        type=whole(1),
        metavar="N",
        help="most tokens of a completion; the server's default, 16",
    )
    options = parser.parse_args(argv)

    def begin(model: RemoteModel) -> Callable[[str], Iterator[str]]:
        return lambda prompt: continuation(model, prompt, options.max_tokens)

    return converse("complete", options, environ, begin)


def continuation(model: RemoteModel, prompt: str, max_tokens: int | None) -> Iterator[str]:
    """The pieces of the text that follows. Raises RemoteError."""
    with model.words_for_errors():
        stream = model.client.completions.create(
            model=model.name, prompt=prompt, stream=True, max_tokens=max_tokens
        )
        with stream:
            for chunk in stream:
                yield "".join(choice.text for choice in chunk.choices)
