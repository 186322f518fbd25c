"""A thin, typed front of `kubectl` for tests and the demo: what a person would type, with JSON read back."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]


class KubectlError(RuntimeError):
    """`kubectl` answered non-zero; the text is its standard error."""


@dataclass(frozen=True)
class Kubectl:
    """`kubectl` for one cluster and one namespace."""

    kubeconfig: Path
    program: str = "kubectl"
    namespace: str = "default"
    context: str | None = None

    def in_namespace(self, namespace: str) -> "Kubectl":
        return Kubectl(self.kubeconfig, self.program, namespace, self.context)

    def argv(self, *args: str) -> list[str]:
        context = ["--context", self.context] if self.context else []
        return [self.program, "--kubeconfig", str(self.kubeconfig), *context, "-n", self.namespace, *args]

    def try_run(self, *args: str, stdin: str = "", timeout: float = 120) -> subprocess.CompletedProcess[str]:
        environ = {k: v for k, v in os.environ.items() if k != "KUBECONFIG"}
        return subprocess.run(
            self.argv(*args),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environ,
            check=False,
        )

    def run(self, *args: str, stdin: str = "", timeout: float = 120) -> str:
        """Standard output. Raises `KubectlError` with what kubectl said."""
        done = self.try_run(*args, stdin=stdin, timeout=timeout)
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *manifests: Manifest) -> str:
        return self.run("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def get(self, kind: str, name: str) -> Manifest:
        got: Manifest = json.loads(self.run("get", kind, name, "-o", "json"))
        return got

    def list(self, kind: str, selector: str = "") -> list[Manifest]:
        args = ["get", kind, "-o", "json", *(["-l", selector] if selector else [])]
        items: list[Manifest] = json.loads(self.run(*args))["items"]
        return items

    def exec_python(self, pod: str, script: str, timeout: float = 120) -> str:
        """Run a Python script inside a pod; standard output."""
        return self.run("exec", "-i", pod, "--", "python", "-", stdin=script, timeout=timeout)


def condition(resource: Manifest, kind: str) -> Manifest:
    """The condition of that type, or one with status Unknown when it is not there yet."""
    for entry in resource.get("status", {}).get("conditions", []):
        if entry["type"] == kind:
            found: Manifest = entry
            return found
    return {"type": kind, "status": "Unknown", "reason": "Absent", "message": ""}
