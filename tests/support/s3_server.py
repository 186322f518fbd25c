"""A real S3 server (versitygw over a folder) on loopback."""

import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from obstore import put
from obstore.store import S3Store
from serving import free_port
from waiting import until

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from local_cluster.go_programs import S3_GATEWAY
from local_cluster.installation import program


class S3Server:
    """Use as a context manager. `environ`: the variables of a client that may read all."""

    def __init__(self, folder: Path, *buckets: str) -> None:
        self._folder, self._port = folder, free_port()
        for bucket in buckets:
            (folder / bucket).mkdir(parents=True)
        self.environ = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
            "AWS_ACCESS_KEY_ID": "paddock",
            "AWS_SECRET_ACCESS_KEY": "sesame-sesame",
            "AWS_REGION": "us-east-1",
        }

    def __enter__(self) -> Self:
        keys = (
            "--access",
            self.environ["AWS_ACCESS_KEY_ID"],
            "--secret",
            self.environ["AWS_SECRET_ACCESS_KEY"],
        )
        command = [
            program(S3_GATEWAY, "versitygw"),
            *keys,
            "--port",
            f"127.0.0.1:{self._port}",
            "posix",
            self._folder,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, seconds=30, what="the S3 server to listen")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(20)

    def _answers(self) -> bool:
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", self._port)) == 0

    def upload(self, bucket: str, folder: Path, prefix: str) -> None:
        store = S3Store(
            bucket,
            endpoint=self.environ["AWS_ENDPOINT_URL"],
            access_key_id=self.environ["AWS_ACCESS_KEY_ID"],
            secret_access_key=self.environ["AWS_SECRET_ACCESS_KEY"],
            region=self.environ["AWS_REGION"],
            client_options={"allow_http": True},
        )
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            put(store, f"{prefix}/{file.relative_to(folder).as_posix()}", file.read_bytes())
