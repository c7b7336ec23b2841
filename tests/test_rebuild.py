"""docs/rebuild_keys.md: it has every key, every key is read by some job, and its rows are those of today's settings,
rules and plans.

Where one of these fails: `make rebuild-table`.
"""

import re

import pytest
import rebuild
import rebuild_changes as changes

MEND = "docs/rebuild_keys.md is not of today: make rebuild-table"
ROWS = {rebuild.cells(line)[0]: line for line in rebuild.PAGE.read_text().splitlines() if line.startswith("| `")}
TRIED = (
    "tune.dino.momentum",
    "methods.NAME.heads",
    "data.NAME.raw",
    "semi.subsets",
    "table8.method",
    "checkpoint.seconds",
    "tracking",
)
# keys that, changed so, leave files that nobody asks for: who would be told, would be told nothing
FEWER = ("comparison.runs",)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    opened = rebuild.Bench(tmp_path_factory.mktemp("bench"), [("claims.yaml",), ("twin.yaml",), ("methods.yaml",), ()])
    yield opened
    opened.close()


def test_the_page_has_every_key_and_each_one_does_something():
    assert list(ROWS) == changes.keys(), MEND
    for key, row in ROWS.items():
        _, _, told, after = rebuild.cells(row)
        assert told or after, f"nobody reads {key}"


def test_every_row_says_who_is_told_its_key(bench, monkeypatch):
    """Of all rows, without a dry run: what a job is told follows from the settings alone, but for a file of one's
    own.
    """
    monkeypatch.chdir(bench.folder)
    for key, row in ROWS.items():
        shown, changed = changes.change(key, bench.base)
        _, noted, told, _ = rebuild.cells(row)
        assert noted == shown, f"{key}: {MEND}"
        if changes.UNDER.get(key) == "own.yaml":
            continue
        found = ", ".join(sorted(bench.told(key, changed)))
        assert (told == rebuild.FEWER) == (key in FEWER), f"{key}: {MEND}"
        assert told in (found, rebuild.FEWER) or (told in (rebuild.ELSEWHERE, rebuild.BESIDE.get(key)) and not found), (
            f"{key}: {MEND}"
        )


def test_rules_read_what_they_read_when_the_page_was_made(bench):
    assert f"`{bench.graph()}`, with what there is" in rebuild.PAGE.read_text(), MEND


def test_rows_are_what_snakemake_plans(bench, monkeypatch):
    monkeypatch.chdir(bench.folder)
    for key in TRIED:
        assert str(bench.row(key)) == ROWS[key], MEND


def test_raw_files_that_are_added_are_read_and_what_does_not_need_them_stays(bench):
    (bench.folder / "given/S002.zip").touch()
    planned = bench.planned()
    assert {rule for rule, _ in planned.values()} == {"ingest", "split", "inspect"}
    assert {re.match(r"[^:]+: (\w+)", message)[1] for message in planned} == {"given"}
