"""How many connections a server may hold: each is an open file."""

import logging
import resource

logger = logging.getLogger("paddock.server")
ENOUGH = 65_536


def allow_many_connections() -> None:
    """Raise this process's limit, and that of those it starts, as far as the system allows: shells give 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except OSError as error:
        logger.warning("at most %d connections can be held: the limit of open files stays (%s)", soft, error)
