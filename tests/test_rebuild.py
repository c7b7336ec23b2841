"""docs/rebuild_keys.md: it has every key, every key is read by some job, and some of its rows are what Snakemake plans now."""

import re

import pytest
import rebuild
from tiny import CONFIG, snakemake

ROWS = [line for line in rebuild.PAGE.read_text().splitlines() if line.startswith("| `")]
TRIED = ("tune.dino.momentum", "methods.NAME.heads", "data.NAME.raw", "semi.subsets", "table8.method", "checkpoint.seconds")


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> rebuild.Bench:
    return rebuild.Bench(tmp_path_factory.mktemp("bench"))


def test_the_page_has_every_key_and_each_one_does_something():
    assert [re.match(r"\| `([^`]+)`", row)[1] for row in ROWS] == rebuild.keys()
    for row in ROWS:
        _, key, _, told, after, _ = (cell.strip() for cell in row.split("|"))
        assert told or after, f"nobody reads {key}"


def test_rows_are_what_snakemake_plans(bench, monkeypatch):
    monkeypatch.chdir(bench.folder)
    for key in TRIED:
        assert str(bench.row(key)) in ROWS


def test_raw_files_that_are_added_are_read_and_what_does_not_need_them_stays(bench, monkeypatch):
    monkeypatch.chdir(bench.folder)
    (bench.folder / "given/S002.zip").touch()
    done = snakemake(bench.folder, "--dry-run", config=(CONFIG, rebuild.EVERY))
    assert {rule for rule, _ in rebuild.jobs(done.stdout + done.stderr).values()} == {"ingest", "split", "inspect"}
    assert set(re.findall(r"^Job \d+: [^:]+: (\w+)", done.stdout + done.stderr, re.MULTILINE)) == {"given"}
