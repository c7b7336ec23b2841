"""What is said of a job that failed: its logs, and what to do, by the words of Slurm 22.05 and of CUDA."""

import logging
import re

import pytest

from stars.jobs.failures import HINTS, OTHERWISE, SCHEDULER_LOGS, report
from stars.jobs.journal import SIGKILL, Job, Journal

SAID = {
    "sbatch: error: invalid partition specified: nowhere": "no such partition: `sinfo -s` lists them",
    "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified": (
        "no such account"
    ),
    "sbatch: error: Batch job submission failed: Invalid feature specification": "no such constraint or qos",
    "sbatch: error: Batch job submission failed: Requested node configuration is not available": (
        "no node has the requested resources"
    ),
    "sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)": (
        "allows less time"
    ),
    "/bin/sh: 1: sbatch: not found": "there is no Slurm here",
    "stars: no space left while writing results/x: free some and run again": "the disk is full",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB": "out of GPU memory",
    "slurmstepd-localhost: error: StepId=3.0 exceeded memory limit (464420864 > 419430400), being killed": (
        "out of memory: raise mem_mb"
    ),
    "slurmstepd: error: Detected 1 oom_kill event in StepId=3.0. Some of the step tasks have been OOM Killed.": (
        "out of memory: raise mem_mb"
    ),
    "SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'.": "out of memory: raise mem_mb",
    "stars: --device cuda: PyTorch finds no GPU: use --device auto": (
        "no usable GPU driver on that node: load its module"
    ),
    "stars: 2 processes need a GPU each, but torch sees 0: request fewer processes or more GPUs": (
        "no usable GPU driver on that node"
    ),
    "RuntimeError: Found no NVIDIA driver on your system.": "no usable GPU driver on that node: load its module",
    "slurmstepd-localhost: error: *** JOB 1 ON localhost CANCELLED AT 2026-11-24T03:23:12 DUE TO TIME LIMIT ***": (
        "time limit reached"
    ),
    "SLURM-job '7' failed, SLURM status is: 'TIMEOUT'.": "time limit reached: raise runtime",
    "SLURM-job '7' failed, SLURM status is: 'NODE_FAIL'.": "its node failed: run again",
    SIGKILL: "it was killed, probably because memory ran out",
    "SLURM-job '7' failed, SLURM status is: 'CANCELLED'.": "it was cancelled",
    "slurmstepd: error: *** STEP 1.0 ON localhost CANCELLED AT 2026-11-24T03:23:12 ***": "it was cancelled",
}


def failed(**details) -> Job:
    return Job(
        "knn", "KNN: demo xsub mamp", "demo_xsub_mamp", local=False, since=0, state="failed", slurm="7", **details
    )


@pytest.mark.parametrize(("said", "hint"), SAID.items())
def test_a_usual_cause_has_a_hint_whether_slurm_or_a_log_tells_it(tmp_path, said, hint):
    log = tmp_path / "knn.log"
    log.write_text(said)
    for job in (failed(logs=[str(log)]), failed(logs=[], reason=said)):
        lines = list(report([job]))
        assert lines[0] == "failed: KNN: demo xsub mamp (Slurm job 7)"
        assert [line for line in lines if line.startswith("  hint: ") and hint in line] == lines[-1:]


def test_every_hint_is_tried():
    for pattern, hint in HINTS.items():
        assert any(re.search(pattern, said, re.IGNORECASE) and part in hint for said, part in SAID.items()), pattern


def test_the_end_of_the_job_s_own_log_is_shown_and_of_slurm_s_only_its_errors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own, slurm = tmp_path / "knn.log", tmp_path / SCHEDULER_LOGS / "rule_knn/7.log"
    own.write_text("\n".join(f"line {number}" for number in range(100)))
    slurm.parent.mkdir(parents=True)
    slurm.write_text(
        "Building DAG of jobs...\nline 99\nsrun: error: localhost: task 0: Killed\nsrun: error: localhost: task 0:"
        " Killed\n"
    )
    lines = list(report([failed(logs=[str(own), str(slurm)])]))
    assert lines[1:] == [
        f"  {own}",
        *(f"    line {number}" for number in range(95, 100)),
        f"  {slurm}",
        "    srun: error: localhost: task 0: Killed",
        f"  hint: {OTHERWISE}",
    ]


def test_a_job_s_own_error_comes_before_what_it_said_besides(tmp_path):
    log = tmp_path / "knn.log"
    log.write_text(
        "before\nstars: clips.csv is damaged: make it again\n" + "\n".join(f"line {number}" for number in range(9))
    )
    lines = list(report([failed(logs=[str(log)])]))
    assert lines[2:] == [
        "    stars: clips.csv is damaged: make it again",
        *(f"    line {number}" for number in range(4, 9)),
        f"  hint: {OTHERWISE}",
    ]


def test_a_killed_job_is_told_from_one_that_failed(tmp_path):
    """Snakemake says how the command ended before it says which job that was."""
    journal = Journal(tmp_path / "jobs.jsonl")
    logger = logging.getLogger("test of killed jobs")
    logger.propagate = False
    logger.addHandler(journal)
    error = {"event": "job_error", "rule_msg": None, "aux": {}, "log": []}
    for job, ended in (
        (1, "died with <Signals.SIGKILL: 9>."),
        (2, "returned non-zero exit status 137."),
        (3, "returned non-zero exit status 2."),
    ):
        logger.error(f"RuleException:\nCalledProcessError …\nCommand 'stars tune' {ended}", extra={"event": "error"})
        logger.error("error", extra={**error, "jobid": job})
    assert [(entry["job"], entry["reason"]) for entry in journal.heard] == [(1, SIGKILL), (2, SIGKILL), (3, "")]
    (said,) = (
        line for line in report([Job("tune", "Stage 2", "demo", True, [], 0.0, "failed", SIGKILL)]) if "hint" in line
    )
    assert "memory ran out" in said
