"""Requests that a pooling engine does not take, and those that only a pooling engine takes."""

from paddock.engine.messages import AddRequest
from paddock.engine.pooling.params import PoolingParams
from paddock.engine.pooling.plan import PoolingPlan
from paddock.engine.settings import EngineSettings

Fault = tuple[str, str]
"""The field at fault, and the text."""


def fault_in_pooling(request: AddRequest, settings: EngineSettings) -> Fault | None:
    """None where the request is of the kind that the engine serves, and can be computed."""
    plan, asked = settings.pooling, request.pooling
    if plan is None and asked is None:
        return None
    if plan is None:
        return "model", "This engine generates (--runner generate); vectors and scores need --runner pooling."
    if asked is None:
        return "model", "This engine pools (--runner pooling); text needs --runner generate."
    length = len(request.prompt_token_ids)
    if length > settings.max_model_len:
        return "input", (
            f"This model's maximum context length is {settings.max_model_len} tokens and the input has {length}."
        )
    return _fault_in_params(asked, plan, length)


def _fault_in_params(asked: PoolingParams, plan: PoolingPlan, length: int) -> Fault | None:
    if asked.scores != (plan.head != "none"):
        return (
            "task",
            f"The model serves {plan.task}; it has {'no' if asked.scores else 'only'} class scores.",
        )
    if asked.pooling == "STEP" and plan.step_tag_id is None:
        return "task", "pooling by steps needs step_tag_id in --pooler-config."
    if asked.dimensions is not None and not 1 <= asked.dimensions <= plan.hidden_size:
        return "dimensions", f"dimensions is {asked.dimensions}; the model has {plan.hidden_size}."
    if asked.second_from is not None and not (plan.tells_pairs and 0 <= asked.second_from <= length):
        return (
            "input",
            f"the second text of a pair begins at token {asked.second_from} of {length}, for this model.",
        )
    return None
