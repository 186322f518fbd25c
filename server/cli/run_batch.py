"""`paddock run-batch`: a file of requests in the OpenAI batch format, and a file of answers."""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from paddock.server.cli.arguments import FAILED, USAGE_ERROR, CommandParser, WrappedHelp, whole
from paddock.server.cli.engine_arguments import EPILOG, read_engine_arguments

COMMAND = "run-batch"
INTERRUPTED, TERMINATED = 130, 143

ALLOWED = {
    *(
        ("frontend", name)
        for name in (
            "chat_template", "chat_template_content_format", "disable_frontend_multiprocessing",
            "enable_auto_tool_choice", "enable_log_outputs", "enable_prompt_tokens_details",
            "exclude_tools_when_tool_choice_none", "log_config_file", "log_error_stack", "lora_modules",
            "max_log_len", "response_role", "return_tokens_as_token_ids", "tool_call_parser",
            "tool_parser_plugin", "tool_server", "trust_request_chat_template",
        )
    ),
    *(("service", name) for name in ("api_server_count", "disable_log_stats", "enable_log_requests")),
}  # fmt: skip
"""Arguments of the HTTP server that also concern what a request is answered, and what is logged of it."""


def run_batch(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Answer every line; the exit status."""
    options, words = _parser().parse_known_args(argv)
    problem = _problem(options)
    if problem:
        print(f"paddock {COMMAND}: {problem}", file=sys.stderr)
        return USAGE_ERROR
    given = read_engine_arguments(COMMAND, words, environ, ALLOWED, announce=False)
    from paddock.engine.config import DEFAULT_MAX_NUM_SEQS
    from paddock.server.batch.errors import BatchError
    from paddock.server.batch.run import Job, run_job

    rows = given.config.scheduler.max_num_seqs or DEFAULT_MAX_NUM_SEQS
    job = Job(
        options.input_file, options.output_file, options.output_tmp_dir, words, given.config.model.model,
        most_at_once=2 * rows, metrics=_metrics(options),
    )  # fmt: skip
    try:
        result = asyncio.run(run_job(job))
    except BatchError as error:
        print(f"paddock {COMMAND}: {error}.", file=sys.stderr)
        return FAILED
    except (KeyboardInterrupt, asyncio.CancelledError) as stop:
        print(f"paddock {COMMAND}: stopped. Run the same command again to go on.", file=sys.stderr)
        return INTERRUPTED if isinstance(stop, KeyboardInterrupt) else TERMINATED
    answered = result.num_lines - result.num_errors
    print(
        f"{result.num_lines} lines: {answered} answered, {result.num_errors} with errors: {_shown(job.output)}"
    )
    return 0


def _parser() -> CommandParser:
    parser = CommandParser(
        COMMAND,
        "Answer a file of requests in the OpenAI batch format: one JSON object per line with custom_id, method POST, "
        "url (any endpoint of the server) and body. A run that was stopped goes on where it was when the same "
        "command is given again.",
        usage="paddock run-batch -i INPUT -o OUTPUT MODEL [options] [--engine-flags]",
        epilog=EPILOG
        + " Of the server's flags these work here: --response-role, --enable-prompt-tokens-details, "
        "--disable-log-stats, --enable-log-requests, --max-log-len, and those of chat templates and tools. "
        "Exit status: 0 every line has an answer or an error, 1 not, 2 a flag is wrong.",
        formatter_class=WrappedHelp,
    )
    add = parser.add_argument
    add("-i", "--input-file", required=True, metavar="INPUT", help="file, or http(s) address read with GET")
    add(
        "-o",
        "--output-file",
        required=True,
        metavar="OUTPUT",
        help="file, or http(s) address written with PUT",
    )
    add("--output-tmp-dir", type=Path, metavar="FOLDER", help="folder where answers gather until all are there; beside "
        "a local output, else in the user's cache")  # fmt: skip
    add("--enable-metrics", action="store_true", help="serve Prometheus metrics while running")
    add("--url", metavar="HOST", help="address of these metrics; 0.0.0.0 when unset")
    add("--port", type=whole(1, 65535), metavar="N", help="port of these metrics; 8000 when unset")
    return parser


def _problem(options: argparse.Namespace) -> str:
    if not options.enable_metrics and (options.url is not None or options.port is not None):
        return "--url and --port are of the metrics: give --enable-metrics, too."
    for flag, name in (("--input-file", options.input_file), ("--output-file", options.output_file)):
        if "://" in name and not name.startswith(("http://", "https://")):
            return f"{flag} {name}: only files and http(s) addresses can be used."
    if not options.output_file.startswith(("http://", "https://")):
        output = Path(options.output_file)
        if output.is_dir() or not output.absolute().parent.is_dir():
            return f"--output-file {output}: must be a file in a folder that exists."
    return ""


def _metrics(options: argparse.Namespace) -> tuple[str, int] | None:
    return (options.url or "0.0.0.0", options.port or 8000) if options.enable_metrics else None


def _shown(output: str) -> str:
    """A signed address is a secret in its query."""
    return output.partition("?")[0]
