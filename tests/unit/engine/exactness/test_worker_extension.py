"""Methods of the user's own on every worker (`--worker-extension-cls`)."""

import re

import pytest

from paddock.engine.config.serve import ServeConfig
from paddock.engine.core import EngineCore
from paddock.engine.executor.choice import make_executor
from paddock.engine.executor.method_call import MethodCall
from paddock.engine.messages import AddRequest
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import SettingsError

MODULE = """
class Inspection:
    def place(self, greeting, *, mark="."):
        return {"rank": self.seat.rank, "says": greeting + mark, "bytes": self.weight_bytes}

    def fails(self):
        raise KeyError("nothing there")

    def gives_no_json(self):
        return self.model

    def _hidden(self):
        return 1


class Taken:
    def execute(self):
        pass
"""


@pytest.fixture
def executor_of(checkpoint_of, tmp_path, monkeypatch):
    (tmp_path / "my_extension.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    checkpoint = checkpoint_of("llama-tied-llama3-rope")

    def make(path, **parallel):
        config = ServeConfig.model_validate({"parallel": {"worker_extension_cls": path, **parallel}})
        return make_executor(checkpoint.settings(), config, checkpoint.shape(), checkpoint.path)

    return make


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_method_is_called_on_every_rank_beside_requests(executor_of, checkpoint_of, prompts, ranks):
    checkpoint = checkpoint_of("llama-tied-llama3-rope")
    core = EngineCore(
        executor_of("my_extension.Inspection", tensor_parallel_size=ranks), checkpoint.settings()
    )
    try:
        core.add(AddRequest("a", prompts[8], SamplingParams(max_tokens=4, temperature=0), 0.0))
        tokens = []
        while core.has_work:
            tokens += [token for output in core.step().get(b"", []) for token in output.new_token_ids]
            answers = core.call_workers(MethodCall("place", ["hello"], {"mark": "!"}))
            faults = core.call_workers(MethodCall("fails", [], {}))

        assert tokens == checkpoint.continuation(prompts[8], 4)
        assert [(answer.status, answer.result["rank"]) for answer in answers] == [
            (200, n) for n in range(ranks)
        ]
        assert {answer.result["says"] for answer in answers} == {"hello!"}
        assert [fault.message for fault in faults] == [
            f"fails on rank {rank}: KeyError: 'nothing there'" for rank in range(ranks)
        ]
    finally:
        core.shutdown()


@pytest.mark.parametrize(
    ("call", "status", "words"),
    [
        (MethodCall("initialize_cache", [1], {}), 400, "have no method 'initialize_cache' to call; they have fails, "),
        (MethodCall("_hidden", [], {}), 400, "have no method '_hidden'"),
        (MethodCall("place", [], {}), 500, "TypeError: .*missing 1 required positional argument: 'greeting'"),
        (MethodCall("gives_no_json", [], {}), 500, "gave a LlamaForCausalLM, which has no form in JSON"),
    ],
    ids=lambda part: part.method if isinstance(part, MethodCall) else "",
)  # fmt: skip
def test_a_call_that_cannot_be_answered_says_why(executor_of, call, status, words):
    executor = executor_of("my_extension.Inspection")

    [answer] = executor.call_workers(call)

    assert (answer.result, answer.status) == (None, status)
    assert re.search(words, answer.message)
    executor.shutdown()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("my_extension.Taken", "has execute, which the worker has itself; choose other names"),
        ("my_extension.Missing", "has no Missing"),
        ("builtins.bool", "cannot be mixed in"),
    ],
)
def test_a_class_that_cannot_be_mixed_in_is_refused(executor_of, path, words):
    with pytest.raises(SettingsError, match=f"--worker-extension-cls: .*{words}"):
        executor_of(path)
