"""Tracing results: a changed byte anywhere is found, nothing is found in an untouched folder, and a cell leads back
to the raw files.
"""

import errno
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import CONFIG, ROOT, snakemake

from stars import cli
from stars.audit.check import audit, current
from stars.audit.explain import explain
from stars.audit.pack import pack
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.pipeline.configuration import load_file
from stars.provenance import code
from stars.provenance.files import json_text, sha256
from stars.provenance.lineage import Lineage, result_files, seal


@pytest.fixture
def results(own, monkeypatch) -> Path:
    """Results of a whole workflow, in the working directory."""
    monkeypatch.chdir(own)
    return Path("results")


def test_an_untouched_folder_is_clean_wherever_it_lies(results, tmp_path, capsys):
    assert cli.main(["audit", "--config", CONFIG]) == 0
    said = capsys.readouterr()
    assert (
        said.out == "" and said.err == f"results: {len(list(result_files(results)))} files, all match their records\n"
    )
    (tmp_path / "empty").mkdir()
    assert cli.main(["audit", "nowhere"]) == cli.main(["audit", str(tmp_path / "empty")]) == 2


def test_what_lies_on_another_disk_or_directly_in_the_folder_is_looked_at_too(results, tmp_path):
    shutil.move(results / "demo_xsub", tmp_path / "disk")
    (results / "demo_xsub").symlink_to(tmp_path / "disk")
    (results / "demo_xsub/stars/around").symlink_to(results.absolute())
    (results / "MANIFEST.json").touch()
    (results / "README.md").touch()
    assert list(audit(results)) == []
    (results / "numbers.csv").write_text("mine")
    with (results / "demo_xsub/mamp/encoder.safetensors").open("ab") as file:
        file.write(b"0")
    assert [line.split("; ")[0] for line in audit(results)] == [
        "results/demo_xsub/mamp/encoder.safetensors: its bytes differ from its record",
        "results/numbers.csv: no record describes how it was made",
    ]


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


def test_nothing_is_made_from_damaged_weights_and_what_the_audit_says_mends_it(results):
    project, damaged = results.absolute().parent, results / "demo_xsub/mamp/encoder.safetensors"
    before = damaged.read_bytes()
    damaged.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises(InputError, match="its bytes differ from its record: make it again"):
        pack(results, project / "all.zip")
    refused = snakemake(project)
    assert (
        refused.returncode == 1 and f"{damaged}: its bytes differ from its record, so it is not used" in refused.stderr
    )
    (line,) = (line for line in audit(results) if line.startswith(f"{damaged}: "))
    assert f"(snakemake --cores 1 --force -- {damaged}; " in line
    assert (
        snakemake(project, "--force", config=(CONFIG, "--", damaged)).returncode == 0 and damaged.read_bytes() == before
    )
    assert snakemake(project).returncode == 0 and list(audit(results, configs=[load_file(CONFIG)])) == []


def test_what_else_is_wrong_is_named(results, monkeypatch, capsys):
    (results / "demo_xsub/stars/knn/metrics.json").unlink()
    (results / "demo_xsub/own_notes.txt").write_text("mine")
    (results / "demo_xsub/mamp/record.json").write_text("{}")
    digest_of = code.digest_of
    monkeypatch.setattr(code, "digest_of", lambda module: "new" if module == "stars.data.splits" else digest_of(module))
    with pytest.raises(SystemExit) as left:
        cli.main(["audit", "--config", CONFIG])
    assert left.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    for start in (
        "results/demo_xsub/stars/knn/metrics.json: gone",
        "results/demo_xsub/own_notes.txt: no record describes how it was made",
        "results/demo_xsub/mamp/record.json: the record was changed or is damaged",
        "results/demo_xsub/mamp/encoder.safetensors: no record describes how it was made",
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


def test_every_record_of_a_run_is_as_its_configuration_says(results):
    config = load_file(CONFIG)
    for record in Lineage.read(results).records:
        assert current.settings(config, record.path.relative_to(results)) == record.told["settings"], record.path


def test_what_a_record_from_before_a_key_leaves_unsaid_is_as_in_the_legacy_preset(results):
    path = results / "demo_xsub/stars/record.json"
    told = json.loads(path.read_text())
    tune = told["settings"]["tune"]
    for block, keys in (
        (tune, ("last_exponent", "shared_crop")),
        (tune["optimiser"], ("schedule", "decayed", "clip", "clip_norm", "steps", "step_factor")),
    ):
        for key in keys:
            del block[key]
    for key in ("heads_start", "norm_clips", "predictor_bias", "nearest"):
        del tune["nnclr"][key]
    tune["nnclr"]["exclude_self"] = False
    path.write_text(json_text({**told, "seal": seal(told)}))

    def found(preset: str) -> list[str]:
        return [
            line
            for line in audit(results, configs=[load_file(CONFIG, [f"preset={preset}"])])
            if line.startswith(str(path))
        ]

    (line,) = found("paper")
    assert (
        "other settings than today's (what it does not say is as in `preset: legacy`): tune.last_exponent 0 → 1" in line
    )
    assert found("legacy") == []


def test_old_records_of_knn_and_few_shot_are_completed_too():
    today = {"knn": {"k": [1], "outputs": ["encoder"], "ties": "similarity"}, "outputs": ["encoder"]}
    assert current.completed({"knn": {"k": [1], "outputs": ["encoder"]}, "outputs": ["encoder"]}, today) == today
    shots = {"shots": [1, 2], "draws": 5, "outputs": ["encoder"]}
    today = {"data": "demo", "novel": [3], "few_shot": {**shots, "readings": ["exemplars"], "ties": "similarity"}}
    assert current.completed({"data": "demo", "few_shot": shots}, today) == today
    assert current.completed({"knn": {"k": "many"}}, {}) is None and current.completed(today, today) is None


def test_results_of_other_settings_than_today_s_are_named(results, tmp_path, capsys):
    def found(*changes: str) -> set[str]:
        return {line.removeprefix("results/") for line in audit(results, configs=[load_file(CONFIG, changes)])}

    told = "record.json: made with other settings than today's:"
    before = "run the workflow again"
    assert found() == set()
    assert found("tune.optimiser.lr=0.002") == {f"demo_xsub/stars/{told} tune.optimiser.lr 0.001 → 0.002; {before}"} | {
        line for line in found("tune.optimiser.lr=0.002") if line.startswith(("tables/", "report/"))
    }
    assert {
        line.split("/record")[0] for line in found("knn.k=[1, 10]") if not line.startswith(("tables/", "report/"))
    } == {f"demo_xsub/{name}/knn" for name in ("scratch", "mamp", "stars")}
    assert found("fig4.classes=2") == {f"figures/fig4.{told} classes 3 → 2; {before}"}
    gone = found("seeds=[3]")
    assert (
        "demo_xsub/stars/record.json: made with other settings than today's: seed 0 → 3; run the workflow again" in gone
    )
    other = tmp_path / "other.yaml"
    other.write_text(
        Path(CONFIG)
        .read_text()
        .replace("from: mamp", "from: mamp\n    title: ours")
        .replace("  mamp:", "  mump:", 1)
        .replace("from: mamp", "from: mump")
    )
    lines = list(audit(results, configs=[load_file(other)]))
    assert any(
        line.startswith("results/demo_xsub/mamp/record.json: the configuration has no such job any more")
        for line in lines
    )
    assert cli.main(["audit", "--config", str(other), "--config", CONFIG]) == 0  # made by either
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("tune: {optimiser: {lr: 0.002}}")
    for changed in (["--config", f"{CONFIG}+{overlay}"], ["--config", CONFIG, "--set", "tune.optimiser.lr=0.002"]):
        capsys.readouterr()
        with pytest.raises(SystemExit):
            cli.main(["audit", *changed])
        said = capsys.readouterr()
        assert {line.removeprefix("results/") for line in said.out.splitlines()} == found("tune.optimiser.lr=0.002")
        assert f"settings compared with {changed[1]}" in said.err


def forge(path: Path, **changes: object) -> None:
    """Change a record, and seal it again as if it had been written so."""
    told = {**json.loads(path.read_text()), **changes}
    path.write_text(json_text({**told, "seal": seal(told)}))


def test_a_number_that_a_table_did_not_come_from_is_named_though_every_digest_fits(results):
    """What whoever knows the records could do: another accuracy, and every digest made to fit. The table still has
    the old one.
    """
    shutil.rmtree(results / "report")  # whose record names the records that are forged here
    folder = results / "demo_xsub/stars/knn"
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["results"][0]["top1"] = 99.5
    (folder / "metrics.json").write_text(json_text(metrics))
    entry = {"sha256": sha256(folder / "metrics.json"), "bytes": (folder / "metrics.json").stat().st_size}
    forge(
        folder / "record.json",
        outputs={**json.loads((folder / "record.json").read_text())["outputs"], "metrics.json": entry},
    )
    for record in Lineage.read(results).records:
        inputs = record.told["inputs"]
        for role, one in inputs.items():
            if Path(one["path"]) == folder / "metrics.json":
                forge(record.path, inputs={**inputs, role: {**one, "sha256": entry["sha256"]}})
    unlisted, *found = sorted(audit(results))
    assert unlisted.startswith(f"{folder}/record.json: its numbers are not in the ledger")
    (number,) = [line.removeprefix("results/tables/table2.csv: cell ") for line in found if " value " in line]
    assert (
        number.startswith("STARS, demo_xsub (this run): the table says value ") and "its results give 99.5; " in number
    )


def test_a_cell_leads_back_to_the_raw_files(results, capsys):
    table = results / "tables/table2.csv"
    found = explain(results, table, "STARS, Demo xsub")
    lines = found.lines[1:]
    assert found.whole and found.lines[0].startswith("as recorded: the cell is what its results give, and ")
    value = json.loads((results / "demo_xsub/stars/knn/metrics.json").read_text())["top1"]
    assert float(lines[0].rsplit(": ", 1)[1]) == pytest.approx(value, abs=1e-3)
    assert re.match(r"results/demo_xsub/stars/knn/metrics.json was made on .+, \d+ cores; ", lines[1])
    assert lines[2].endswith(" s [record.json]") and any(" [xsub.record.json]" in line for line in lines)
    files = [line.split()[0] for line in lines[2:-2]]
    assert files[0] == "results/demo_xsub/stars/knn/metrics.json" and len(files) == len(set(files))
    for file in ("stars/encoder.safetensors", "mamp/encoder.safetensors"):
        assert f"results/demo_xsub/{file}" in files
    assert "results/demo/raw.zip" in files and not any("scratch" in file for file in files)
    again = "make again: snakemake --cores 2 "
    assert lines[-2].startswith(again) and lines[-2].endswith(
        " -- results/demo_xsub/stars/knn/metrics.json results/tables/table2.csv"
    )
    capsys.readouterr()
    for words in (["--cell", "STARS,Demo XSub"], []):
        said = []
        for one in (
            table,
            table.absolute(),
            Path("results/demo/../tables/table2.csv"),
            Path("../own/results/tables/table2.csv"),
        ):
            assert cli.main(["explain", str(one), *words]) == 0
            said.append(capsys.readouterr().out)
        assert said == [said[0]] * 4 and said[0].splitlines()[-2].endswith("results/tables/table2.csv")
    for form in ("md", "tex", "html"):
        assert explain(results, table.with_suffix(f".{form}"), "STARS,Demo XSub") == explain(
            results, table, "STARS,Demo XSub"
        )
    assert any("scratch/knn/metrics.json" in line for line in explain(results, table).lines)
    for arguments in ([str(table), "--cell", "STARS,XView"], ["results/none.csv"], ["README.md", "--cell", "a,b"]):
        assert cli.main(["explain", *arguments]) == 2
    assert "it has MAMP,demo_xsub; STARS,demo_xsub; SCRATCH,demo_xsub" in capsys.readouterr().err


def test_a_record_that_a_result_reads_vouches_for_itself(results):
    page, record = results / "report/index.html", results / "demo/clips/record.json"
    found = explain(results, page)
    assert found.whole and found.lines[0].startswith("as recorded: ")
    (line,) = (line for line in found.lines if line.strip().startswith(f"{record}  "))
    assert "  stars.ingest, " in line
    content = json.loads(record.read_text()) | {"wall_seconds": 1.0}
    record.write_text(json_text(content))
    assert f"{record}: the record was changed" in explain(results, page).lines[0]
    record.write_text(json_text(content | {"seal": seal(content)}))
    assert (
        explain(results, page)
        .lines[0]
        .endswith(f"results/report/record.json was made from another version of {record}")
    )
    record.unlink()
    assert f"{record}: the record is gone" in "".join(explain(results, page).lines)


def test_a_cell_is_named_as_the_table_shows_it_too(results):
    table = results / "tables/table2.csv"
    by_key = explain(results, table, "STARS,demo_xsub").lines[2:]
    for shown in ("STARS,Simulated XSub", "STARS,Simulated XSub (%)"):
        assert explain(results, table, shown).lines[2:] == by_key
    table.with_suffix(".json").unlink()
    assert explain(results, table, "STARS,demo_xsub").lines[2:] == by_key


def test_a_name_may_hold_commas(results):
    table = results / "tables/table2.csv"
    for file, old, new in (
        (table, ",STARS,", ',"STARS, long",'),
        (table.with_suffix(".json"), '"Simulated"', '"Simulated, in part"'),
    ):
        file.write_text(file.read_text().replace(old, new))
    for cell in ("STARS, long,demo_xsub", "STARS, long,Simulated, in part XSub"):
        assert any(line.startswith(cell) for line in explain(results, table, cell).lines)


def test_a_changed_cell_is_called_so_before_anything_else(results, capsys):
    table = results / "tables/table2.csv"
    (row,) = (
        line
        for line in table.read_text().splitlines()
        if "results/demo_xsub/stars/knn/metrics.json" in line and "this run" in line
    )
    value = str(json.loads((results / "demo_xsub/stars/knn/metrics.json").read_text())["top1"])
    table.write_text(table.read_text().replace(row, row.replace(f",{value},", ",99.25,", 1)))
    assert cli.main(["explain", str(table), "--cell", "STARS,demo_xsub"]) == 1
    first, second, third = capsys.readouterr().out.splitlines()[:3]
    assert first == f"NOT AS RECORDED: {table} differs from results/tables/table2.record.json: it was changed"
    assert second.endswith(f"cell STARS, demo_xsub (this run): the table says value 99.25, its results give {value}")
    assert third == f"STARS,demo_xsub in {table}: 99.25"


def test_a_results_folder_may_be_called_anything_and_lie_anywhere(results, tmp_path, monkeypatch, capsys):
    config = Path(CONFIG).absolute()
    config.write_text(
        config.read_text().replace("tests/config/other.yaml", str(Path("tests/config/other.yaml").absolute()))
    )
    archive, packed = tmp_path / "a.zip", tmp_path / "b.zip"
    assert cli.main(["pack", "--out", str(archive)]) == 0
    moved = results.absolute().rename(tmp_path / "results0")
    for folder, name in ((tmp_path, "results0"), (moved, "."), (moved / "tables", "..")):
        os.chdir(folder)
        assert cli.main(["audit", name, "--config", str(config)]) == 0, capsys.readouterr()
    os.chdir(tmp_path)
    assert cli.main(["pack", "results0", "--out", str(packed)]) == 0 and packed.read_bytes() == archive.read_bytes()
    for file in ("results0/tables/table2.csv", str(moved / "tables/table2.csv")):
        capsys.readouterr()
        assert cli.main(["explain", file, "--cell", "STARS,demo_xsub"]) == 0
        assert any(
            line.startswith("  results0/demo_xsub/stars/knn/metrics.json")
            for line in capsys.readouterr().out.splitlines()
        )
    with (moved / "demo_xsub/stars/encoder.safetensors").open("ab") as file:
        file.write(b"0")
    (line,) = audit(Path("results0"))
    assert line.startswith(
        "results0/demo_xsub/stars/encoder.safetensors: its bytes differ from its record; restore the file, or"
    )
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "there")
    (tmp_path / "there/results").rename(tmp_path / "there/of the paper")
    os.chdir(tmp_path / "there/of the paper")
    assert cli.main(["audit"]) == 0 and cli.main(["explain", "tables/table2.csv"]) == 0
    assert f"{tmp_path / 'there/of the paper'}: " in capsys.readouterr().err


def test_a_p_value_leads_back_to_the_predictions_of_both_methods(results):
    table = results / "tables/table2.csv"
    lines = explain(results, table, "STARS against MAMP,demo_xsub").lines
    for method in ("stars", "mamp"):
        assert any(line.startswith(f"  results/demo_xsub/{method}/knn/predictions.npz  ") for line in lines)
    (again,) = (line for line in lines if line.startswith("make again: "))
    files = [f"results/demo_xsub/{method}/knn/predictions.npz" for method in ("mamp", "stars")]
    assert sorted(again.split(" -- ")[1].split()) == [*files, str(table)]


def test_the_command_that_is_printed_makes_a_lost_cell_again(results, tmp_path):
    """As a user would paste them, from the folder of the project, also where it has been moved since."""
    Path.cwd().rename(moved := tmp_path / "moved")
    os.chdir(moved)
    cell, table = results / "demo_xsub/stars/knn", results / "tables/table2.csv"
    before = {path: path.read_bytes() for path in (cell / "metrics.json", cell / "predictions.npz", table)}
    stars = [sys.executable, "-m", "stars"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    told = subprocess.run(
        [*stars, "explain", table, "--cell", "STARS,Demo xsub"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    (command,) = (
        line.removeprefix("make again: ") for line in told.stdout.splitlines() if line.startswith("make again: ")
    )
    assert len(command) < 300 and f"--configfile {CONFIG} --force -- " in command
    assert told.stdout.splitlines()[-1].startswith("then run snakemake as before")
    shutil.rmtree(cell)
    table.unlink()
    subprocess.run(["bash", "-c", command], env=environment, check=True)
    assert {path: path.read_bytes() for path in before} == before
    # it shows when the others were made
    assert {line.split(":")[0] for line in audit(results)} == {"results/report/record.json"}


def script(folder: Path) -> Path:
    """A `snakemake` in this folder."""
    folder.mkdir(parents=True)
    path = folder / "snakemake"
    path.touch(mode=0o755)
    return path


def test_the_commands_are_those_of_the_project_s_folder_wherever_one_asks(results, tmp_path, monkeypatch, capsys):
    def asked(results: str, file: str) -> str:
        assert cli.main(["explain", file, "--results", results]) == 0
        return capsys.readouterr().out.splitlines()[-2].split(" --cores ")[0].removeprefix("make again: ")

    here, other = Path.cwd(), tmp_path / "other"
    table = "results/tables/table2.csv"
    assert asked("results", table) == "snakemake"
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    elsewhere = script(tmp_path / "a b")
    monkeypatch.setattr(sys, "executable", str(elsewhere.with_name("python")))
    assert asked("results", table) == shlex.quote(str(elsewhere))
    monkeypatch.setattr(sys, "executable", str(script(here / ".venv/bin").with_name("python")))
    assert asked("results", table) == ".venv/bin/snakemake"
    other.mkdir()
    os.chdir(other)
    for file in (table, "../own/" + table, str(here / table)):
        assert asked("../own/results", file) == asked(str(here / "results"), file) == ".venv/bin/snakemake"
    # the folder is that of the file, where none is named
    for words in (["../own/" + table], [table, "--results", "../own/results"]):
        assert cli.main(["explain", *words]) == 0
        assert capsys.readouterr().out.splitlines()[1] == "paths are relative to ../own; run the commands there"


def test_every_seed_of_a_cell_is_traced_and_has_its_command(results):
    """A table of two seeds, the second one's results copies of the first's."""
    table = results / "tables/table2.csv"
    text = table.read_text()
    source = "results/demo_xsub/stars/knn/metrics.json"
    assert f",{source}," in text
    table.write_text(text.replace(f",{source},", f",{source};results/demo_xsub/mamp/knn/metrics.json,"))
    found = explain(results, table, "STARS, Demo xsub")
    assert not found.whole and found.lines[0].startswith(f"NOT AS RECORDED: {table} differs from ")
    lines = found.lines
    (again,) = (line for line in lines if line.startswith("make again: snakemake --cores 2 "))
    assert again.split(" -- ")[1].split() == [source, "results/demo_xsub/mamp/knn/metrics.json", str(table)]


def test_a_result_whose_configuration_is_gone_is_made_again_as_its_record_says(results):
    for path in Path("config").glob("*.yaml"):
        path.unlink()
    lines = explain(results, results / "tables/table2.csv").lines
    assert [line.split(";")[0] for line in lines if line.startswith("make again")] == [
        "make again: run the `command` in results/tables/table2.record.json"
    ]


def test_a_folder_that_may_not_be_read_is_named(results, monkeypatch, capsys):
    """As lost+found, where the results are a disk of their own."""
    (results / "lost+found").mkdir()
    listing = Path.iterdir

    def refusing(folder: Path) -> Iterator[Path]:
        if folder.name == "lost+found":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", refusing)
    assert cli.main(["audit"]) == 2
    said = capsys.readouterr().err
    assert (
        said.count("\n") == 1
        and "results/lost+found cannot be read: change its permissions, or move it out of the results" in said
    )


def test_what_lies_in_the_ledger_and_is_no_entry_stays_out(results, capsys):
    entries = {path.as_posix() for path in (results / "ledger").iterdir()}
    stray = {f"results/ledger/{name}" for name in ("frames.npy", "notes.json", "more/entry.json")}
    (results / "ledger/more").mkdir()
    shutil.copy(min(entries), results / "ledger/more/entry.json")
    (results / "ledger/frames.npy").write_bytes(b"?")
    (results / "ledger/notes.json").write_text("{}")
    told = pack(results, results.parent / "all.zip")
    assert entries <= set(told["files"]) and stray <= set(told["left_out"])


def test_joints_do_not_leave_unless_that_is_asked_for(results, capsys):
    """Neither as clips, nor as the features of a method of joint positions, nor in a file of which nobody knows what
    it is.
    """
    features = results / "demo_xsub/scratch/features"
    forge(features / "demo.record.json", stage="stars.evaluation.joints")
    (results / "demo/more.npy").write_bytes(b"?")
    clip = ClipStore.open(results / "demo/clips").names[0]
    assert cli.main(["inspect", clip, "--config", CONFIG, "--data", "demo", "--out", str(results / "pictures")]) == 0
    archive = results.parent / "run.zip"
    assert cli.main(["pack", "--out", str(archive)]) == 0
    held = {"demo/clips/frames.npy", "demo/raw.zip", "other/clips/frames.npy", "other/raw.zip", "report/index.html"}
    held |= {"demo_xsub/scratch/features/demo_train.npy", "demo_xsub/scratch/features/demo_test.npy", "demo/more.npy"}
    held |= {f"pictures/{clip}.png", f"pictures/{clip}.gif"}
    with zipfile.ZipFile(archive) as opened:
        assert not {f"results/{name}" for name in held} & set(opened.namelist())
        assert set(json.loads(opened.read("results/MANIFEST.json"))["left_out"]) == {f"results/{name}" for name in held}
        assert {entry.external_attr >> 16 for entry in opened.infolist()} == {0o644}
    assert cli.main(["pack", "--with-clips", "--out", str(archive)]) == 0
    with zipfile.ZipFile(archive) as opened:
        assert {f"results/{name}" for name in held} - set(opened.namelist()) == {"results/demo/more.npy"}
    (results / "demo/clips/record.json").write_text("{}")
    assert (
        cli.main(["pack", "--out", str(archive)]) == 2
        and "demo/clips/record.json: the record was changed" in capsys.readouterr().err
    )


@pytest.mark.parametrize("text", ["[" * 100_000, "{}", '{"outputs": {"a": 1}}', "\0"])
def test_a_record_or_manifest_of_whatever_form_is_a_line(results, text, capsys):
    for name in ("demo_xsub/mamp/record.json", "ledger/1.json", "MANIFEST.json"):
        (results / name).write_text(text)
    named = {line.split(": ")[0] for line in audit(results)}
    assert {"results/demo_xsub/mamp/record.json", "results/ledger/1.json"} <= named
    assert cli.main(["audit", "--packed"]) == 2 and "MANIFEST.json" in capsys.readouterr().err


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
    assert cli.main(["audit", "--packed"]) == cli.main(["audit"]) == 0
    told = explain(results, results / "tables/table1.csv")
    assert told.whole and "; not here, so not checked: results/demo/raw.zip" in told.lines[0]
    assert any("results/demo/raw.zip" in line for line in told.lines)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["explain", "elsewhere/results/tables/table2.csv", "--cell", "STARS,demo_xsub"]) == 0
    assert (
        capsys.readouterr().out.splitlines()[1]
        == "elsewhere/results was unpacked from an archive: paths are relative to elsewhere; run the commands in the"
        " project that packed it"
    )
    monkeypatch.chdir(elsewhere)
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
