"""Choose address ranges that nothing on this machine uses, so that clusters stand side by side."""

import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from local_cluster.commands import run
from local_cluster.errors import ClusterError

SLOTS = 16
MOST_NODES = 9
RESOLVER = Path("/etc/resolv.conf")


@dataclass(frozen=True)
class ClusterNetwork:
    """The three ranges of slot 0 to 15: machines (/24), pods (/16, a /24 per node) and services (/16)."""

    slot: int

    @property
    def machines(self) -> IPv4Network:
        return IPv4Network(f"10.78.{self.slot}.0/24")

    @property
    def pods(self) -> IPv4Network:
        return IPv4Network(f"10.{160 + self.slot}.0.0/16")

    @property
    def services(self) -> IPv4Network:
        return IPv4Network(f"10.{192 + self.slot}.0.0/16")

    @property
    def control_plane(self) -> str:
        return str(self.machines[1])

    @property
    def host(self) -> str:
        return str(self.machines[254])

    @property
    def first_service(self) -> str:
        return str(self.services[1])

    @property
    def dns(self) -> str:
        return str(self.services[10])

    def node(self, number: int) -> str:
        """Address of node `number` (1 and up)."""
        return str(self.machines[10 + number])

    def pods_of(self, number: int) -> IPv4Network:
        """Range of the pods of node `number` (1 and up)."""
        return IPv4Network((int(self.pods[256 * number]), 24))

    def ranges(self) -> tuple[IPv4Network, IPv4Network, IPv4Network]:
        return self.machines, self.pods, self.services

    def is_free(self, used: Iterable[IPv4Network]) -> bool:
        """Whether no used range overlaps one of this slot's."""
        taken = list(used)
        return not any(mine.overlaps(other) for mine in self.ranges() for other in taken)


def choose_network(used: Iterable[IPv4Network], slots_taken: Iterable[int]) -> ClusterNetwork:
    """The first slot that no other cluster holds and no route touches. Raises ClusterError when none is left."""
    taken, ranges = set(slots_taken), list(used)
    for slot in range(SLOTS):
        network = ClusterNetwork(slot)
        if slot not in taken and network.is_free(ranges):
            return network
    raise ClusterError(
        f"none of the {SLOTS} address slots (10.78.N.0/24, 10.160+N.0.0/16, 10.192+N.0.0/16) is free: "
        "stop a cluster with `down --purge`, or remove the routes that cover them"
    )


def ranges_in_use() -> list[IPv4Network]:
    """Ranges that this machine routes, owns or resolves names by; the default route itself does not count."""
    found = []
    for route in json.loads(run(["ip", "-4", "-json", "route", "show", "table", "all"])):
        for field in ("dst", "gateway"):
            if (text := route.get(field, "default")) != "default":
                found.append(IPv4Network(text, strict=False))
    return found + resolvers(RESOLVER.read_text() if RESOLVER.exists() else "")


def resolvers(text: str) -> list[IPv4Network]:
    """IPv4 name servers in the text of a resolv.conf: covering one would cut the machine off from names."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                found.append(IPv4Network(ipaddress.IPv4Address(words[1])))
            except ipaddress.AddressValueError:
                continue
    return found
