"""Throw-away certificates, made with openssl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

P256 = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@dataclass(frozen=True)
class Pair:
    certificate: Path
    key: Path


class Authority:
    """Signs certificates; its own is `file`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = name
        self._pair = self._pair_of(name)
        self.file = self._pair.certificate
        self._run("req", "-x509", *P256, "-nodes", "-days", "2", "-subj", f"/CN={name}",
                  "-keyout", self._pair.key, "-out", self.file)  # fmt: skip

    def sign(self, name: str, password: str = "", host: str = "localhost") -> Pair:
        """A certificate for 127.0.0.1 and `host` with this common name; a password locks its key."""
        pair = self._pair_of(name)
        request = self._folder / f"{name}.csr"
        extensions = self._folder / "extensions"
        extensions.write_text(f"subjectAltName=IP:127.0.0.1,DNS:{host}\n")
        lock = ("-passout", f"pass:{password}") if password else ("-nodes",)
        self._run("req", *P256, *lock, "-subj", f"/CN={name}", "-keyout", pair.key, "-out", request)
        self._run("x509", "-req", "-days", "2", "-in", request, "-CA", self.file, "-CAkey", self._pair.key,
                  "-CAcreateserial", "-extfile", extensions, "-out", pair.certificate)  # fmt: skip
        return pair

    def _pair_of(self, name: str) -> Pair:
        return Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")

    @staticmethod
    def _run(*words: str | Path) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True)
