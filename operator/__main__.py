"""`python -m paddock.operator`: settings, login, Lease, health, and the watch with its workers while we lead."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import aiohttp

from paddock.operator.children import Children
from paddock.operator.client import Api
from paddock.operator.custom_metrics.listener import serve_custom_metrics
from paddock.operator.custom_metrics.registration import OFF, Registration
from paddock.operator.events import Recorder
from paddock.operator.health import application, keep_time, serve
from paddock.operator.lease import Lease
from paddock.operator.login import Credentials, LoginError, find_credentials, open_session
from paddock.operator.logs import start_logging
from paddock.operator.metrics import Metrics, Vitals
from paddock.operator.plan.blueprint import spec_schema
from paddock.operator.reconcile import Reconciler
from paddock.operator.relisting import Relisting
from paddock.operator.reports import Reports
from paddock.operator.settings import Settings, SettingsError, read_settings
from paddock.operator.watch import CHILD_DELAY, Watcher
from paddock.operator.workers import work
from paddock.operator.workqueue import WorkQueue

logger = logging.getLogger("paddock.operator")

LEASE = "paddock-operator"


class Operator:
    """One operator process."""

    def __init__(self, settings: Settings, credentials: Credentials) -> None:
        self._settings = settings
        self._credentials = credentials
        self._vitals = Vitals()
        self._metrics = Metrics(self._vitals)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`: stands by for the Lease, acts while it is held, and gives it back at the end."""
        settings = self._settings
        runner = await serve(application(self._vitals, self._metrics), settings.host, settings.port)
        clock = asyncio.create_task(keep_time(self._vitals))
        try:
            async with open_session(self._credentials, self._metrics.requested) as session:
                free = Api(session, self._credentials.server)
                namespace = settings.namespace or self._credentials.namespace
                lease = Lease(free, namespace, LEASE, settings.identity)
                children = Children()
                acting = Api(
                    session,
                    self._credentials.server,
                    may_write=lease.is_held,
                    wrote=children.wrote,
                    removed=children.removed,
                )
                await first_of(
                    self._lead_by_turns(lease, acting, children, stop), self._serve_metrics_api(free)
                )
        finally:
            clock.cancel()
            await runner.cleanup()

    async def _serve_metrics_api(self, api: Api) -> None:
        """Every replica serves it, also one that stands by. Ends with the leading part only."""
        settings = self._settings
        if settings.metrics_api_certificates is None:
            await asyncio.Event().wait()
            return
        await serve_custom_metrics(
            api, settings.metrics_api_certificates, settings.host, settings.metrics_api_port
        )

    async def _lead_by_turns(self, lease: Lease, api: Api, children: Children, stop: asyncio.Event) -> None:
        recorder = Recorder(api, self._settings.identity)
        self._metrics.follow_recorder(lambda: recorder.dropped)
        queue = WorkQueue()
        self._metrics.follow_queue(queue.waiting, queue.oldest_wait)
        registration = self._registration(api)
        while not stop.is_set():
            self._vitals.state, self._vitals.leading = "standby", False
            await first_of(lease.acquire(), stop.wait())
            if lease.is_held() and not stop.is_set():
                self._vitals.leading = True
                acting = self._act(api, children, recorder, queue, registration)
                await first_of(acting, lease.hold(), stop.wait())
        self._vitals.leading = False
        if registration is not None and lease.is_held():
            await registration.withdraw()
        await lease.release()

    def _registration(self, api: Api) -> Registration | None:
        settings = self._settings
        if settings.metrics_api_certificates is None:
            return None
        namespace = settings.namespace or self._credentials.namespace
        return Registration.of(
            api,
            namespace,
            settings.metrics_api_service,
            settings.metrics_api_certificates,
            settings.helm_release,
        )

    async def _act(
        self,
        api: Api,
        children: Children,
        recorder: Recorder,
        queue: WorkQueue,
        registration: Registration | None,
    ) -> None:
        settings = self._settings
        async with aiohttp.ClientSession() as to_pods:
            reports = Reports(to_pods, queue.add)
            reconciler = Reconciler(
                api,
                to_pods,
                children,
                recorder,
                settings.rendering,
                settings.host_paths,
                settings.isolation,
                reports,
                lambda: registration.taken if registration else OFF,
                lambda: queue.waiting() > settings.workers,
            )
            lists = Relisting(api, children, settings.watched)
            watcher = Watcher(
                self._credentials, api, children, lists, self._metrics, self._vitals, settings.watched
            )
            await lists.fill()

            def tell_autoscaled() -> None:
                for key in children.keys("HorizontalPodAutoscaler"):
                    queue.add(key, CHILD_DELAY)

            async with asyncio.TaskGroup() as tasks:
                if registration is not None:
                    tasks.create_task(registration.keep(tell_autoscaled))
                tasks.create_task(watcher.run(queue.add))
                tasks.create_task(lists.keep(lambda key: queue.add(key, CHILD_DELAY)))
                for _ in range(settings.workers):
                    tasks.create_task(work(queue, reconciler, self._metrics))


async def first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    """Runs all until one ends; the others are cancelled and waited for. Raises what the first raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _run(settings: Settings, credentials: Credentials) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    logger.info("starting with server image %s at %s", settings.rendering.image, credentials.server)
    await Operator(settings, credentials).run(stop)
    logger.info("stopped")


def main() -> int:
    """Exit status: 0 after a signal, 2 for settings or credentials that cannot work, 1 otherwise."""
    try:
        settings = read_settings(sys.argv[1:], os.environ)
        start_logging(settings.log_level, settings.log_format)
        credentials = find_credentials(settings.kubeconfig, settings.context)
    except (SettingsError, LoginError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    spec_schema()  # built once, before the first resource waits for it
    # What is there now stays; what a pass leaves behind is gone without the collector, which took a tenth of the CPU.
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)
    try:
        asyncio.run(_run(settings, credentials))
    except OSError as error:
        print(f"error: {error} (--host {settings.host} --port {settings.port})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
