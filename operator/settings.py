"""The operator's own settings: command line over environment over default."""

from __future__ import annotations

import argparse
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import paddock
from paddock.operator.plan.host_paths import HostPathPolicy
from paddock.operator.plan.network_policy import Isolation
from paddock.operator.plan.revision import Rendering
from paddock.operator.pod_template import ACCELERATOR
from paddock.operator.source import CACHE

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no")


class SettingsError(Exception):
    """The text names the setting, its value and what is allowed."""


@dataclass(frozen=True)
class Settings:
    """`namespace`: where the Lease lives. `watched`: namespaces to serve, all when empty.
    `metrics_api_certificates`: folder with tls.crt, tls.key and ca.crt; without it there is no custom metrics API.
    `metrics_api_service`: our Service before it. `helm_release`: of which we are a part, or "".
    """

    namespace: str | None
    identity: str
    rendering: Rendering
    host_paths: HostPathPolicy
    isolation: Isolation
    log_level: str
    log_format: str
    kubeconfig: str | None
    context: str | None
    watched: tuple[str, ...]
    workers: int
    host: str
    port: int
    metrics_api_port: int
    metrics_api_certificates: Path | None
    metrics_api_service: str
    helm_release: str


def read_settings(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Raises SettingsError for a value that is not allowed, and SystemExit for a bad command line."""
    given = _parser(environ).parse_args(argv)
    if not given.server_image:
        raise SettingsError("PADDOCK_SERVER_IMAGE is not set: it names the image that serving pods run")
    pod = environ.get("PADDOCK_OPERATOR_POD_NAME") or socket.gethostname()
    return Settings(
        namespace=environ.get("PADDOCK_OPERATOR_NAMESPACE"),
        identity=f"{pod}_{uuid4().hex[:8]}",
        rendering=Rendering(
            version=paddock.__version__,
            image=given.server_image,
            pull_policy=_choice("PADDOCK_SERVER_IMAGE_PULL_POLICY", environ, _PULL_POLICIES, "IfNotPresent"),
            accelerator=_accelerator(environ),
            model_cache=_model_cache(environ),
        ),
        host_paths=_host_paths(environ),
        isolation=Isolation(
            enabled=_switch("PADDOCK_NETWORK_POLICIES", environ, default="true"),
            operator_namespace=environ.get("PADDOCK_OPERATOR_NAMESPACE"),
            pull_secrets=_listed("PADDOCK_SERVER_IMAGE_PULL_SECRETS", environ),
        ),
        log_level=_choice("PADDOCK_LOG_LEVEL", environ, _LEVELS, "INFO"),
        log_format=given.log_format,
        kubeconfig=given.kubeconfig,
        context=given.context,
        watched=tuple(given.namespace or ()),
        workers=given.workers,
        host=given.host,
        port=given.port,
        metrics_api_port=given.metrics_api_port,
        metrics_api_certificates=_certificates(environ),
        metrics_api_service=environ.get("PADDOCK_METRICS_API_SERVICE") or "paddock-operator-metrics-api",
        helm_release=environ.get("PADDOCK_HELM_RELEASE", ""),
    )


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m paddock.operator", description="Serves InferenceServices."
    )
    parser.add_argument(
        "--server-image",
        default=environ.get("PADDOCK_SERVER_IMAGE"),
        help="image of the serving pods (PADDOCK_SERVER_IMAGE)",
    )
    parser.add_argument("--kubeconfig", help="kubeconfig file; in a pod its service account is the default")
    parser.add_argument("--context", help="context of the kubeconfig file")
    parser.add_argument("--namespace", action="append", help="serve this namespace only; may be repeated")
    parser.add_argument(
        "--workers", type=_positive, default=16, help="InferenceServices worked on at once (16)"
    )
    parser.add_argument("--host", default="0.0.0.0", help="address of /livez, /readyz and /metrics")
    parser.add_argument("--port", type=int, default=8080, help="port of /livez, /readyz and /metrics (8080)")
    parser.add_argument(
        "--metrics-api-port", type=int, default=6443, help="port of custom.metrics.k8s.io (6443)"
    )
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default=environ.get("PADDOCK_LOG_FORMAT", "text"),
        help="one line of text or one JSON object per message (PADDOCK_LOG_FORMAT)",
    )
    return parser


def _certificates(environ: Mapping[str, str]) -> Path | None:
    text = environ.get("PADDOCK_METRICS_API_CERTIFICATES", "")
    missing = [
        name for name in ("tls.crt", "tls.key", "ca.crt") if text and not (Path(text) / name).is_file()
    ]
    if missing:
        raise SettingsError(
            f"PADDOCK_METRICS_API_CERTIFICATES is {text!r}, which holds no {' and no '.join(missing)}"
        )
    return Path(text) if text else None


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def _host_paths(environ: Mapping[str, str]) -> HostPathPolicy:
    allowed = _switch("PADDOCK_ALLOW_HOST_PATH", environ, default="false")
    prefixes = _listed("PADDOCK_HOST_PATH_PREFIXES", environ)
    for prefix in prefixes:
        if not prefix.startswith("/"):
            raise SettingsError(f"PADDOCK_HOST_PATH_PREFIXES holds {prefix!r}; each must be an absolute path")
    return HostPathPolicy(allowed, prefixes)


def _listed(name: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(filter(None, (each.strip() for each in environ.get(name, "").split(","))))


def _switch(name: str, environ: Mapping[str, str], default: str) -> bool:
    value = (environ.get(name) or default).lower()
    if value not in _TRUE + _FALSE:
        raise SettingsError(f"{name} is {value!r}; allowed: true, false")
    return value in _TRUE


def _accelerator(environ: Mapping[str, str]) -> str:
    value = environ.get("PADDOCK_ACCELERATOR", "")
    if value and not re.fullmatch(ACCELERATOR, value):
        raise SettingsError(
            f"PADDOCK_ACCELERATOR is {value!r}; allowed: an extended resource such as nvidia.com/gpu"
        )
    return value


def _model_cache(environ: Mapping[str, str]) -> str:
    value = environ.get("PADDOCK_MODEL_CACHE", "")
    if not re.fullmatch(CACHE, value):
        raise SettingsError(
            f"PADDOCK_MODEL_CACHE is {value!r}; allowed: pvc://claim/folder, file:///folder of each node, or nothing"
        )
    return value


def _choice(name: str, environ: Mapping[str, str], allowed: tuple[str, ...], default: str) -> str:
    value = environ.get(name) or default
    for choice in allowed:
        if value.lower() == choice.lower():
            return choice
    raise SettingsError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")
