"""A training on two nodes of a real Slurm, each a slurmd of its own, is one of two processes on one machine."""

from functools import partial
from pathlib import Path

from cluster import PATIENCE, wait_for
from test_faults import ENCODER, ONCE, TRAINING, go_on, is_told, job_of, made, processes_of, record, stop

TWO = {"device": "cpu", "gpus": 2}


def node_of(process: int) -> str:
    """Slurm's name of the node that a process runs on."""
    environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    return next(entry for entry in environment if entry.startswith(b"SLURMD_NODENAME=")).decode().partition("=")[2]


def test_two_nodes_save_at_a_notice_go_on_and_make_the_bytes_of_one(two_nodes, flows):
    flow, local = flows(TRAINING, "two_nodes")
    for each, nodes in ((flow, 2), (local, 1)):
        each.changed = {**TRAINING, "compute": {**TWO, "nodes": nodes}}
    snakemake = flow.start(ENCODER, options=ONCE)
    process = stop(flow)
    job = job_of(flow)
    assert two_nodes.job(job)["NumNodes"] == "2" and {node_of(one) for one in processes_of(flow, job)} == {
        "node1",
        "node2",
    }
    two_nodes.ask("scancel", "--signal=USR1", job)
    wait_for(partial(is_told, process), "the notice")
    go_on(process)
    wait_for(lambda: int(two_nodes.job(job)["Restarts"]) == 1, "its return to the queue")
    assert snakemake.wait(timeout=PATIENCE) == 0, flow.said.read_text()
    assert local.run(ENCODER)[0] == 0 and made(flow) == made(local) and not flow.leftovers()
    ours, theirs = (record(each)["notes"] for each in (flow, local))
    assert len(ours["earlier_runs"]) == 1 and len(ours["hardware_of_nodes"]) == 2
    assert [(notes["processes"], notes["nodes"]) for notes in (ours, theirs)] == [(2, 2), (2, 1)]
