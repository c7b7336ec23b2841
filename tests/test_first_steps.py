"""What a newcomer meets first: `stars --help` in groups, and `stars` alone, which says what to do next in a folder."""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from tiny import CONFIG, project

from stars import cli
from stars.audit.stale import stale
from stars.cli import groups
from stars.jobs.status import LOCKS, in_progress
from stars.pipeline import configuration
from stars.pipeline.stages import STAGES
from stars.program import program
from stars.provenance.changes import in_words


def test_help_lists_every_command_once_in_groups_the_everyday_ones_first(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert left.value.code == 0 and max(map(len, lines)) <= 80
    named = [
        line.split()[0] for line in lines if line.startswith("  ") and line[2] != " " and not line.startswith("  stars")
    ]
    assert sorted(named) == sorted(cli._parser()[0].helps()) and set(STAGES) < set(named)
    assert named[:5] == list(groups.GROUPS["Everyday"])
    assert [line for line in lines if line.endswith(":") and not line.startswith(" ")] == [
        f"{title}:" for title in groups.GROUPS
    ]


@pytest.fixture
def alone(capsys, monkeypatch):
    """What `stars` prints in a folder; it must succeed there."""

    def run(folder) -> str:
        monkeypatch.chdir(folder)
        assert cli.main([]) == 0
        shown = capsys.readouterr()
        assert shown.err == "" and shown.out.endswith("All commands: stars --help\n")
        return shown.out

    return run


def test_alone_in_a_folder_that_is_no_project(alone, tmp_path):
    said = alone(tmp_path)
    assert "not a stars project" in said and "stars init FOLDER" in said and "stars predict" in said


def test_alone_in_a_project_without_results(alone, tmp_path):
    folder = project(tmp_path / "new")
    assert "No results yet" in alone(folder) and "snakemake --cores 2" in alone(folder)
    (folder / "results/logs").mkdir(parents=True)
    events = [
        {"time": 1, "event": "run", "pid": 1, "host": "elsewhere"},
        {"time": 1, "event": "plan", "jobs": {"knn": 2}},
        {
            "time": 1,
            "event": "start",
            "job": 1,
            "rule": "knn",
            "what": "KNN",
            "wildcards": "",
            "local": True,
            "logs": [],
        },
        {"time": 2, "event": "error", "job": 1, "reason": "", "slurm": None, "logs": []},
        {"time": 2, "event": "end"},
    ]
    (folder / "results/logs/jobs.jsonl").write_text("\n".join(map(json.dumps, events)))
    assert "Last run: 0 of 2 jobs done, 0 under way, 1 failed" in alone(folder)
    (folder / "results/logs/jobs.jsonl").write_text("[]\n{no")
    assert "No results yet" in alone(folder)


def test_alone_beside_results(alone, own):
    shutil.copyfile(own / CONFIG, own / "config/config.yaml")
    said = alone(own)
    assert (
        "tables   table1, table2   in results/tables/" in said
        and "page     results/report/index.html" in said
        and "stars results" in said
    )
    assert "Up to date with config/config.yaml. Next:" in said
    steps = said.split("Next:\n")[1].splitlines()[:-1]
    assert len(steps) == 3 and "stars changes --set" in steps[1]
    trace = shlex.split(steps[0].split(" stars ")[1])
    assert trace[1].startswith("results/tables/table") and cli.main(trace) == 0
    encoder = steps[2].split("--encoder ")[1].split()[0]
    assert encoder.endswith("/encoder.safetensors") and (own / encoder).is_file()


def journal(folder: Path, pid: int, host: str) -> None:
    """The journal of a run that has done one of two jobs and did not end."""
    job = {"event": "start", "rule": "knn", "wildcards": "", "local": True, "logs": []}
    events = [
        {"event": "run", "pid": pid, "host": host},
        {"event": "plan", "jobs": {"knn": 2}},
        {**job, "job": 1, "what": "KNN: one"},
        {**job, "job": 2, "what": "KNN: two"},
        {"event": "finish", "job": 1},
    ]
    text = "".join(json.dumps({"time": 1, **event}) + "\n" for event in events)
    (folder / "results/logs/jobs.jsonl").write_text(text)


def test_a_run_in_progress_comes_before_anything_else(alone, own, capsys):
    shutil.copyfile(own / CONFIG, own / "config/config.yaml")
    journal(own, os.getpid(), platform.node())
    assert in_progress(own) is None  # a process of that number, but no lock: the machine was started again
    (own / LOCKS).mkdir(parents=True, exist_ok=True)
    (own / LOCKS / "0.input.lock").touch()
    first, job, *rest = alone(own).splitlines()
    assert first.startswith("A run is in progress: 1 of 2 jobs done, 1 under way") and "KNN: two: running" in job
    assert not [line for line in rest if "Up to date" in line or "Out of date" in line]
    encoder = "results/demo_xsub/stars/encoder.safetensors"
    (own / encoder).unlink()
    for words in (
        ["audit", "--config", CONFIG],
        ["explain", "results/tables/table2.csv"],
        ["results"],
        ["pack", "--out", "a.zip"],
        ["predict", "config", "--encoder", encoder, "--library", "config"],
    ):
        with suppress(SystemExit):
            cli.main(words)
        said = capsys.readouterr().err.splitlines()
        assert said[0] == (
            "stars: a run is in progress in this folder: results may change or be incomplete until it ends (stars"
            " status)"
        )


def test_a_run_that_was_killed_is_not_in_progress(alone, own, capsys):
    ended = subprocess.Popen(["true"])
    ended.wait()
    journal(own, ended.pid, platform.node())
    assert alone(own).startswith("Last run: 1 of 2 jobs done") and "was killed" in alone(own)
    assert cli.main(["results"]) == 0 and capsys.readouterr().err == ""
    # on another machine, only the folder's lock shows it
    journal(own, os.getpid(), "elsewhere")
    assert alone(own).startswith("Last run: ")
    (own / ".snakemake/locks").mkdir(exist_ok=True)
    (own / ".snakemake/locks/0.input.lock").touch()
    assert alone(own).startswith("A run is in progress: ")


def test_commands_are_printed_as_they_can_be_typed(monkeypatch, tmp_path):
    assert program("stars") == "stars"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("PATH", "/nowhere")
    assert program("stars") == str(Path(sys.executable).with_name("stars"))
    (tmp_path / ".venv/bin").mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    assert program("stars") == f"{sys.executable} -m stars"
    (tmp_path / ".venv/bin/stars").touch()
    assert program("stars", tmp_path) == ".venv/bin/stars"
    monkeypatch.chdir(tmp_path)
    assert program("stars") == ".venv/bin/stars" and program("stars", ".venv/bin") == "./stars"


def test_a_long_setting_that_changed_is_named_in_words():
    before, after = ({"departures": [text], "joints": text} for text in ("a" * 80, "b" * 80))
    assert in_words(before, after) == [
        "its list of departures from the paper changed",
        "joints changed (too long to show)",
    ]


def test_alone_names_what_is_out_of_date(alone, own):
    shutil.copyfile(own / CONFIG, own / "config/config.yaml")
    config = own / "config/config.yaml"
    changed = configuration.read_yaml(str(config))
    config.write_text(json.dumps({**changed, "knn": {**changed.get("knn", {}), "k": [10, 2]}}))
    (own / "results/demo_xsub/scratch/encoder.safetensors").unlink()
    said = alone(own)
    assert "demo_xsub/mamp/knn: knn.k" in said and "results made from these" in said
    assert "demo_xsub/scratch: encoder.safetensors is missing" in said or "more" in said


@pytest.mark.parametrize("text", ["knn: {", "nonsense: 1", "data: [1]"])
def test_alone_with_a_configuration_that_is_wrong(alone, own, text):
    (own / "config/config.yaml").write_text(text)
    assert "Cannot determine what is out of date" in alone(own)


def test_stale_leaves_out_what_another_configuration_made(finished, monkeypatch):
    monkeypatch.chdir(finished)
    config = configuration.load_file(CONFIG, [])
    assert list(stale(finished / "results", config).lines()) == []
    given = configuration.read_yaml(str(CONFIG))
    other = configuration.load(
        {**given, "data": {"renamed": given["data"]["demo"]}, "transfer": {"pairs": []}, "few_shot": {"pairs": []}}
    )
    assert not [place for place in stale(finished / "results", other).why if place.startswith("demo")]
