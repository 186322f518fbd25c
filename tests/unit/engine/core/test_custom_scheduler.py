"""A scheduler of the user's own, named by its dotted path."""

from dataclasses import replace
from pathlib import Path

import pytest

from paddock.engine.settings import SettingsError

SHORTEST_FIRST = """
from paddock.engine.scheduler.interface import SchedulerInterface
from paddock.engine.scheduler.scheduler import Scheduler


class ShortestFirst(Scheduler):
    def add(self, request):
        request.rank = (request.max_length, *request.rank)
        super().add(request)


class Fragile(Scheduler):
    def __init__(self, cache, settings, num_stages):
        raise KeyError("no such file")


class Unfinished(SchedulerInterface):
    def add(self, request):
        pass


class Stranger:
    pass
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_scheduling.py").write_text(SHORTEST_FIRST)
    monkeypatch.syspath_prepend(tmp_path)
    return "my_scheduling"


@pytest.mark.parametrize("separator", [".", ":"])
def test_it_decides_who_is_served_first(make_core, engine, module, separator) -> None:
    core = make_core(max_num_seqs=1, scheduler_cls=f"{module}{separator}ShortestFirst")
    for name, max_tokens in (("long", 9), ("short", 1), ("middle", 4)):
        core.add(engine.ask(name, [1], max_tokens=max_tokens))

    assert list(engine.run(core)) == ["short", "middle", "long"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Missing", "the module my_scheduling has no Missing"),
        ("Stranger", "derives from paddock.engine.scheduler.interface.SchedulerInterface"),
        ("Unfinished", "leaves out abort, check_integrity, num_running"),
        ("Fragile", "making a my_scheduling.Fragile failed (KeyError: 'no such file')"),
    ],
)
def test_a_class_that_does_not_fit_is_refused_with_its_path(make_core, module, name, words) -> None:
    with pytest.raises(SettingsError) as caught:
        make_core(scheduler_cls=f"{module}.{name}")

    assert "--scheduler-cls" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no_such_module.Scheduler", "cannot be imported (ModuleNotFoundError"),
        ("Scheduler", "is no dotted path: write package.module.Class"),
        ("os;system.x", "is no dotted path"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_before_a_model_is_loaded(engine, path, words) -> None:
    from paddock.engine.core import check_named_classes

    with pytest.raises(SettingsError) as caught:
        check_named_classes(replace(engine.settings, scheduler_cls=path))

    assert f"--scheduler-cls: {path!r}" in str(caught.value)
    assert words in str(caught.value)


def test_a_scheduler_that_plans_nothing_ends_the_engine_instead_of_spinning(make_core, engine) -> None:
    core = make_core()
    core.add(engine.ask("a", [1]))
    core._scheduler.schedule = lambda: None

    with pytest.raises(RuntimeError, match="holds 0 running and 1 waiting requests and planned no step"):
        core.step()
