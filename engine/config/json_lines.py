"""Log lines for collectors. It stands here since the operator and the serving processes both write them."""

import json
import logging
from datetime import UTC, datetime


class JsonLines(logging.Formatter):
    """One JSON object per record: time, level, logger, message, and the traceback if there is one."""

    def __init__(self, prefix: str = "") -> None:
        """`prefix`, where there is one, is a field of every object."""
        super().__init__()
        self._first = {"prefix": prefix} if prefix else {}

    def format(self, record: logging.LogRecord) -> str:
        line = {
            **self._first,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)
