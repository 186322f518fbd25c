"""/collective_rpc, for development: calls a method of `--worker-extension-cls` on every worker."""

from fastapi import APIRouter, Request, Response

from paddock.engine.executor.method_call import MethodCall
from paddock.server.protocol.parsing import parse_request
from paddock.server.protocol.route_replies import WorkerResults
from paddock.server.protocol.worker_calls import WorkerCallRequest
from paddock.server.routes.as_json import as_json
from paddock.server.serving import Serving

router = APIRouter()


@router.post("/collective_rpc")
async def collective_rpc(http: Request) -> Response:
    """Between two steps, so requests wait for as long as it takes; answered with the results by engine and rank."""
    serving: Serving = http.app.state.serving
    request = parse_request(WorkerCallRequest, await http.body(), http.headers.get("content-type"))
    call = MethodCall(request.method, request.args, request.kwargs)
    return as_json(WorkerResults(await serving.client.call_workers(call, request.timeout)))
