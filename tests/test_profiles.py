"""Profiles: what each rule asks of Slurm at different sites, read off the sbatch line; nothing is submitted."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yte
from tiny import CONFIG, ROOT, project, set_site, snakemake

RULES = ROOT / "workflow/rules"
PROFILES = ROOT / "workflow/profiles"
STUBS = {
    "sbatch": 'echo "$*" >> "$LINES"; echo "sbatch: error: invalid partition specified: cpu" >&2; exit 1',
    "sacctmgr": "echo p1234",
    "sinfo": "echo cpu*",
    "squeue": "exit 0",
    "scontrol": "exit 0",
    "sacct": "exit 0",
}
COMMAND = (sys.executable, "-m", "snakemake", "--profile", "slurm", "--slurm-init-seconds-before-status-checks", "1")
JOBS = (
    "--forcerun",
    "evaluate_linear",
    "evaluate_knn",
    "table",
    "--config",
    'compute={"device": "cuda"}',
    "--configfile",
    CONFIG,
    "--",
    "table1",
    "table2",
)


@pytest.fixture
def submit(own, tmp_path, monkeypatch):
    """Run GPU jobs (linear) and light jobs (knn) by the Slurm profile of a site, with stand-ins for Slurm; (sbatch
    lines, what was shown).
    """
    for name, script in STUBS.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("LINES", str(tmp_path / "lines"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(*arguments: str, jobs: tuple[str, ...] = JOBS, **site: object) -> tuple[list[str], str]:
        set_site(own, **site)
        done = subprocess.run(
            [*COMMAND, *arguments, *jobs], cwd=own, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 1, done.stderr
        return (tmp_path / "lines").read_text().splitlines(), done.stderr

    return run


def of(rule: str, lines: list[str]) -> list[str]:
    return [line for line in lines if f"--comment rule_{rule}_" in line]


def asked(option: str, line: str) -> int:
    return int(re.search(rf" {option} (\d+)", line)[1])


def test_gpu_stages_go_to_the_gpu_partition_light_ones_to_cpu_nodes_and_small_ones_nowhere(submit):
    lines, shown = submit()
    linear, knn = of("evaluate_linear", lines), of("evaluate_knn", lines)
    assert lines and len(linear) + len(knn) == len(lines)  # a table is made where snakemake runs
    for line in linear:
        assert all(
            f" {option} " in line
            for option in ("--requeue", "-p gpu", "--gpus=1", "-t 720", "--cpus-per-task=1", "--signal=USR1@120")
        )
    for line in knn:
        assert " -p cpu " in line and "--gpus" not in line and "--signal" not in line
    assert not any(re.search(r" (-A|-C|--gres\S*) ", line) for line in lines)
    attempts = [line for line in knn if "demo_xsub_mamp" in line]
    # retries are the profile's, and each asks for more
    assert [asked("--mem", line) for line in attempts] == [4000, 8000, 12000]
    assert [asked("-t", line) for line in attempts] == [30, 60, 90]
    assert len({re.search(r"--job-name (stars_\S+)", line)[1] for line in lines}) == 1
    assert (
        shown.count("failed: Linear probe: demo xsub mamp") == 1
        and shown.count("hint: no such partition: `sinfo -s`") == 6
    )


def test_a_site_without_the_option_gpus_asks_by_gres_and_loads_modules(submit):
    lines, _ = submit(
        "--retries",
        "0",
        gres="gpu:a100:2",
        modules="module load cuda/13.0",
        constraint="a100|h100",
        gpu_partition="fast",
    )
    for line in of("evaluate_linear", lines):
        assert (
            " --gres=gpu:a100:2 " in line and "--gpus" not in line and " -p fast " in line and " -C a100|h100 " in line
        )
    for line in of("evaluate_knn", lines):
        assert "--gres" not in line and " -C " not in line
    assert all(re.search(r"--wrap=.*module load cuda/13.0 && \S*python\S* -m snakemake ", line) for line in lines)


def test_a_site_with_accounts_names_it_in_every_job(submit):
    lines, _ = submit("--retries", "0", account="p1234")
    assert of("evaluate_linear", lines) and of("evaluate_knn", lines) and all(" -A p1234 " in line for line in lines)


@pytest.mark.parametrize(
    ("compute", "options", "others"),
    [
        ({"device": "cuda", "gpus": 8, "nodes": 2}, ("--nodes=2", "--gres=gpu:4"), ("--gpus", "--ntasks")),
        ({"device": "cuda", "gpus": 4}, ("--nodes=1", "--gpus=4"), ("--gres", "--ntasks")),
        ({"device": "cpu", "gpus": 2, "nodes": 2}, ("--nodes=2", "--ntasks=2"), ("--gres", "--gpus")),
    ],
    ids=["GPUs of two nodes", "GPUs of one node", "processors of two nodes"],
)
def test_a_training_asks_for_its_nodes_and_for_what_it_needs_on_each(submit, compute, options, others):
    chosen = ("--forcerun", "pretrain", "--config", f"compute={json.dumps(compute)}", "--configfile", CONFIG)
    lines, _ = submit("--retries", "0", jobs=(*chosen, "--", "results/demo_xsub/mamp/encoder.safetensors"))
    assert len(lines) == 1 and "--comment rule_pretrain_" in lines[0]
    assert all(f" {option} " in lines[0] for option in options) and not any(f" {other}" in lines[0] for other in others)


LOOPS = {  # rules that a loop makes, by how their names begin
    "embed": ("embed", "embed_tuned", "embed_elsewhere", "embed_elsewhere_tuned"),
    "joints": ("joints", "joints_elsewhere"),
    "ensemble": ("ensemble", "ensemble_elsewhere"),
    "{protocol}_of_ensemble": ("linear_of_ensemble", "finetune_of_ensemble"),
}


def rules() -> dict[str, str]:
    """Text of every rule by its name, with that of the rule it is made from."""
    text = "\n".join(path.read_text() for path in sorted(RULES.glob("*.smk")))
    bodies = {"": ""}
    for name, body in re.findall(
        r'^    rule:\n        name:\n            f"([^\n]+)"\n(.*?)(?=^    \S|^\S|\Z)', text, re.MULTILINE | re.DOTALL
    ):
        bodies |= dict.fromkeys(LOOPS[name.split("{")[0] or name], body)
    for base, name, body in re.findall(
        r"^(?:rule|use rule (\w+) as) (\w+)(?: with)?:\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL
    ):
        bodies[name] = body + bodies[base]
    return bodies


def local_rules() -> set[str]:
    """Rules whose jobs run where Snakemake runs."""
    listed = re.search(r"^localrules:.*?\n((?:    \w+,\n)+)", (RULES / "jobs.smk").read_text(), re.MULTILINE)
    return set(re.findall(r"\w+", listed[1]))


def test_every_rule_that_uses_a_gpu_or_goes_on_after_a_restart_is_named_in_the_profile():
    named = yte.process_yaml((PROFILES / "slurm/config.yaml").read_text(), require_use_yte=True)["set-resources"]
    assert {rule for rule, body in rules().items() if "  gpu=" in body} == set(named)
    assert {rule for rule, body in rules().items() if "checkpoint_seconds=" in body} == {
        rule for rule in named if "slurm_extra" in named[rule]
    }


def test_every_rule_s_memory_grows_and_its_time_too_unless_it_goes_on_where_it_stopped():
    asking = [body for body in rules().values() if "    resources:" in body]
    assert len(asking) > 15 and all("mem_mb=grows(" in body for body in asking)
    assert all(("runtime=grows(" in body) != ("checkpoint_seconds=" in body) for body in asking)


def test_what_takes_seconds_runs_where_snakemake_runs_and_nothing_else_does():
    assert local_rules() == {rule for rule, body in rules().items() if "runtime=grows(10)" in body}


def test_the_manual_counts_the_paper_s_jobs_and_those_that_wait_in_a_queue(tmp_path):
    folder = project(tmp_path / "paper")
    for path in re.findall(r"(?:raw|missing_list): (\S+)", (folder / "config/paper.yaml").read_text()):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).touch()
    done = snakemake(folder, "--dry-run", config=("config/paper.yaml",))
    planned = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE)}
    total, here = planned.pop("total") - planned.pop("targets"), set(local_rules())
    queued = sum(count for rule, count in planned.items() if rule not in here)
    assert f"Of the {total} jobs of `config/paper.yaml` {queued} are queued" in (ROOT / "docs/cluster.md").read_text()


def test_what_a_profile_says_is_not_said_elsewhere():
    assert not [path for path in RULES.glob("*.smk") if "retries" in path.read_text()]
    default, slurm = (
        yte.process_yaml((PROFILES / name / "config.yaml").read_text(), require_use_yte=True)
        for name in ("default", "slurm")
    )
    # the default profile's keys win over another profile's
    assert all(slurm[key] == value for key, value in default.items())


def test_profiles_resolve_in_a_fresh_copy(own):
    assert Path(ROOT / "slurm").readlink() == Path("workflow/profiles/slurm")
    done = snakemake(own, "--profile", "profiles/local", "--forcerun", "table", "--verbose")
    assert done.returncode == 0 and re.search(r"Provided resources: gpu=.*4", done.stderr)
