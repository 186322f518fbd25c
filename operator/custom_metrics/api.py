"""custom.metrics.k8s.io/v1beta2, as far as a HorizontalPodAutoscaler asks: figures of InferenceServices.

https://github.com/kubernetes/metrics, types of custom_metrics/v1beta2.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web

from paddock.operator.client import ApiError
from paddock.operator.custom_metrics.front_proxy import FrontProxy
from paddock.operator.custom_metrics.series import METRICS, NotMeasured
from paddock.operator.resource import GROUP, KIND, PLURAL, VERSION

logger = logging.getLogger(__name__)

API_GROUP, API_VERSION = "custom.metrics.k8s.io", "v1beta2"
RESOURCE = f"{PLURAL}.{GROUP}"
Measure = Callable[[str, str, str], Awaitable[float]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(front_proxy: FrontProxy, measure: Measure) -> web.Application:
    """`measure(namespace, name, metric)` raises NotMeasured or ApiError."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        certificate = request.get_extra_info("peercert")
        if not front_proxy.admits(certificate):
            return _failure(401, "Unauthorized", "only the API server's front proxy may ask here")
        return await handler(request)

    async def discover(_: web.Request) -> web.Response:
        return web.json_response(_resources())

    async def answer(request: web.Request) -> web.Response:
        namespace, name, metric = (request.match_info[key] for key in ("namespace", "name", "metric"))
        if metric not in METRICS:
            return _failure(404, "NotFound", f"metric {metric} is unknown; known are {', '.join(METRICS)}")
        try:
            value = await measure(namespace, name, metric)
        except NotMeasured as error:
            return _failure(404, "NotFound", str(error))
        except (ApiError, aiohttp.ClientError, OSError, ValueError) as error:
            logger.warning("metric %s of %s/%s: %s", metric, namespace, name, error)
            return _failure(503, "ServiceUnavailable", str(error))
        return web.json_response(_value_list(namespace, name, metric, value))

    app = web.Application(middlewares=[authenticate])
    root = f"/apis/{API_GROUP}/{API_VERSION}"
    app.router.add_get(root, discover)
    app.router.add_get(f"{root}/namespaces/{{namespace}}/{RESOURCE}/{{name}}/{{metric}}", answer)
    return app


def _resources() -> dict[str, Any]:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{API_GROUP}/{API_VERSION}",
        "resources": [
            {
                "name": f"{RESOURCE}/{metric}",
                "singularName": "",
                "namespaced": True,
                "kind": "MetricValueList",
                "verbs": ["get"],
            }
            for metric in METRICS
        ],
    }


def _value_list(namespace: str, name: str, metric: str, value: float) -> dict[str, Any]:
    described = {"kind": KIND, "namespace": namespace, "name": name, "apiVersion": f"{GROUP}/{VERSION}"}
    return {
        "kind": "MetricValueList",
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "metadata": {},
        "items": [
            {
                "describedObject": described,
                "metric": {"name": metric},
                "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "value": f"{round(value * 1000)}m",
            }
        ],
    }


def _failure(code: int, reason: str, message: str) -> web.Response:
    status = {
        "kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "reason": reason, "message": message, "code": code,
    }  # fmt: skip
    return web.json_response(status, status=code)
