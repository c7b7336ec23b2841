"""The ledger, what `stars history` tells from it, and `stars diff` of two results folders."""

import json
import multiprocessing
import os
import re
import shutil
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tiny import CONFIG

from stars import cli
from stars.audit.check import audit
from stars.audit.compare import compare, significance
from stars.audit.history import history
from stars.audit.pack import pack
from stars.errors import InputError
from stars.evaluation.statistics import paired_p_of
from stars.pipeline.configuration import as_argument, load_file, stage_settings
from stars.provenance import files, ledger
from stars.provenance.files import json_text, write_once, write_text
from stars.provenance.lineage import seal

KNN = Path("results/demo_xsub/stars/knn")


@pytest.fixture
def results(own, monkeypatch) -> Path:
    monkeypatch.chdir(own)
    return Path("results")


def knn(*changes: str) -> None:
    """Evaluate again, as the workflow's job would."""
    told = as_argument(stage_settings(load_file(CONFIG, changes), "knn", "demo", "stars", "xsub"))
    splits = Path("results/demo/splits")
    paths = {"features": KNN.parent / "features", "clips": "results/demo/clips", "train": splits / "xsub_train.npy"}
    words = [
        word
        for name, path in {**paths, "test": splits / "xsub_test.npy", "out": KNN}.items()
        for word in (f"--{name}", str(path))
    ]
    assert cli.main(["knn", *words, "--target", "demo", "--settings", told]) == 0


def test_every_evaluation_of_a_run_is_in_the_ledger(results):
    measured = sorted(path.parent.relative_to(results).as_posix() for path in results.rglob(ledger.METRICS))
    entries = list(ledger.entries(results))
    assert sorted(entry.place for entry in entries) == measured and len(measured) == 12
    for entry in entries:
        assert entry.metrics == json.loads((results / entry.place / ledger.METRICS).read_text())
        assert {"demo/raw.zip", "demo/clips", "demo_xsub/" + entry.place.split("/")[1]} <= set(
            entry.stages
        ) or "other" in entry.place
        for place, told in entry.stages.items():
            record = results / place
            record = record / "record.json" if record.is_dir() else record.with_name(f"{record.name}.record.json")
            assert told["settings"] == json.loads(record.read_text())["settings"]


def test_numbers_survive_the_rebuild_that_replaces_them(results, capsys):
    before = {path: path.read_bytes() for path in ledger.files(results)}
    first = json.loads((KNN / "metrics.json").read_text())["top1"]
    knn("knn.k=[10, 1]")
    second = json.loads((KNN / "metrics.json").read_text())["top1"]
    assert {path: path.read_bytes() for path in before} == before and len(ledger.files(results)) == len(before) + 1
    assert cli.main(["history", "--protocol", "knn", "--method", "stars"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "demo_xsub/stars/knn  top1" and len(lines) == 4
    assert [re.split(r"  +", line.strip())[1] for line in lines[1:3]] == [f"{first:g}", f"{second:g}"]
    assert lines[3].strip() == "demo_xsub/stars/knn: knn.k [1, 5, 10] → [10, 1]"
    assert [
        line for line in history(results, "top1@k=1,output=encoder", "knn", method="stars") if f"{first:>8g}" in line
    ] == lines[1:2] + [
        line
        for line in history(results, "top1@k=1,output=encoder", "knn", method="stars")
        if line.rstrip().endswith("+0")
    ]


def test_a_change_upstream_is_told_where_it_was_made(results):
    """The entry of a later run, of another learning rate, source and raw file."""
    path = next(path for path in ledger.files(results) if ledger.Entry.read(path).place == "demo_xsub/stars/knn")
    told = json.loads(path.read_text())
    tuned = told["stages"]["demo_xsub/stars"]
    tuned["settings"]["tune"]["optimiser"]["lr"] = 0.002
    tuned["code"].update(digest="0", modules={**tuned["code"]["modules"], "stars.model.heads": "0"})
    told["given"], told["time"] = {"data/ntu.zip": "0"}, "2999-01-01T00:00:00+00:00"
    del told["stages"]["demo/raw.zip"]
    write_text(path.with_name("29990101T000000Z_0.json"), json_text({**told, "seal": seal(told)}))
    lines = [line.strip() for line in history(results, method="stars", data="demo", protocol="knn")]
    assert (
        "demo_xsub/stars: tune.optimiser.lr 0.001 → 0.002" in lines
        and "demo_xsub/stars: other source: stars.model.heads" in lines
    )
    assert "demo/raw.zip: not made from it" in lines and lines[-1] == "data/ntu.zip: another file"


def test_other_bytes_of_the_same_settings_and_source_are_told(results):
    path = next(path for path in ledger.files(results) if ledger.Entry.read(path).place == "demo_xsub/stars/knn")
    told = json.loads(path.read_text()) | {"time": "2999-01-01T00:00:00+00:00"}
    told["stages"]["demo_xsub/mamp"]["files"]["encoder.safetensors"] = "0"
    write_text(path.with_name("29990101T000000Z_0.json"), json_text({**told, "seal": seal(told)}))
    lines = [line.strip() for line in history(results, method="stars", data="demo", protocol="knn")]
    assert lines[-1] == "demo_xsub/mamp: rebuilt, differing files: encoder.safetensors"
    first = json.loads(path.read_text())  # as it was written before files were kept
    for stage in first["stages"].values():
        del stage["files"]
    path.write_text(json_text({**first, "seal": seal(first)}))
    assert (
        "do not record whether files differ" in list(history(results, method="stars", data="demo", protocol="knn"))[-1]
    )


def test_what_history_cannot_find_is_said(results, tmp_path, capsys):
    for words in (["--metric", "top2"], ["--method", "none"], ["--data", "none"], [str(tmp_path)], ["nowhere"]):
        assert cli.main(["history", *words]) == 2
    assert "--metric top2: no evaluation has this metric: give one of " in capsys.readouterr().err


def test_entries_that_were_changed_or_are_gone_are_found(results):
    paths = ledger.files(results)
    paths[0].write_bytes(paths[0].read_bytes()[:-2] + b" \n")
    paths[1].unlink()
    lines = list(audit(results))
    assert any(line.startswith(f"{paths[0]}: the ledger's entry was changed") for line in lines)
    assert any(f"restore {paths[1].name}" in line for line in lines) and len(lines) == 2
    told = pack(results, results.parent / "all.zip")
    assert paths[2].as_posix() in told["files"]


def _write(job: tuple[Path, int]) -> None:
    folder, number = job
    for entry in range(40):
        write_once(folder / f"{entry}.json", f"{number} of {entry}\n")


def no_links(*paths: Path) -> None:
    raise PermissionError("this filesystem has none")


def _write_without_links(job: tuple[Path, int]) -> None:
    os.link = no_links
    _write(job)


def _die(*paths: Path) -> None:
    os._exit(9)


def _die_before_it_has_its_name(path: Path) -> None:
    os.link, Path.replace = no_links, _die
    write_once(path, "never whole")


@pytest.mark.parametrize("write", [_write, _write_without_links])
def test_many_writers_at_once_overwrite_nothing_and_leave_nothing(tmp_path, write):
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(write, [(tmp_path / "ledger", number) for number in range(8)]))
    texts = [(tmp_path / "ledger" / f"{entry}.json").read_text() for entry in range(40)]
    assert all(re.fullmatch(rf"\d of {entry}\n", text) for entry, text in enumerate(texts))
    assert len(list((tmp_path / "ledger").iterdir())) == 40
    with ProcessPoolExecutor(1) as pool:
        list(pool.map(write, [(tmp_path / "ledger", 9)]))
    assert [(tmp_path / "ledger" / f"{entry}.json").read_text() for entry in range(40)] == texts


def test_a_writer_killed_where_there_are_no_links_leaves_no_half_entry(tmp_path, monkeypatch):
    """Nor is a later one told that the entry is there: it is told of the claim, and writes when that is gone."""
    process = multiprocessing.get_context("fork").Process(
        target=_die_before_it_has_its_name, args=(tmp_path / "1.json",)
    )
    process.start()
    process.join()
    assert process.exitcode == 9 and not (tmp_path / "1.json").exists() and list(tmp_path.iterdir())
    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(files, "CLAIM_SECONDS", 0.1)
    claim = tmp_path / ".1.json.claim"
    with pytest.raises(InputError) as told:
        write_once(tmp_path / "1.json", "whole")
    assert (
        str(told.value)
        == f"{claim} was left by a killed job, and {tmp_path / '1.json'} was not written: delete it and run again"
    )
    claim.unlink()
    write_once(tmp_path / "1.json", "whole")
    write_once(tmp_path / "1.json", "another")
    assert (tmp_path / "1.json").read_text() == "whole" and not claim.exists()


def test_a_writer_waits_for_the_one_that_has_the_claim(tmp_path, monkeypatch):
    """If that one fails without writing, it writes itself; a claim beside a file that is there holds nobody up."""
    monkeypatch.setattr(os, "link", no_links)
    claim = tmp_path / ".1.json.claim"
    claim.touch()
    threading.Timer(0.3, claim.unlink).start()
    write_once(tmp_path / "1.json", "whole")
    assert (tmp_path / "1.json").read_text() == "whole"
    claim.touch()
    write_once(tmp_path / "1.json", "another")
    assert (tmp_path / "1.json").read_text() == "whole"


def test_two_folders_are_compared_by_settings_numbers_and_significance(results, tmp_path, capsys):
    other = Path(shutil.copytree(results, tmp_path / "other"))
    shutil.rmtree(other / "figures")
    assert next(compare(results, results)) == "numbers (top1)"
    knn("knn.k=[10, 1]")
    assert cli.main(["diff", str(other), str(results)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["settings", "  demo_xsub/stars/knn: knn.k [1, 5, 10] → [10, 1]", "numbers (top1)"]
    (number,) = [line for line in lines if line.startswith("  demo_xsub/stars/knn: ") and " p " in line]
    p = paired_p_of(other / KNN.relative_to("results/") / "predictions.npz", KNN / "predictions.npz")
    assert number.endswith(f"p {p:.4f}") and sum(line.endswith("p 1.0000") for line in lines) >= 11
    assert lines[-3:-1] == [f"only in {results}", "  figures/fig4: stars.paper.tsne"]
    assert cli.main(["diff", "results/logs", "results"]) == 2


def test_no_significance_is_told_of_other_clips(results, tmp_path):
    folder = Path(shutil.copytree(KNN, tmp_path / "knn"))
    assert significance(folder, KNN) == 1.0
    with np.load(folder / "predictions.npz") as found:
        arrays = dict(found)
    np.savez(folder / "predictions.npz", **{**arrays, "name": arrays["name"][::-1]})
    assert significance(folder, KNN) is None
    for repeated in ("semi/0.25", "few_shot/other_xsub"):
        assert significance(KNN.parent / repeated, KNN.parent / repeated) == 1.0
