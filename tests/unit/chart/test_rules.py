"""promtool reads the rules, and plays series through them: what should alert does, and what should not is quiet."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from monitoring import RULES, program, rules

pytestmark = pytest.mark.long
CASES = Path(__file__).with_name("rules.test.yaml")


def promtool(*arguments: object) -> str:
    command = [str(argument) for argument in (program("promtool"), *arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rule_files_are_in_order() -> None:
    files = sorted(RULES.glob("*.yaml"))

    assert promtool("check", "rules", "--lint=all", "--lint-fatal", *files).count("SUCCESS") == len(files)


def test_what_the_chart_renders_is_in_order_with_other_values(
    render: Callable[..., str], tmp_path: Path
) -> None:
    values = (
        "monitoring.rules.enabled=true,monitoring.rules.kind=ConfigMap,monitoring.slo.requestObjective=0.95"
    )
    rendered = render("--set", values, "--show-only", "templates/rules.yaml")
    for name, text in yaml.safe_load(rendered)["data"].items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    promtool("check", "rules", "--lint=all", "--lint-fatal", *sorted(tmp_path.iterdir()))


def test_series_played_through_the_rules_alert_as_they_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", CASES)


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet() -> None:
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}

    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts
