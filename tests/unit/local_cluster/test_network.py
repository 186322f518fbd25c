"""Which address ranges a cluster takes."""

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_cluster.errors import ClusterError
from local_cluster.network import MOST_NODES, SLOTS, ClusterNetwork, choose_network, resolvers


def test_an_idle_machine_gives_the_first_slot() -> None:
    assert choose_network([], []) == ClusterNetwork(0)


def test_a_slot_of_another_cluster_is_passed_over() -> None:
    assert choose_network([], [0, 1, 3]).slot == 2


@pytest.mark.parametrize("used", ["10.78.0.128/25", "10.160.3.0/24", "10.192.200.7/32"])
def test_a_route_into_any_of_the_three_ranges_excludes_the_slot(used: str) -> None:
    assert choose_network([IPv4Network(used)], []).slot == 1


def test_a_machine_that_routes_all_of_ten_is_told_what_to_do() -> None:
    with pytest.raises(ClusterError, match=r"remove the routes"):
        choose_network([IPv4Network("10.0.0.0/8")], [])


@given(st.sets(st.integers(0, SLOTS - 1), max_size=SLOTS - 1))
def test_the_chosen_slot_is_never_taken(taken: set[int]) -> None:
    assert choose_network([], taken).slot not in taken


def test_no_two_slots_share_an_address() -> None:
    ranges = [one for slot in range(SLOTS) for one in ClusterNetwork(slot).ranges()]

    overlapping = [(a, b) for a in ranges for b in ranges if a is not b and a.overlaps(b)]

    assert overlapping == []


def test_nodes_have_addresses_and_pod_ranges_of_their_own() -> None:
    network = ClusterNetwork(3)
    numbers = range(1, MOST_NODES + 1)

    pods = [network.pods_of(number) for number in numbers]

    assert len({network.node(number) for number in numbers} | {network.control_plane, network.host}) == 11
    assert len(set(pods)) == MOST_NODES
    assert all(one.subnet_of(network.pods) for one in pods)
    assert (network.node(2), str(network.pods_of(2)), network.dns) == (
        "10.78.3.12",
        "10.163.2.0/24",
        "10.195.0.10",
    )


def test_name_servers_count_as_used_and_other_lines_do_not() -> None:
    text = "# nameserver 10.0.0.9\nsearch example\nnameserver 10.78.0.1\nnameserver fd00::1\nnameserver\n"

    assert resolvers(text) == [IPv4Network("10.78.0.1/32")]
