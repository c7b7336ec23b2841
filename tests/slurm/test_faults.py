"""What goes wrong on a cluster, done to a real Slurm: the result is that of an undisturbed run, or one line says what to do."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from cluster import wait_for

ENCODER = "results/demo_xsub/mamp/encoder.safetensors"
OFTEN = {"seconds": 0.5}
ONCE = ("--retries", "0")


def training(epochs: int) -> dict:
    return {"pretrain": {"optimiser": {"epochs": epochs}}, "checkpoint": OFTEN}


def checkpoints(flow) -> list[Path]:
    return list((flow.folder / "results/.work").glob("*/last.ckpt"))


def job_of(flow, wildcards: str = "demo_xsub_mamp") -> str:
    """Number of the newest Slurm job of a training, empty where none has begun."""
    logs = flow.folder / "results/logs/slurm/rule_pretrain" / wildcards
    return max((path.stem for path in logs.glob("*.log")), key=int, default="")


def processes(flow, job: str, argument: str = "") -> list[int]:
    """Processes of a Slurm job, or those of them that were given an argument; another cluster beside this one has jobs of the same number."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            inside = f"SLURM_JOB_ID={job}".encode() in (folder / "environ").read_bytes().split(b"\0")
            if inside and (folder / "cwd").samefile(flow.folder) and argument.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:  # it ended
            continue
    return found


@contextmanager
def held(flow, wildcards: str = "demo_xsub_mamp", besides: int = 0) -> Iterator[int]:
    """Stop a training's process once it has saved a checkpoint, so that it lasts, whatever the speed of the machine. Its number.

    `besides`: an earlier process, which may not have gone yet.
    """

    def found() -> list[int]:
        return [process for process in processes(flow, job_of(flow, wildcards), "--work") if process != besides]

    wait_for(found, 300, "the training's process")
    since, process = time.time(), min(found())  # others are its children
    wait_for(lambda: any(file.stat().st_mtime > since for file in checkpoints(flow)), 300, "its checkpoint")
    os.kill(process, signal.SIGSTOP)
    yield process
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGCONT)


def is_told(process: int) -> bool:
    """Whether Slurm's notice reached a stopped process: SIGUSR1 waits for it, or Slurm let it run on to take it."""
    try:
        told = Path(f"/proc/{process}/status").read_text()
    except OSError:  # it saved and ended
        return True
    pending = re.search(r"^ShdPnd:\s*(\w+)", told, re.MULTILINE)
    return bool(int(pending[1], 16) & 1 << signal.SIGUSR1 - 1) or not re.search(r"^State:\s*T", told, re.MULTILINE)


def made(flow, target: str = ENCODER) -> dict[str, bytes]:
    folder = str(Path(target).parent.relative_to("results"))
    return {path: content for path, content in flow.results().items() if path.startswith(folder)}


def record(flow, target: str = ENCODER) -> dict:
    return json.loads((flow.folder / target).with_name("record.json").read_text())


def test_a_stage_that_needs_more_than_two_time_limits_queues_again_until_it_is_done(cluster, flows):
    flow, local = flows(training(400), gpu_minutes=30, notice_seconds=45)  # Slurm keeps the moment to half a minute
    snakemake = flow.start(ENCODER, options=ONCE)
    process = 0
    for restarts in (1, 2):
        with held(
            flow, besides=process
        ) as process:  # however long it took to start: its limit is set now, and it does not get done in time
            cluster.limit(job_of(flow), to_come=70)
            wait_for(partial(is_told, process), 150, "Slurm's notice")
        wait_for(lambda number=str(restarts): cluster.job(job_of(flow))["Restarts"] == number, 60, "its return to the queue")
        cluster.limit(job_of(flow), to_come=1800)
    assert snakemake.wait(timeout=600) == 0, flow.said.read_text()
    assert cluster.job(job_of(flow))["Restarts"] == "2"  # one job, and none of its runs a retry of Snakemake's
    assert len(record(flow)["notes"]["earlier_runs"]) == 2
    assert local.run(ENCODER)[0] == 0 and made(flow) == made(local) and not flow.leftovers()


def test_cancelled_killed_preempted_and_lost_with_its_node_a_training_goes_on(cluster, flows):
    names = ["mamp", "mamp-seed1", "mamp-seed2"]
    targets = [f"results/demo_xsub/{name}/encoder.safetensors" for name in names]
    flow, local = flows({**training(1000), "seeds": [0, 1, 2]})
    undisturbed, snakemake = local.start(*targets), flow.start(*targets)
    wait_for(lambda: len(checkpoints(flow)) == 3, 300, "three trainings")
    with held(flow, "demo_xsub_mamp"), held(flow, "demo_xsub_mamp-seed1"), held(flow, "demo_xsub_mamp-seed2"):
        survivor, cancelled, killed = (job_of(flow, f"demo_xsub_{name}") for name in names)
    cluster.ask("scancel", cancelled)
    for process in processes(flow, killed):
        os.kill(process, signal.SIGKILL)
    cluster.ask("sbatch", "--partition=urgent", "--cpus-per-task=8", "--output=/dev/null", "--wrap", "sleep 1")  # needs the whole node
    wait_for(lambda: cluster.job(survivor)["Restarts"] == "1" and cluster.job(survivor)["JobState"] == "RUNNING", 120, "preemption")
    cluster.ask("scontrol", "update", "nodename=localhost", "state=down", "reason=test")
    wait_for(lambda: cluster.job(survivor)["Restarts"] == "2", 60, "the node's failure")
    cluster.ask("scontrol", "update", "nodename=localhost", "state=resume")
    assert snakemake.wait(timeout=600) == 0, flow.said.read_text()
    assert undisturbed.wait(timeout=600) == 0
    for target in targets:
        assert made(flow, target) == made(local, target)
        assert record(flow, target)["notes"]["earlier_runs"]  # none began anew
    assert not flow.leftovers() and flow.said.read_text().count("Trying to restart job") >= 2


def test_after_snakemake_was_killed_its_jobs_end_and_nothing_is_made_twice(cluster, flows):
    flow, local = flows(training(1000))
    snakemake = flow.start(ENCODER)
    with held(flow):
        job = job_of(flow)
        snakemake.kill()
        snakemake.wait()
        assert "Snakemake (process " in flow.status() and "was killed: start it again" in flow.status()
        code, said = flow.run(ENCODER)
        assert code == 1 and "--unlock" in said
        assert flow.run(options=("--unlock",))[0] == 0
        code, said = flow.run(ENCODER)
        lines = [line for line in said.splitlines() if "still in Slurm's queue" in line]
        assert code == 1 and len(lines) == 1 and "let them end, what they make is kept; or cancel them, scancel --name stars_" in lines[0]
    wait_for(lambda: not cluster.jobs(), 300, "the training's end")
    shown = re.escape(f"Stage 1, masked motion prediction: demo xsub mamp: Slurm job {job}, for ") + r"[\d:]+\n"
    shown += r"  pretrain: step 2000/2000  epoch 1000\.0  loss [\d.]+  \d+ clips/s  00:00 left  \(\d\d:\d\d ago\)\n"
    assert re.search(shown, flow.status())
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
    assert not [path for path in (*made(flow), *flow.leftovers()) if not path.endswith((".lock", ".work"))]  # what a next run takes up
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
        flow, local = flows({**training(50), "checkpoint": {"seconds": 0.5, "folder": str(scratch / "work")}})
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
