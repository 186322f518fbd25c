"""Two machines of one group whose network is cut while they answer: both sides notice, say so, and end."""

import pytest
from model_families import make_model, save_model
from nodes import ENDS_WITHIN_SECONDS, Nodes, Stream, are_gone, below, check_end
from serving import TINY_MODEL
from two_machines import LEADER, TwoMachines, why_not
from waiting import until

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(why_not()), reason=str(why_not())),
]

LENGTH = ("--dtype", "float32", "--max-model-len", "512")
SHARED = ("--data-parallel-size", "2", "--enable-expert-parallel", "--skip-tokenizer-init", *LENGTH)
LONG = {
    "prompt": [3, 4, 5],
    "max_tokens": 500,
    "temperature": 0,
    "ignore_eos": True,
    "return_token_ids": True,
}
SILENT = "has not been heard for"


@pytest.fixture(scope="module")
def mixtral(tmp_path_factory):
    path = tmp_path_factory.mktemp("mixtral")
    save_model("mixtral", make_model("mixtral"), path)
    return path


@pytest.fixture
def machines():
    with TwoMachines.opened() as made, made.on_leader():
        yield made


@pytest.mark.parametrize("cut", ["pull_the_plug", "lose_every_packet"])
@pytest.mark.parametrize(
    "sizes",
    [("--tensor-parallel-size", "2", *LENGTH), ("--pipeline-parallel-size", "2", *LENGTH), SHARED],
    ids=["tensors", "stages", "experts"],
)
def test_both_sides_of_a_cut_end_within_seconds_and_callers_hear_why(machines, mixtral, tmp_path, sizes, cut):
    nodes = Nodes(tmp_path, *sizes, address=LEADER, model=mixtral if sizes is SHARED else TINY_MODEL)
    with machines.on_other():
        follower, log = nodes.follower()
    try:
        with nodes.leader() as server:
            everyone = below(server.process.pid, follower.pid)
            stream = Stream(server, LONG)
            stream.start()
            assert stream.started.wait(60)

            getattr(machines, cut)()

            check_end(server, stream, everyone, SILENT)
            assert follower.wait(ENDS_WITHIN_SECONDS) == 1
        assert "the leader has not been heard for" in log.read_text()
        until(lambda: are_gone(everyone), seconds=ENDS_WITHIN_SECONDS, what="every process to be gone")
    finally:
        nodes.close()
