"""Take a cluster down and prove that nothing of it is left on this machine."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from local_cluster import cgroups, kernel_settings
from local_cluster.commands import run, succeeds
from local_cluster.deadline import Deadline
from local_cluster.directories import ClusterDirectory
from local_cluster.installation import locked
from local_cluster.network import ClusterNetwork, ranges_in_use
from local_cluster.process_records import ProcessRecord
from local_cluster.progress import Step
from local_cluster.running_cluster import alone, read_record

END_SECONDS = 30


def down(directory: ClusterDirectory, *, purge: bool) -> list[str]:
    """Stop the cluster, with `purge` delete its data too, and name whatever is left on the machine."""
    with alone(directory):
        record = read_record(directory)
        # Somebody may have deleted the folder of a running cluster: its cgroups still name its processes.
        if directory.root.exists() or cgroups.cluster_folders(directory.cgroup):
            with Step(f"Stopping cluster {directory.name}"):
                stop(directory)
        if purge and directory.root.exists():
            with Step(f"Deleting the data of cluster {directory.name}"):
                # Hard-linked images are 100,000 names per node: rm takes a third of shutil.rmtree's time for them.
                with ThreadPoolExecutor() as pool:
                    list(pool.map(lambda path: run(["rm", "-rf", path]), directory.root.glob("node-*")))
                shutil.rmtree(directory.root)
        return leftovers(directory, record.network if record else None)


def stop(directory: ClusterDirectory) -> None:
    """End the init of every namespace set; the kernel then ends all that is inside and drops its mounts and links."""
    holders = [ProcessRecord.read(file) for file in directory.processes.glob("*.init")]
    holders += [ProcessRecord.read(file) for file in directory.processes.glob("*.outer")]
    for holder in holders:
        holder.kill()
    ended = partial(_all_ended, directory, holders)
    Deadline(END_SECONDS).wait(f"end of the processes of {directory.name}", ended, interval=0.05)
    # The kernel drops the link with the namespace at its other end, perhaps just now; `leftovers` looks again.
    succeeds(["ip", "link", "del", directory.host_link])
    cgroups.remove(directory.cgroup)
    shutil.rmtree(directory.processes, ignore_errors=True)
    _restore_kernel_settings(directory)


def _all_ended(directory: ClusterDirectory, holders: list[ProcessRecord]) -> bool:
    """Whether the holders are gone (the kernel ends everything inside before them) and the cgroups are empty.

    Only the cluster's own processes ever joined its cgroups: any that an interrupted start left unrecorded are
    ended here.
    """
    remaining = cgroups.processes_in(directory.cgroup)
    for pid in remaining:
        ProcessRecord.of(pid, "").kill()
    return not remaining and not any(holder.exists() for holder in holders)


def _restore_kernel_settings(directory: ClusterDirectory) -> None:
    """Put the host's settings back once no cluster runs any more."""
    clusters = directory.root.parent
    with locked(clusters / ".network.lock", "another start"):
        if not any(other for other in clusters.glob("*/processes") if other.is_dir()):
            kernel_settings.restore(clusters / ".kernel-settings.json")


def leftovers(directory: ClusterDirectory, network: ClusterNetwork | None) -> list[str]:
    """What a stopped cluster left on this machine; an empty list is the promise of `down`."""
    found = [f"process {pid}" for pid in sorted(cgroups.processes_in(directory.cgroup))]
    found += [f"cgroup {folder}" for folder in cgroups.cluster_folders(directory.cgroup)]
    for line in Path("/proc/mounts").read_text().splitlines():
        if f"{directory.root}/" in line:
            found.append(f"mount {line}")
    if succeeds(["ip", "link", "show", directory.host_link]):
        found.append(f"network link {directory.host_link}")
    if network is not None:
        for used in ranges_in_use():
            found += [f"route {used}" for mine in network.ranges() if mine.overlaps(used)]
        rules = run(["nft", "list", "ruleset"]) if shutil.which("nft") else ""
        found += [f"firewall rule for {mine}" for mine in network.ranges() if str(mine) in rules]
    clusters = directory.root.parent
    if clusters.is_dir() and not any(clusters.glob("*/processes")):
        changed = kernel_settings.changed(clusters / ".kernel-settings.json")
        found += [f"kernel setting {name} (was {value})" for name, value in changed.items()]
    return found
