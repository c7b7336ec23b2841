"""What a newcomer meets first: `stars --help` in groups, and `stars` alone, which says what to do next in a folder."""

import json
import shutil

import pytest
from tiny import CONFIG, project

from stars import cli
from stars.audit.stale import stale
from stars.cli import groups
from stars.pipeline import configuration
from stars.pipeline.stages import STAGES


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
    assert "Up to date with config/config.yaml." in said


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
