"""Methods of the user's own on the worker (`--worker-extension-cls`), called on every worker at once."""

import inspect
import logging

import msgspec

from paddock.engine.dotted_path import DottedPathError, load_class
from paddock.engine.executor.method_call import MethodAnswer, MethodCall
from paddock.engine.settings import SettingsError
from paddock.engine.worker.worker import Worker

logger = logging.getLogger(__name__)


def extended(base: type[Worker], path: str) -> type[Worker]:
    """`base` with the class at `path` mixed in. Raises `SettingsError`."""
    try:
        extension = load_class(path, object)
    except DottedPathError as error:
        raise SettingsError(f"--worker-extension-cls: {error}") from error
    own = {name for name in dir(extension) if not name.startswith("__")}
    taken = sorted(own & set(dir(base)))
    if taken:
        raise SettingsError(
            f"--worker-extension-cls: {path!r} has {', '.join(taken)}, which the worker has itself; choose other names."
        )
    public = frozenset(
        name for name in own if not name.startswith("_") and _is_method(getattr(extension, name))
    )
    try:
        return type(base.__name__, (base, extension), {"callable_methods": public})
    except TypeError as error:
        raise SettingsError(f"--worker-extension-cls: {path!r} cannot be mixed in ({error})") from error


def _is_method(member: object) -> bool:
    return inspect.isfunction(member) or inspect.ismethod(member)


def call_method(worker: Worker, call: MethodCall) -> MethodAnswer:
    """Whatever the user's code raises is told, and harms no request."""
    methods = worker.callable_methods
    if call.method not in methods:
        known = ", ".join(sorted(methods)) or "none: --worker-extension-cls names the class that has them"
        return MethodAnswer(
            None, 400, f"The workers have no method {call.method!r} to call; they have {known}."
        )
    try:
        # By the class: the worker may have an attribute of that name, which is none of the extension's.
        method = inspect.getattr_static(type(worker), call.method).__get__(worker, type(worker))
        result = method(*call.args, **call.kwargs)
    except Exception as error:
        logger.exception("%s failed on rank %d", call.method, worker.seat.rank)
        return MethodAnswer(
            None, 500, f"{call.method} on rank {worker.seat.rank}: {type(error).__name__}: {error}"
        )
    try:
        return MethodAnswer(msgspec.to_builtins(result, str_keys=True))
    except (TypeError, ValueError, RecursionError) as error:
        return MethodAnswer(
            None, 500, f"{call.method} gave a {type(result).__name__}, which has no form in JSON ({error})."
        )
