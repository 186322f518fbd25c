"""The engine core in a thread of the API server's process (--disable-frontend-multiprocessing)."""

import os
import shutil
import threading
from pathlib import Path

from paddock.engine.config import ServeConfig
from paddock.engine.launch import STOP_SECONDS, without_spinning
from paddock.engine.lifeline import Lifeline
from paddock.engine.private_folder import private_folder


class EngineThread:
    """An engine core that is looked at and stopped as an `EngineProcess` is."""

    def __init__(self, folder: Path) -> None:
        """Use `start`."""
        self._folder = folder
        reading, self._writing = os.pipe()
        # Ending the process is the server's decision here.
        self._lifeline = Lifeline(reading, grace_seconds=None)
        self._reason: str | None = None
        self._ended = threading.Event()

    @classmethod
    def start(cls, config: ServeConfig, model_path: Path) -> "EngineThread":
        """Start loading the model and return at once. Raises `OSError` when there is no room for a socket."""
        engine = cls(private_folder())
        # Daemonic: a step that hangs must not keep the process from ending.
        threading.Thread(target=engine._run, args=(config, model_path), name="engine", daemon=True).start()
        return engine

    @property
    def address(self) -> str:
        """Where the core's ROUTER is bound."""
        return f"ipc://{self._folder}/engine"

    def poll(self) -> int | None:
        """0 after a stop, 1 after a failure; None while the engine runs."""
        if not self._ended.is_set():
            return None
        return 0 if self._reason is None else 1

    def failure(self) -> str | None:
        """Why the engine ended, in words for the user; None while it runs and after a stop."""
        return self._reason if self._ended.is_set() else None

    def ask_to_stop(self) -> None:
        """Order the end, and do not wait for it."""
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Order the end and wait for it; a step that hangs ends with the process. Safe to call twice."""
        self.ask_to_stop()
        self._ended.wait(timeout)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, config: ServeConfig, model_path: Path) -> None:
        without_spinning(os.environ)
        # Loads torch, which a server with its engine in another process never does.
        from paddock.engine.core_process import run

        try:
            self._reason = run(config, str(model_path), self.address, self._lifeline)
        except BaseException as error:
            self._reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._ended.set()
