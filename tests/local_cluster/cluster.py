#!/usr/bin/env python3
"""A real Kubernetes cluster on one machine, from package registries only: the command line.

    python3 tests/local_cluster/cluster.py up --name demo     # then: kubectl --kubeconfig "$(… kubeconfig --name demo)"

Needs root, Debian or Ubuntu, Python 3.11 and Go; installs everything else. Results go to standard output, progress
to standard error. Status 0: done. 1: it could not be done, the reason is the last line. 3: not up (status alone).
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

# This file's modules import each other as local_cluster.X, whatever folder it is started from.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from local_cluster.bring_up import up
from local_cluster.compaction import compact
from local_cluster.directories import REPOSITORY, ClusterDirectory
from local_cluster.errors import ClusterError
from local_cluster.installation import install
from local_cluster.model_image import load_model_image
from local_cluster.paddock_images import build_images, compiled_environments
from local_cluster.progress import say
from local_cluster.running_cluster import Cluster, open_cluster, read_record
from local_cluster.take_down import down

NOT_UP = 3


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    try:
        directory = ClusterDirectory.of(arguments.name)
        status: int = arguments.command(directory, arguments)
        return status
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say(f"interrupted; what was started is removed by: down --name {arguments.name}")
        return 130


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="cluster.py", description="A real Kubernetes cluster on one machine.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text)
        one.add_argument("--name", default="demo", help="the cluster's name (default: demo)")
        one.set_defaults(command=run)
        return one

    installing = command("install", run_install, "install system packages and build the cluster's programs")
    installing.add_argument(
        "--environments", action="store_true", help="make and compile those of Paddock's images too"
    )
    starting = command(
        "up", run_up, "start the cluster, installing what it needs; prints its kubeconfig's path"
    )
    starting.add_argument("--nodes", type=int, help="number of nodes (default: 2)")
    stopping = command(
        "down", run_down, "stop the cluster and check that nothing of it is left on the machine"
    )
    stopping.add_argument("--purge", action="store_true", help="delete its data too")
    command("status", run_status, "print as JSON what runs; ends with 3 when the cluster is not up")
    command("kubeconfig", run_kubeconfig, "print the path of the cluster's kubeconfig")
    command(
        "env", run_env, "print shell exports that put kubectl and helm on PATH and point them at the cluster"
    )
    building = command(
        "build-images", run_build_images, "load Paddock's two images into the cluster; prints their names"
    )
    building.add_argument(
        "--checkout", type=Path, default=REPOSITORY, help="of which the code is (default: this one)"
    )
    command(
        "compact", run_compact, "compact etcd and restart the API server; prints the revision that is left"
    )
    archive = command("load-image", run_load_image, "load an OCI archive (a tar file) into every node")
    archive.add_argument("archive", type=Path)
    tag = command("tag-image", run_tag_image, "give an image that every node holds a second name")
    tag.add_argument("image")
    tag.add_argument("second")
    model = command(
        "load-model-image", run_load_model_image, "load a model folder as an image for oci:// sources"
    )
    model.add_argument("folder", type=Path)
    model.add_argument("--image", help="REPOSITORY:TAG (default: localhost/models/FOLDER:CONTENT-HASH)")
    return top


def run_install(directory: ClusterDirectory, arguments: argparse.Namespace) -> int:
    print(install().tools)
    if arguments.environments:
        compiled_environments()
    return 0


def run_up(directory: ClusterDirectory, arguments: argparse.Namespace) -> int:
    up(directory, arguments.nodes, install())
    print(directory.kubeconfig)
    return 0


def run_down(directory: ClusterDirectory, arguments: argparse.Namespace) -> int:
    left = down(directory, purge=arguments.purge)
    for thing in left:
        say(f"left behind: {thing}")
    return 1 if left else 0


def run_status(directory: ClusterDirectory, arguments: argparse.Namespace) -> int:
    record = read_record(directory)
    if record is None:
        print(json.dumps({"name": directory.name, "up": False}))
        return NOT_UP
    cluster = Cluster(directory, record)
    ready = cluster.ready()
    answer = {
        "name": directory.name,
        "up": ready,
        "nodes": record.nodes,
        "networks": [str(one) for one in cluster.network.ranges()],
        "kubeconfig": str(directory.kubeconfig),
        "context": f"paddock-{directory.name}",
        "tools": record.tools,
        "programs": cluster.programs(),
    }
    print(json.dumps(answer, indent=2))
    return 0 if ready else NOT_UP


def run_kubeconfig(directory: ClusterDirectory, arguments: argparse.Namespace) -> int:
    if not directory.kubeconfig.exists():
        raise ClusterError(
            f"cluster {directory.name!r} does not exist; make it with: up --name {directory.name}"
        )
    print(directory.kubeconfig)
    return 0


def run_env(directory: ClusterDirectory, arguments: argparse.Namespace) -> int:
    cluster = open_cluster(directory)
    print(f"export KUBECONFIG={shlex.quote(str(directory.kubeconfig))}")
    print(f'export PATH={shlex.quote(str(cluster.tools))}:"$PATH"')
    if any(name.lower() == "https_proxy" for name in os.environ):
        ranges = ",".join(str(one) for one in cluster.network.ranges())
        print(f'export NO_PROXY="${{NO_PROXY:+$NO_PROXY,}}{ranges}"')
    return 0


def run_build_images(directory: ClusterDirectory, arguments: argparse.Namespace) -> int:
    print(json.dumps(build_images(open_cluster(directory), arguments.checkout)))
    return 0


def run_compact(directory: ClusterDirectory, arguments: argparse.Namespace) -> int:
    print(compact(open_cluster(directory)))
    return 0


def run_load_image(directory: ClusterDirectory, arguments: argparse.Namespace) -> int:
    cluster = open_cluster(directory)
    if not arguments.archive.is_file():
        raise ClusterError(f"{arguments.archive} is not a file; give the path of an OCI image archive")
    for node in cluster.nodes:
        node.ctr("images", "import", arguments.archive.resolve())
    return 0


def run_tag_image(directory: ClusterDirectory, arguments: argparse.Namespace) -> int:
    for node in open_cluster(directory).nodes:
        node.ctr("images", "tag", "--force", arguments.image, arguments.second)
    print(arguments.second)
    return 0


def run_load_model_image(directory: ClusterDirectory, arguments: argparse.Namespace) -> int:
    print(load_model_image(open_cluster(directory), arguments.folder, arguments.image))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
