"""`from_spec` and the offline check come to the same verdict about every argument; a real API server joins them in
tests/cluster."""

import pytest
from argument_probes import accepted, probes, spec_of, whole

from paddock.engine.config.groups import GROUPS
from paddock.engine.config.manifest.check import check


@pytest.mark.parametrize("group", [*GROUPS, "sglang"])
def test_both_accept_or_refuse_the_same_values_and_name_the_field(group: str) -> None:
    for entry, value in probes(group):
        spec = spec_of(group, entry, value)
        faults = check(whole(spec))
        assert accepted(spec) != bool(faults), (spec, faults)
        assert not faults or any(entry.spec_field in each.path + each.message for each in faults), (
            spec,
            faults,
        )
