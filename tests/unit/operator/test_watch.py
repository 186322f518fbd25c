"""From a watch event to a key, and how kopf is set up."""

import subprocess
import sys

import pytest

from paddock.operator.children import CHILDREN
from paddock.operator.kopf_loop import settings
from paddock.operator.watch import is_own_echo, kind_begun


def body(generation: int = 2, observed: int | None = None) -> dict[str, object]:
    return {
        "metadata": {"generation": generation},
        "status": {} if observed is None else {"observedGeneration": observed},
    }


@pytest.mark.parametrize(
    ("event_type", "observed", "echo"),
    [
        ("MODIFIED", 2, True),
        ("MODIFIED", 1, False),
        ("MODIFIED", None, False),
        ("ADDED", 2, False),
        (None, 2, False),
    ],
)
def test_only_our_own_status_write_is_ignored(
    event_type: str | None, observed: int | None, echo: bool
) -> None:
    assert is_own_echo(event_type, body(2, observed)) is echo


@pytest.mark.parametrize(
    ("code", "query", "kind"),
    [(200, "", "Pod"), (200, "watch=true", None), (200, "continue=next", None), (503, "", None)],
)
def test_the_list_that_begins_a_watch_is_known(code: int, query: str, kind: str | None) -> None:
    assert kind_begun(code, f"/api/v1/namespaces/models/pods?limit=200&{query}") == kind
    assert kind_begun(code, "/apis/paddock.dev/v1alpha1/inferenceservices") is None


def test_every_child_kind_is_filtered_by_the_api_server() -> None:
    filtered = {(s.group, s.version, s.any_name) for s in settings().watching.label_selectors}
    assert filtered == set(CHILDREN.values())


def test_kopf_neither_peers_nor_posts_nor_discovers() -> None:
    chosen = settings()
    assert chosen.peering.standalone
    assert not chosen.posting.enabled
    assert chosen.scanning.disabled


def test_the_operator_loads_neither_torch_nor_transformers() -> None:
    script = (
        "import sys, paddock.operator.__main__;"
        "print(sorted({'torch', 'transformers', 'numpy', 'msgspec', 'zmq'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
