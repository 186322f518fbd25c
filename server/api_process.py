"""One of several API servers: `python -m paddock.server.api_process`, started by `paddock.server.fleet`.

Standard input brings a `ServeOrder` and later orders; its end is the end of the process that gives them.
"""

import asyncio
import logging
import os
import signal
import socket
import sys

from paddock.engine.config import ServeConfig
from paddock.engine.lifeline import die_with_parent
from paddock.engine.logs import configure_logging
from paddock.server.api_server import ApiServer, Place
from paddock.server.orders import Drain, EngineLost, ServeOrder, decode_order, decode_serve_order
from paddock.server.process import new_loop
from paddock.server.startup import START_FAILURES, load_assets

logger = logging.getLogger("paddock.server")


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGINT):  # the first process is asked to stop, and tells
        signal.signal(number, signal.SIG_IGN)
    with open(
        0, "rb", buffering=0, closefd=False
    ) as orders:  # unbuffered: what follows is for the event loop
        order = decode_serve_order(orders.readline())
    die_with_parent(order.parent_pid)
    config = ServeConfig.model_validate_json(bytes(order.config))
    configure_logging(config.frontend.log_config_file, os.environ)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_serve(config, order))


async def _serve(config: ServeConfig, order: ServeOrder) -> int:
    try:
        with socket.socket(fileno=order.listener_descriptor) as listener:
            assets = load_assets(config)
            place = Place(order.index, order.count, order.created)
            server = ApiServer(config, assets, listener, order.engine_addresses, place)
            following = asyncio.create_task(_follow_orders(server))
            await server.run()
            following.cancel()
            return server.status
    except START_FAILURES as error:
        logger.error("API server %d of %d: %s", order.index + 1, order.count, error)
        return 1


async def _follow_orders(server: ApiServer) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while text := await reader.readline():
        order = decode_order(text)
        if isinstance(order, Drain):
            server.drain()
        elif isinstance(order, EngineLost):
            server.fail(order.reason)
        else:
            server.stop_now(order.status)
    server.stop_now(1)


if __name__ == "__main__":
    sys.exit(main())
