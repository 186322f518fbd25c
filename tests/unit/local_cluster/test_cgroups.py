"""Which hierarchies are found, and how a node mounts them again."""

from pathlib import Path

from local_cluster.cgroups import hierarchies
from local_cluster.node import mount_script

V1 = """tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
"""
V2 = "sysfs /sys sysfs rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n"


def test_an_empty_cgroup2_beside_v1_hierarchies_is_skipped() -> None:
    found = {one.path.name: one.options for one in hierarchies(V1)}

    assert found == {"cpu,cpuacct": "cpu,cpuacct", "memory": "memory", "systemd": "none,name=systemd"}


def test_cgroup2_alone_is_one_hierarchy() -> None:
    (only,) = hierarchies(V2)

    assert only.is_v2
    assert only.path == Path("/sys/fs/cgroup")


def test_a_node_finds_controllers_that_are_mounted_together_by_each_name() -> None:
    script = mount_script(Path("/x/node-1"), hierarchies(V1))

    assert "mount -t cgroup -o cpu,cpuacct cgroup /sys/fs/cgroup/cpu,cpuacct" in script
    assert "ln -s cpu,cpuacct /sys/fs/cgroup/cpu\n" in script
    assert "ln -s memory" not in script


def test_a_node_on_cgroup2_mounts_the_one_hierarchy() -> None:
    script = mount_script(Path("/x/node-1"), hierarchies(V2))

    assert "mount -t cgroup2 cgroup2 /sys/fs/cgroup" in script
    assert "tmpfs cgroup" not in script
