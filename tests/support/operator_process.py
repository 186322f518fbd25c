"""The operator as a process of this machine, outside the cluster that it works on."""

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class OperatorProcess:
    """One that runs: what it costs as /proc shows it, and what it says about itself."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self._port = port

    def resident_mb(self) -> float:
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * _PAGE / 1e6

    def cpu_seconds(self) -> float:
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def says(self, path: str) -> str:
        """Text of /livez or /metrics; empty when it does not answer (yet)."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=10) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            return ""

    def counted(self, name: str, **labels: str) -> float:
        """Sum of a counter over its series with these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        lines = [line for line in self.says("/metrics").splitlines() if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(each in line for each in wanted))

    def by_label(self, name: str, *labels: str) -> dict[str, float]:
        """Sums of a counter by the values of these labels."""
        sums: dict[str, float] = {}
        for line in self.says("/metrics").splitlines():
            if line.startswith(f"{name}{{"):
                values = dict(re.findall(r'(\w+)="([^"]*)"', line))
                key = " ".join(values[label] for label in labels)
                sums[key] = sums.get(key, 0.0) + float(line.rpartition(" ")[2])
        return sums

    def writes(self) -> float:
        """Successful writes so far but those of the Lease."""
        asked = self.by_label("paddock_operator_api_requests_total", "verb", "code", "resource")
        return sum(
            number
            for (verb, code, resource), number in ((key.split(" "), number) for key, number in asked.items())
            if verb != "GET" and code.startswith("2") and resource != "leases"
        )


@contextmanager
def operator_process(
    kubeconfig: Path, port: int, *arguments: str, environ: Mapping[str, str] = {}
) -> Iterator[OperatorProcess]:
    """Runs `python -m paddock.operator` until the end of the block; what it logs goes to standard error."""
    variables = {
        "PADDOCK_SERVER_IMAGE": "localhost/paddock-server:none",
        "PADDOCK_ALLOW_HOST_PATH": "true",
        "PADDOCK_HOST_PATH_PREFIXES": "/models",
        "PADDOCK_LOG_LEVEL": "WARNING",
        **environ,
    }
    command = [sys.executable, "-m", "paddock.operator", "--kubeconfig", str(kubeconfig), *arguments]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, env=os.environ | variables)
    try:
        yield OperatorProcess(process, port)
    finally:
        process.terminate()
        process.wait(30)
