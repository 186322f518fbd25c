"""The engine core's process: `python -m paddock.engine.core_process`, started by `paddock.engine.launch`.

Standard input brings one line, a `LaunchOrder`, and then stays open: its end is the order to stop. The descriptor
named on the command line takes the reason, in words for the user, when the engine cannot start or go on.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import msgspec
import zmq

from paddock import __version__
from paddock.engine.config import ServeConfig
from paddock.engine.core import EngineCore, check_named_classes
from paddock.engine.data_parallel.lockstep import Lockstep
from paddock.engine.distributed.group_secret import required_secret
from paddock.engine.distributed.node_share import NodeShare
from paddock.engine.executor.choice import make_executor
from paddock.engine.garbage_collector import settle_garbage_collector
from paddock.engine.lifeline import Lifeline, die_with_parent
from paddock.engine.logs import configure_logging
from paddock.engine.message_loop import Door, EngineFailedError, MessageLoop, bind
from paddock.engine.messages import LoadAdapter, Ready
from paddock.engine.models.checkpoint import resolve_tokenizer
from paddock.engine.models.shape import CheckpointError, ModelShape
from paddock.engine.settings import EngineSettings, SettingsError
from paddock.engine.structured_output.grammar_maker import GrammarMaker
from paddock.engine.structured_output.vocabulary import Vocabulary

logger = logging.getLogger("paddock.engine")

USER_ERRORS = (CheckpointError, SettingsError, MemoryError)
"""What a user can set right: told in words, without a traceback."""


class LaunchOrder(msgspec.Struct):
    """What the process is told at its start. The configuration carries no secret: the engine needs none."""

    address: str
    model_path: str
    parent_pid: int
    config: msgspec.Raw
    door: int | None = None
    """A descriptor that listens at the address, a TCP one, where the servers are on another node."""


def main(argv: list[str]) -> int:
    """Run until told to stop; returns the exit code."""
    _leave_signals_to_the_server()
    reason_descriptor = int(argv[0])
    os.set_inheritable(reason_descriptor, False)
    order = msgspec.json.decode(_read_line(0), type=LaunchOrder)
    die_with_parent(order.parent_pid)
    config = ServeConfig.model_validate_json(bytes(order.config))
    configure_logging(config.frontend.log_config_file, os.environ)
    door = None if order.door is None else Door(order.door, required_secret(os.environ))
    tell = partial(_report, reason_descriptor)
    reason = run(config, order.model_path, order.address, Lifeline(0), door, tell)
    return 0 if reason is None else 1


def run(
    config: ServeConfig,
    model_path: str,
    address: str,
    lifeline: Lifeline,
    door: Door | None = None,
    tell: Callable[[str], None] | None = None,
) -> str | None:
    """Serve until the lifeline ends; why the engine could not start or go on, in words for the user, or None.

    `tell` hears so at once: ranks that hang take a while to end.
    """
    with ExitStack() as opened:
        reason = _outcome(partial(serve, config, model_path, address, lifeline, door, opened))
        if reason is not None and tell is not None:
            tell(reason)
    return reason


def _outcome(work: Callable[[], None]) -> str | None:
    """Why it ended too early, in words for the user; None when it did not."""
    try:
        work()
    except USER_ERRORS as error:
        return str(error) or "not enough memory"
    except EngineFailedError as error:
        logger.error("the engine cannot go on", exc_info=error)
        return str(error)
    except Exception as error:
        logger.exception("the engine could not start")
        return f"{type(error).__name__}: {error}"
    return None


def serve(
    config: ServeConfig,
    model_path: str,
    address: str,
    lifeline: Lifeline,
    door: Door | None,
    opened: ExitStack,
) -> None:
    """Load the model and serve until the lifeline ends. What is to be ended after that is left in `opened`."""
    context = zmq.Context()
    opened.callback(context.term)
    # Bound before the model is loaded: a server may say Hello meanwhile and hears Ready when it is true.
    socket = bind(context, address, door)
    opened.callback(socket.close)
    core = load(config, Path(model_path))
    opened.callback(core.shutdown)
    settle_garbage_collector()
    check = os.environ.get("PADDOCK_CHECK_INTEGRITY") == "1"
    MessageLoop(core, socket, ready_message(core), lifeline, check).run()


def load(config: ServeConfig, path: Path) -> EngineCore:
    shape = ModelShape.read(path, config.model)
    settings = EngineSettings.resolve(config, shape)
    check_named_classes(settings)
    share = NodeShare.of(os.environ)
    core = EngineCore(
        make_executor(settings, config, shape, path),
        settings,
        grammar_maker(config, settings, path),
        None if share.tie is None else Lockstep(share.tie, share.index),
    )
    load_adapters(core, config)
    return core


def load_adapters(core: EngineCore, config: ServeConfig) -> None:
    """Those of --lora-modules. Raises `SettingsError` for one that cannot be served."""
    if core.adapters is None:
        return
    for module in config.frontend.lora_modules or ():
        fault = core.adapters.load(LoadAdapter(module.name, module.path, module.base_model_name))
        if fault is not None:
            core.shutdown()
            raise SettingsError(f"--lora-modules: {fault.message}")


def grammar_maker(config: ServeConfig, settings: EngineSettings, path: Path) -> GrammarMaker | None:
    """None where there is no tokenizer. Nothing is read before a request is constrained."""
    if config.model.skip_tokenizer_init or settings.pooling is not None:
        return None

    def read_vocabulary() -> Vocabulary:
        folder = resolve_tokenizer(config.model, config.load, path)
        return Vocabulary.read(folder, settings.vocab_size, settings.eos_token_ids)

    return GrammarMaker(config.engine.structured_outputs_config.backend, read_vocabulary)


def ready_message(core: EngineCore) -> Ready:
    settings = core.settings
    weight_bytes, kv_bytes_per_token = core.held_bytes()
    return Ready(
        version=__version__,
        max_model_len=settings.max_model_len,
        vocab_size=settings.vocab_size,
        eos_token_ids=list(settings.eos_token_ids),
        block_size=settings.block_size,
        num_blocks=core.num_blocks,
        model_dtype=settings.dtype,
        weight_bytes=weight_bytes,
        kv_bytes_per_token=kv_bytes_per_token,
    )


def _leave_signals_to_the_server() -> None:
    """The server drains on SIGTERM and SIGINT and then stops this process. Handlers, unlike SIG_IGN, are not
    inherited by programs that this process may start."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)


def _read_line(descriptor: int) -> bytes:
    """Up to the first newline, unbuffered: what follows belongs to the lifeline."""
    parts = []
    while (byte := os.read(descriptor, 1)) not in (b"\n", b""):
        parts.append(byte)
    return b"".join(parts)


def _report(descriptor: int, reason: str) -> None:
    os.write(descriptor, reason.encode())
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
