"""What goes wrong on a cluster, done to a real Slurm: the result is that of an undisturbed run, or one line says
what to do.
"""

import json
import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from cluster import PATIENCE, processes, wait_for

ENCODER = "results/demo_xsub/mamp/encoder.safetensors"
ONCE = ("--retries", "0")
EPOCHS, STEPS = 500, 1000
TRAINING = {"pretrain": {"optimiser": {"epochs": EPOCHS}}, "checkpoint": {"seconds": 0.1}}


def job_of(flow, wildcards: str = "demo_xsub_mamp") -> str:
    """Number of the newest Slurm job of a training, empty where none has begun."""
    logs = flow.folder / "results/logs/slurm/rule_pretrain" / wildcards
    return max((path.stem for path in logs.glob("*.log")), key=int, default="")


def processes_of(flow, job: str) -> dict[int, list[str]]:
    """Processes of a Slurm job, each with its arguments; another cluster beside this one has jobs of the same
    number.
    """
    found = {}
    for folder in processes(f"SLURM_JOB_ID={job}"):
        with suppress(OSError):  # it ended
            if (folder / "cwd").samefile(flow.folder):
                found[int(folder.name)] = (folder / "cmdline").read_text().split("\0")
    return found


def saved_at(process: int) -> float:
    """When a training last saved, 0 before that: its folder is named by the lock that it holds."""
    try:
        links = [file.readlink() for file in Path(f"/proc/{process}/fd").iterdir()]
        lock = next(link for link in links if link.parent.name == ".work")
        return (lock.with_name(lock.stem.removeprefix(".")) / "last.ckpt").stat().st_mtime
    except (FileNotFoundError, StopIteration):
        return 0.0


def stop(flow, wildcards: str = "demo_xsub_mamp", besides: int = 0) -> int:
    """Stop a training's process once it has saved a checkpoint, so that it lasts, whatever the speed of the machine.
    Its number.

    `besides`: an earlier process, which may not have gone yet.
    """

    seen: dict[int, float] = {}  # since when; for a moment there is a child too, of the same arguments

    def saving() -> int | None:
        found = processes_of(flow, job) if (job := job_of(flow, wildcards)) else {}
        trains = [process for process, arguments in found.items() if "--work" in arguments and process != besides]
        return next((process for process in trains if saved_at(process) > seen.setdefault(process, time.time())), None)

    process = wait_for(saving, f"a checkpoint of {wildcards}")
    os.kill(process, signal.SIGSTOP)
    wait_for(lambda: re.search(r"(?m)^State:\s*T", Path(f"/proc/{process}/status").read_text()), f"{wildcards} to stop")
    return process


def stop_all(flow, besides: dict[str, int]) -> dict[str, int]:
    """Stop the processes of several trainings, by wildcards; `besides` names the earlier process of each, 0 where
    there was none.
    """
    with ThreadPoolExecutor() as pool:
        return dict(zip(besides, pool.map(partial(stop, flow), besides, besides.values()), strict=True))


def go_on(process: int) -> None:
    """Let a stopped process run on, unless it was ended."""
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
    # Slurm keeps the moment of its notice to half a minute: it comes in the second minute of a job, which so has one to
    # begin its training.
    flow, local = flows(TRAINING, gpu_minutes=2, notice_seconds=30)
    snakemake = flow.start(ENCODER, options=ONCE)
    process = 0
    for restarts in (1, 2):
        process = stop(flow, besides=process)  # however fast the machine, it does not get done in time
        wait_for(partial(is_told, process), "Slurm's notice")
        go_on(process)
        wait_for(
            lambda number=restarts: int(cluster.job(job_of(flow))["Restarts"]) >= number, "its return to the queue"
        )
    assert snakemake.wait(timeout=PATIENCE) == 0, flow.said.read_text()
    restarts = int(cluster.job(job_of(flow))["Restarts"])  # one job, and none of its runs a retry of Snakemake's
    assert restarts >= 2 and len(record(flow)["notes"]["earlier_runs"]) == restarts
    assert local.run(ENCODER)[0] == 0 and made(flow) == made(local) and not flow.leftovers()


def test_cancelled_killed_preempted_and_lost_with_its_node_a_training_goes_on(cluster, flows):
    names = ["mamp", "mamp-seed1", "mamp-seed2"]
    targets = [f"results/demo_xsub/{name}/encoder.safetensors" for name in names]
    trainings = [f"demo_xsub_{name}" for name in names]
    flow, local = flows({**TRAINING, "seeds": [0, 1, 2]})
    snakemake = flow.start(*targets)
    stopped = stop_all(flow, dict.fromkeys(trainings, 0))
    _, cancelled, killed = (job_of(flow, training) for training in trainings)
    cluster.ask("scancel", cancelled)
    for other in processes_of(flow, killed):
        with suppress(ProcessLookupError):  # it ended with its parent
            os.kill(other, signal.SIGKILL)
    # None may be done when the next fault comes: Slurm would start it again from nothing, its checkpoint gone with its
    # end.
    stopped |= stop_all(flow, {training: stopped[training] for training in trainings[1:]})
    jobs = [job_of(flow, training) for training in trainings]
    # needs the whole node
    cluster.ask("sbatch", "--partition=urgent", "--cpus-per-task=8", "--output=/dev/null", "--wrap", "true")
    wait_for(lambda: all(int(cluster.job(job)["Restarts"]) >= 1 for job in jobs), "preemption")
    stop_all(flow, stopped)
    cluster.ask("scontrol", "update", "nodename=localhost", "state=down", "reason=test")
    wait_for(lambda: all(int(cluster.job(job)["Restarts"]) >= 2 for job in jobs), "the node's failure")
    cluster.ask("scontrol", "update", "nodename=localhost", "state=resume")
    assert snakemake.wait(timeout=PATIENCE) == 0, flow.said.read_text()
    assert local.run(*targets)[0] == 0
    for target in targets:
        assert made(flow, target) == made(local, target)
        assert record(flow, target)["notes"]["earlier_runs"]  # none began anew
    assert not flow.leftovers() and flow.said.read_text().count("retrying: ") >= 2


def test_after_snakemake_was_killed_its_jobs_end_and_nothing_is_made_twice(cluster, flows):
    flow, local = flows(TRAINING)
    snakemake = flow.start(ENCODER)
    process, job = stop(flow), job_of(flow)
    snakemake.kill()
    snakemake.wait()
    assert "Snakemake (process " in flow.status() and "was killed: run the same command again" in flow.status()
    code, said = flow.run(ENCODER)
    assert code == 1 and "--unlock" in said
    assert flow.run(options=("--unlock",))[0] == 0
    code, said = flow.run(ENCODER)
    lines = [line for line in said.splitlines() if "still in Slurm's queue" in line]
    assert (
        code == 1
        and len(lines) == 1
        and "wait for them, their results are kept; or cancel them with scancel --name stars_" in lines[0]
    )
    go_on(process)
    wait_for(lambda: not cluster.jobs(), "the training's end")
    shown = re.escape(f"Stage 1, masked motion prediction: demo xsub mamp: Slurm job {job}, for ") + r"[\d:]+\n"
    shown += (
        rf"  pretrain: step {STEPS}/{STEPS}  epoch {EPOCHS}\.0  loss [\d.]+  \d+ clips/s  00:00 left  \(\d\d:\d\d"
        r" ago\)\n"
    )
    assert re.search(shown, flow.status())
    made_at = (flow.folder / ENCODER).stat().st_mtime_ns
    code, said = flow.run(ENCODER)
    assert code == 0 and "Nothing to be done" in said and (flow.folder / ENCODER).stat().st_mtime_ns == made_at
    assert local.run(ENCODER)[0] == 0 and made(flow) == made(local) and not flow.leftovers()


@pytest.mark.parametrize(
    ("changed", "site", "options", "hint"),
    [
        (
            {},
            {"gpu_partition": "nowhere"},
            (),
            "no such partition: `sinfo -s` lists them; set cpu_partition and gpu_partition",
        ),
        (
            {"compute": {"device": "cuda", "gpus": 2}},
            {},
            (),
            "no usable GPU driver on that node: load its module (modules in ",
        ),
        (
            {},
            {},
            ("--set-resources", "pretrain:mem_mb=400"),
            "out of memory: raise mem_mb of this rule under set-resources in ",
        ),
    ],
    ids=["a wrong partition", "two GPUs without a driver", "too little memory"],
)
def test_what_a_user_can_mend_is_one_line_that_says_how_and_leaves_nothing_behind(
    cluster, flows, changed, site, options, hint
):
    flow, _ = flows({**TRAINING, **changed}, **site)
    code, said = flow.run(ENCODER, options=(*ONCE, *options))
    hints = [line for line in said.splitlines() if "hint:" in line]
    assert code == 1, said
    assert len(hints) == 1 and hint in hints[0], said
    left = [
        path for path in (*made(flow), *flow.leftovers()) if not path.startswith(".work") and not path.endswith(".lock")
    ]
    assert not left  # but what a next run takes up
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
        flow, local = flows({**TRAINING, "checkpoint": {"seconds": 0.1, "folder": str(scratch / "work")}})
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
