"""Figures of a service from the texts of its replicas."""

import pytest

from paddock.operator.autoscaling import OwnMetric
from paddock.operator.custom_metrics.series import METRICS, History, NotMeasured, read_sample, value_of
from paddock.operator.plan.autoscaler import metric_name

TEXT = """\
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting{engine="1",model_name="m"} 2.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0"} 0.7
vllm:kv_cache_usage_perc{engine="1"} 0.3
# TYPE vllm:generation_tokens counter
vllm:generation_tokens_total{engine="0"} 100.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{le="+Inf"} 4.0
vllm:time_to_first_token_seconds_sum 2.0
vllm:time_to_first_token_seconds_count 4.0
"""


def history(*samples: tuple[float, dict[str, float]]) -> History:
    made = History()
    for now, sample in samples:
        made.add(now, sample)
    return made


def test_every_metric_type_has_the_name_that_is_served() -> None:
    assert tuple(metric_name(each) for each in OwnMetric.__args__) == METRICS  # type: ignore[attr-defined]


def test_series_are_summed_over_their_labels() -> None:
    sample = read_sample(TEXT)
    assert sample["vllm:num_requests_waiting"] == 5
    assert sample["vllm:generation_tokens_total"] == 100
    assert sample["vllm:time_to_first_token_seconds_count"] == 4


def test_gauges_add_up_over_replicas() -> None:
    replicas = [history((0, read_sample(TEXT))), history((0, read_sample(TEXT)))]
    assert value_of("requests_waiting", replicas) == 10
    assert value_of("kv_cache_usage", replicas) == 1.0


def test_the_share_of_a_replica_is_the_mean_of_its_engines_behind_one_api_or_several() -> None:
    assert read_sample(TEXT)["vllm:kv_cache_usage_perc"] == 0.5
    pods = [history((0, {"vllm:kv_cache_usage_perc": share})) for share in (0.2, 0.6)]
    assert value_of("kv_cache_usage", pods, groups=1) == 0.4
    assert value_of("requests_waiting", [history((0, read_sample(TEXT)))] * 2, groups=1) == 10


def test_tokens_per_second_is_the_growth_over_the_window() -> None:
    replica = history((0, {"vllm:generation_tokens_total": 100}), (10, {"vllm:generation_tokens_total": 400}))
    assert value_of("tokens_per_second", [replica, replica]) == 60


def test_time_to_first_token_is_the_mean_of_the_requests_in_the_window() -> None:
    first, count = "vllm:time_to_first_token_seconds_sum", "vllm:time_to_first_token_seconds_count"
    busy = history((0, {first: 10, count: 10}), (20, {first: 16, count: 13}))
    idle = history((0, {first: 5, count: 5}), (20, {first: 5, count: 5}))
    assert value_of("time_to_first_token", [busy, idle]) == 2.0
    assert value_of("time_to_first_token", [idle]) == 0.0


def test_a_rate_needs_some_seconds_and_forgets_what_is_older_than_the_window() -> None:
    name = "vllm:generation_tokens_total"
    with pytest.raises(NotMeasured, match="a moment ago"):
        value_of("tokens_per_second", [history((0, {name: 1}), (2, {name: 9}))])
    old = history((0, {name: 0}), (100, {name: 100}), (110, {name: 110}))
    assert value_of("tokens_per_second", [old]) == 1.0


def test_a_restarted_counter_is_no_negative_rate() -> None:
    name = "vllm:generation_tokens_total"
    assert value_of("tokens_per_second", [history((0, {name: 50}), (10, {name: 1}))]) == 0


def test_a_replica_that_does_not_report_a_gauge_is_no_zero() -> None:
    with pytest.raises(NotMeasured, match="num_requests_running"):
        value_of("requests_running", [history((0, read_sample(TEXT)))])
