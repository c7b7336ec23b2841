"""What goes wrong on a cluster, done to a real Slurm: the result is that of an undisturbed run, or one line says what to do."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cluster import wait_for

ENCODER = "results/demo_xsub/mamp/encoder.safetensors"
OFTEN = {"seconds": 1.0}
ONCE = ("--retries", "0")


def training(epochs: int) -> dict:
    return {"pretrain": {"optimiser": {"epochs": epochs}}, "checkpoint": OFTEN}


def under_way(flow) -> int:
    """Trainings that have saved a checkpoint."""
    return len(list((flow.folder / "results/.work").glob("*/last.ckpt")))


def job_of(flow, wildcards: str) -> str:
    """Number of the newest Slurm job of a training."""
    logs = flow.folder / "results/logs/slurm/rule_pretrain" / wildcards
    return max((path.stem for path in logs.glob("*.log")), key=int)


def kill_processes(job: str) -> None:
    """SIGKILL to every process of a Slurm job."""
    mark = f"SLURM_JOB_ID={job}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in environment.read_bytes().split(b"\0"):
                os.kill(int(environment.parent.name), signal.SIGKILL)
        except (OSError, ProcessLookupError):
            continue


def made(flow, target: str = ENCODER) -> dict[str, bytes]:
    folder = str(Path(target).parent.relative_to("results"))
    return {path: content for path, content in flow.results().items() if path.startswith(folder)}


def epochs_in(seconds: float, flow) -> int:
    """Epochs that this machine trains in so many seconds, by a short training."""
    flow.changed = training(100)
    code, said = flow.run(ENCODER)
    assert code == 0, said
    return round(100 * seconds / record(flow)["wall_seconds"])


def record(flow, target: str = ENCODER) -> dict:
    return json.loads((flow.folder / target).with_name("record.json").read_text())


def test_a_stage_that_needs_three_times_its_limit_of_a_minute_queues_again_until_it_is_done(cluster, flows):
    flow, local = flows({}, gpu_minutes=1, notice_seconds=20)  # told after 10 to 40 s: Slurm keeps the moment to half a minute
    flow.changed = local.changed = training(epochs_in(80, local))
    undisturbed, snakemake = local.start(ENCODER), flow.start(ENCODER, options=ONCE)
    wait_for(lambda: flow.journal.exists() and " epoch " in flow.status(), 120, "progress in `stars status`")
    shown, job = flow.status(), job_of(flow, "demo_xsub_mamp")
    assert f"Stage 1, masked motion prediction: demo xsub mamp: Slurm job {job}, for 0" in shown
    assert re.search(
        r"^  pretrain: step \d+/\d+  epoch [\d.]+  loss [\d.]+  \d+ clips/s  [\d:]+ left  \(00:\d\d ago\)$", shown, re.MULTILINE
    )
    assert snakemake.wait(timeout=600) == 0, flow.said.read_text()
    told = cluster.job(job)
    assert told["TimeLimit"] == "00:01:00" and int(told["Restarts"]) >= 2  # three jobs under one number, and none of them a retry
    assert len(record(flow)["notes"]["earlier_runs"]) == int(told["Restarts"])
    assert undisturbed.wait(timeout=400) == 0 and made(flow) == made(local) and not flow.leftovers()


def test_cancelled_killed_preempted_and_lost_with_its_node_a_training_goes_on(cluster, flows):
    names = ["mamp", "mamp-seed1", "mamp-seed2"]
    targets = [f"results/demo_xsub/{name}/encoder.safetensors" for name in names]
    flow, local = flows({**training(1000), "seeds": [0, 1, 2]})
    undisturbed, snakemake = local.start(*targets), flow.start(*targets)
    wait_for(lambda: under_way(flow) == 3, 120, "three trainings")
    cluster.ask("scancel", job_of(flow, "demo_xsub_mamp-seed1"))
    kill_processes(job_of(flow, "demo_xsub_mamp-seed2"))
    time.sleep(2)
    survivor = job_of(flow, "demo_xsub_mamp")
    cluster.ask("sbatch", "--partition=urgent", "--cpus-per-task=8", "--output=/dev/null", "--wrap", "sleep 1")  # needs the whole node
    wait_for(lambda: int(cluster.job(survivor)["Restarts"]) == 1 and f"{survivor} RUNNING" in cluster.jobs("%i %T"), 60, "preemption")
    cluster.ask("scontrol", "update", "nodename=localhost", "state=down", "reason=test")
    wait_for(lambda: int(cluster.job(survivor)["Restarts"]) == 2, 30, "the node's failure")
    cluster.ask("scontrol", "update", "nodename=localhost", "state=resume")
    assert snakemake.wait(timeout=600) == 0, flow.said.read_text()
    assert undisturbed.wait(timeout=300) == 0
    for target in targets:
        assert made(flow, target) == made(local, target)
        assert record(flow, target)["notes"]["earlier_runs"]  # none began anew
    assert not flow.leftovers() and flow.said.read_text().count("Trying to restart job") >= 2


def test_after_snakemake_was_killed_its_jobs_end_and_nothing_is_made_twice(cluster, flows):
    flow, local = flows(training(1000))
    snakemake = flow.start(ENCODER)
    wait_for(lambda: under_way(flow), 120, "the training")
    snakemake.kill()
    snakemake.wait()
    assert "Snakemake (process " in flow.status() and "was killed: start it again" in flow.status()
    code, said = flow.run(ENCODER)
    assert code == 1 and "--unlock" in said
    assert flow.run(options=("--unlock",))[0] == 0
    code, said = flow.run(ENCODER)
    lines = [line for line in said.splitlines() if "still in Slurm's queue" in line]
    assert code == 1 and len(lines) == 1 and "let them end, what they make is kept; or cancel them, scancel --name stars_" in lines[0]
    wait_for(lambda: not cluster.jobs(), 200, "the training's end")
    made_at = (flow.folder / ENCODER).stat().st_mtime_ns
    code, said = flow.run(ENCODER)
    assert code == 0 and "Nothing to be done" in said and (flow.folder / ENCODER).stat().st_mtime_ns == made_at
    assert local.run(ENCODER)[0] == 0 and made(flow) == made(local) and not flow.leftovers()


@pytest.mark.parametrize(
    ("changed", "site", "options", "hint"),
    [
        ({}, {"gpu_partition": "nowhere"}, (), "no such partition: `sinfo -s` lists them; set cpu_partition and gpu_partition"),
        ({"compute": {"device": "cuda", "gpus": 2}}, {}, (), "no usable GPU driver on that node: load its module (modules in "),
        ({}, {}, ("--set-resources", "pretrain:mem_mb=400"), "it ran out of memory: raise mem_mb of this rule under set-resources in "),
    ],
    ids=["a wrong partition", "two GPUs without a driver", "too little memory"],
)
def test_what_a_user_can_mend_is_one_line_that_says_how_and_leaves_nothing_behind(cluster, flows, changed, site, options, hint):
    flow, _ = flows({**training(2), **changed}, **site)
    code, said = flow.run(ENCODER, options=(*ONCE, *options))
    hints = [line for line in said.splitlines() if "hint:" in line]
    assert code == 1, said
    assert len(hints) == 1 and hint in hints[0], said
    assert not made(flow) and not flow.leftovers()
    assert "1 failed" in flow.status() and hints[0] in flow.status()
    if "compute" in changed:
        assert cluster.job(job_of(flow, "demo_xsub_mamp"))["TresPerJob"] == "gres:gpu:2"


def test_a_full_scratch_directory_is_one_line_and_after_that_the_training_goes_on(flows, tmp_path):
    if os.geteuid():
        pytest.skip("only root can mount a small file system")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", scratch], check=True)
    try:
        flow, local = flows({**training(400), "checkpoint": {"seconds": 1.0, "folder": str(scratch / "work")}})
        (scratch / "filler").write_bytes(bytes(2_000_000))
        code, said = flow.run(ENCODER, options=ONCE)
        hints = [line for line in said.splitlines() if "hint:" in line]
        assert code == 1, said
        assert len(hints) == 1 and "the disk is full or the quota is used up" in hints[0]
        assert said.count("no space left while writing") == 1 and not made(flow) and not flow.leftovers()
        (scratch / "filler").unlink()
        assert flow.run(ENCODER)[0] == 0 and local.run(ENCODER)[0] == 0
        assert made(flow) == made(local) and not list(scratch.rglob("*"))
    finally:
        subprocess.run(["umount", "--lazy", scratch], check=True)
