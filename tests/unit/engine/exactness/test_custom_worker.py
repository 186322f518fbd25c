"""A worker class of the user's own (`--worker-cls`)."""

import pytest

from paddock.engine.config.serve import ServeConfig
from paddock.engine.core import EngineCore
from paddock.engine.executor.choice import make_executor
from paddock.engine.messages import AddRequest
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import SettingsError

MODULE = """
import os
from pathlib import Path

from paddock.engine.worker.worker import Worker


class CountingWorker(Worker):
    def execute(self, plan, *others, **named):
        with Path(os.environ["COUNTS"], str(self.seat.rank)).open("a") as steps:
            steps.write("step\\n")
        return super().execute(plan, *others, **named)


class Stranger:
    pass
"""


@pytest.fixture
def executor_of(checkpoint_of, tmp_path, monkeypatch):
    (tmp_path / "my_workers.py").write_text(MODULE)
    (tmp_path / "counts").mkdir()
    monkeypatch.setenv("COUNTS", str(tmp_path / "counts"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    checkpoint = checkpoint_of("llama-tied-llama3-rope")

    def make(path, **parallel):
        config = ServeConfig.model_validate({"parallel": {"worker_cls": path, **parallel}})
        return make_executor(checkpoint.settings(), config, checkpoint.shape(), checkpoint.path)

    return make


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.long)])
def test_it_runs_the_steps_of_every_rank(executor_of, checkpoint_of, prompts, tmp_path, ranks):
    checkpoint = checkpoint_of("llama-tied-llama3-rope")
    core = EngineCore(
        executor_of("my_workers:CountingWorker", tensor_parallel_size=ranks), checkpoint.settings()
    )
    try:
        core.add(AddRequest("a", prompts[8], SamplingParams(max_tokens=5, temperature=0), 0.0))
        tokens = []
        while core.has_work:
            tokens += [token for output in core.step().get(b"", []) for token in output.new_token_ids]
    finally:
        core.shutdown()

    assert tokens == checkpoint.continuation(prompts[8], 5)
    counts = {file.name: len(file.read_text().split()) for file in (tmp_path / "counts").iterdir()}
    assert counts == {str(rank): 5 for rank in range(ranks)}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("my_workers.Stranger", "is no class that derives from paddock.engine.worker.worker.Worker"),
        ("no_workers.Worker", "cannot be imported"),
    ],
)
@pytest.mark.parametrize("backend", ["uni", pytest.param("mp", marks=pytest.mark.long)])
def test_a_class_that_does_not_fit_is_refused_before_the_model_is_loaded(executor_of, path, words, backend):
    with pytest.raises(SettingsError, match=f"--worker-cls: {path!r}.*{words}"):
        executor_of(path, distributed_executor_backend=backend)
