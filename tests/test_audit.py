"""Tracing results: a changed byte anywhere is found, nothing is found in an untouched folder, and a cell leads back to the raw files."""

import json
import random
import shutil
import zipfile
from pathlib import Path

import pytest

from stars import cli
from stars.audit import audit
from stars.explain import explain
from stars.provenance import code
from stars.provenance.lineage import result_files


@pytest.fixture
def results(own, monkeypatch) -> Path:
    """Results of a whole workflow, in the working directory."""
    monkeypatch.chdir(own)
    return Path("results")


def test_an_untouched_folder_is_clean_wherever_it_lies(results, capsys):
    assert cli.main(["audit"]) == 0 and capsys.readouterr().out == ""
    assert cli.main(["audit", "nowhere"]) == 2


def test_every_single_byte_change_is_found(results):
    files, draw = list(result_files(results)), random.Random(0)
    assert len(files) > 60
    for _ in range(3):  # one byte of every file, then all of them back
        before = {path: path.read_bytes() for path in files if path.stat().st_size}
        for path, data in before.items():
            at = draw.randrange(len(data))
            path.write_bytes(data[:at] + bytes([data[at] ^ draw.randrange(1, 256)]) + data[at + 1 :])
        named = {line.split(": ")[0] for line in audit(results)}
        # What a damaged record spoke of is left without one: then the file itself is named.
        assert {str(path) for path in before} <= named
        for path, data in before.items():
            path.write_bytes(data)
    assert list(audit(results)) == []


def test_what_else_is_wrong_is_named(results, monkeypatch, capsys):
    (results / "demo_xsub/stars/knn/metrics.json").unlink()
    (results / "demo_xsub/own_notes.txt").write_text("mine")
    (results / "demo_xsub/mamp/record.json").write_text("{}")
    digest_of = code.digest_of
    monkeypatch.setattr(code, "digest_of", lambda module: "new" if module == "stars.data.splits" else digest_of(module))
    with pytest.raises(SystemExit) as left:
        cli.main(["audit"])
    assert left.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    for start in (
        "results/demo_xsub/stars/knn/metrics.json: gone",
        "results/demo_xsub/own_notes.txt: no record says what made it",
        "results/demo_xsub/mamp/record.json: the record was changed or is damaged",
        "results/demo_xsub/mamp/encoder.safetensors: no record says what made it",
        "results/demo/splits/xsub.record.json: made by an earlier version of stars.data.splits",
    ):
        assert sum(line.startswith(start) for line in lines) == 1, start


def test_a_result_of_an_input_that_was_made_anew_is_named(results):
    record = results / "demo/splits/xsub.record.json"
    told = json.loads(record.read_text())
    assert told["outputs"]["xsub_train.npy"]["sha256"] in json.dumps(
        json.loads((results / "demo_xsub/mamp/record.json").read_text())["inputs"]
    )
    with Path("config/published/table2.csv").open("a") as file:
        file.write("\n")
    assert [line.split(";")[0] for line in audit(results)] == [
        "results/tables/table2.record.json: made from another version of config/published/table2.csv"
    ]


def test_a_cell_leads_back_to_the_raw_files(results, capsys):
    table = results / "tables/table2.csv"
    lines = list(explain(results, table, "STARS, Demo xsub"))
    value = json.loads((results / "demo_xsub/stars/knn/metrics.json").read_text())["top1"]
    assert float(lines[0].rsplit(": ", 1)[1]) == pytest.approx(value, abs=1e-3)
    files = [line.split()[0] for line in lines[1:-1]]
    assert files[0] == "results/demo_xsub/stars/knn/metrics.json" and len(files) == len(set(files))
    for file in ("stars/encoder.safetensors", "mamp/encoder.safetensors"):
        assert f"results/demo_xsub/{file}" in files
    assert "results/demo/raw.zip" in files and not any("scratch" in file for file in files)
    assert lines[-1].startswith("make again: ") and " knn --features" in lines[-1]
    assert any("scratch/knn/metrics.json" in line for line in explain(results, table))
    for arguments in ([str(table), "--cell", "STARS,XView"], ["results/none.csv"], ["README.md", "--cell", "a,b"]):
        assert cli.main(["explain", *arguments]) == 2
    assert "it has SCRATCH,demo_xsub; MAMP,demo_xsub; STARS,demo_xsub" in capsys.readouterr().err


def test_a_packed_folder_is_checked_where_it_was_unpacked(results, tmp_path, monkeypatch, capsys):
    archive = tmp_path / "run.zip"
    assert cli.main(["pack", "--out", str(archive)]) == 0
    first = archive.read_bytes()
    assert cli.main(["pack", "--out", str(archive)]) == 0 and archive.read_bytes() == first
    elsewhere = tmp_path / "elsewhere"
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(elsewhere)
    shutil.rmtree(results)
    monkeypatch.chdir(elsewhere)
    assert not list(elsewhere.rglob("frames.npy")) and not list(elsewhere.rglob("raw.zip"))
    assert cli.main(["audit", "--packed"]) == 0
    assert any("results/demo/raw.zip" in line for line in explain(results, results / "tables/table1.csv"))
    with (results / "demo_xsub/stars/knn/metrics.json").open("a") as file:
        file.write(" ")
    (results / "figures/fig4.png").unlink()
    (results / "figures/other.png").touch()
    lines = list(audit(results, packed=True))
    for start in (
        "results/demo_xsub/stars/knn/metrics.json: its bytes differ from the manifest",
        "results/figures/fig4.png: gone",
        "results/figures/other.png: the manifest",
    ):
        assert any(line.startswith(start) for line in lines), start
    capsys.readouterr()
    manifest = results / "MANIFEST.json"
    manifest.write_text(manifest.read_text().replace("left_out", "left out"))
    assert cli.main(["audit", "--packed"]) == 2 and "MANIFEST.json was changed" in capsys.readouterr().err
