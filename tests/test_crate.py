"""A packed folder's ro-crate-metadata.json: what the profiles of Workflow Run RO-Crate require, by hand and by a
validator where one is installed.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from pathlib import Path

import pytest

from stars import cli
from stars.audit.unpack import unpack
from stars.provenance.files import write_text
from stars.provenance.record import recording


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    """Two stages' results: clips, which stay out of an archive, made of raw files from outside, and a split of them."""
    monkeypatch.chdir(tmp_path)
    Path("raw.zip").write_bytes(b"raw")
    clips, splits = Path("results/demo/clips"), Path("results/demo/splits")
    for folder in (clips, splits):
        folder.mkdir(parents=True)
    with recording(clips, "stars.ingest", {"name": "demo"}, {"raw": Path("raw.zip")}, ["frames.npy", "clips.csv"]):
        for name in ("frames.npy", "clips.csv"):
            write_text(clips / name, name)
    with recording(
        splits,
        "stars.data.splits",
        {"name": "xsub"},
        {"clips": clips / "clips.csv"},
        ["xsub_train.npy"],
        "xsub.record.json",
    ):
        write_text(splits / "xsub_train.npy", "rows")
    return Path("results")


def test_a_crate_without_its_package_says_what_to_install(results, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rocrate", None)
    assert cli.main(["pack", "--out", "run.zip", "--crate"]) == 2
    assert "pack --crate needs the package rocrate" in capsys.readouterr().err and not Path("run.zip").exists()


def unpacked(results: Path) -> dict[str, dict]:
    """The entities of the crate by their ids; the archive is unpacked into crate/."""
    pytest.importorskip("rocrate", reason="the extra `crate` is not installed: pip install -e '.[crate]'")
    for name in ("run.zip", "again.zip"):
        assert cli.main(["pack", "--out", name, "--crate", "--agent", "Ada"]) == 0
    assert Path("run.zip").read_bytes() == Path("again.zip").read_bytes()
    with zipfile.ZipFile("run.zip") as archive:
        archive.extractall("crate")
    aside = Path("aside")
    aside.mkdir()
    assert unpack(Path("run.zip"), aside) == aside / "results"  # as `stars verify` does it
    graph = json.loads(Path("crate/ro-crate-metadata.json").read_text())["@graph"]
    found = {entity["@id"]: entity for entity in graph}
    assert len(found) == len(graph)
    return found


def refers(value: object) -> list[str]:
    """The ids that a property refers to."""
    several = value if isinstance(value, list) else [value]
    return [one["@id"] for one in several if isinstance(one, dict)]


def test_the_profiles_required_properties_are_there(results):
    found = unpacked(results)
    root = found["./"]
    assert {"name", "description", "datePublished", "license"} <= root.keys()
    assert {"https://w3id.org/ro/wfrun/process/0.5", "https://w3id.org/ro/wfrun/workflow/0.5"} <= set(
        refers(root["conformsTo"])
    )
    assert "https://w3id.org/workflowhub/workflow-ro-crate/1.0" in refers(found["ro-crate-metadata.json"]["conformsTo"])
    (workflow,) = refers(root["mainEntity"])
    assert set(found[workflow]["@type"]) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    assert found[refers(found[workflow]["programmingLanguage"])[0]]["@type"] == "ComputerLanguage"
    actions = [entity for entity in found.values() if entity["@type"] == "CreateAction"]
    assert {action["@id"] for action in actions} == set(refers(root["mentions"])) and len(actions) == 3
    for action in actions:
        (instrument,) = refers(action["instrument"])
        assert instrument == workflow or found[instrument]["@type"] == "SoftwareApplication"
        assert (
            refers(action["agent"]) == ["#agent"]
            and action["startTime"] <= action["endTime"]
            and refers(action["result"])
        )
    assert [found[refers(action["instrument"])[0]] for action in actions].count(found[workflow]) == 1
    for entity in found.values():  # nothing is referred to that the crate does not describe, but terms and addresses
        for value in entity.values():
            assert [name for name in refers(value) if name not in found and not name.startswith("http")] == []


def test_every_file_stands_in_the_crate_with_its_digest_and_what_is_left_out_with_its_name(results):
    found = unpacked(results)
    files = {name: entity for name, entity in found.items() if "File" in entity["@type"] and name != "Snakefile"}
    assert set(files) == {
        "results/demo/clips/clips.csv",
        "results/demo/clips/record.json",
        "results/demo/splits/xsub.record.json",
        "results/demo/splits/xsub_train.npy",
    }
    for name, entity in files.items():
        assert hashlib.sha256(Path("crate", name).read_bytes()).hexdigest() == entity["sha256"]
        assert int(entity["contentSize"]) == Path("crate", name).stat().st_size
    left = {entity["name"]: entity["sha256"] for name, entity in found.items() if name.startswith("#left-out/")}
    assert (
        left.keys() == {"raw.zip", "results/demo/clips/frames.npy"}
        and left["raw.zip"] == hashlib.sha256(b"raw").hexdigest()
    )
    assert cli.main(["audit", "crate/results", "--packed"]) == 0


def test_a_validator_has_nothing_to_say(results):
    services = pytest.importorskip("rocrate_validator.services", reason="pip install roc-validator")
    models = pytest.importorskip("rocrate_validator.models")
    unpacked(results)
    for profile in ("ro-crate", "process-run-crate", "workflow-run-crate"):
        told = services.validate(
            services.ValidationSettings(
                rocrate_uri="crate",
                profile_identifier=profile,
                requirement_severity=models.Severity.REQUIRED,
                abort_on_first=False,
            )
        )
        assert [issue.message for issue in told.get_issues()] == [], profile
