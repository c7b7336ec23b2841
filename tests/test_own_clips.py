"""docs/own_clips.md does what it says: its files are written and its commands run, in the page's order, in a new
project.
"""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import ROOT, project

from stars.data.store import ClipStore

PAGE = (ROOT / "docs/own_clips.md").read_text()
BLOCK = re.compile(r"(?:^`([^`]+)`( begins with)?:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(command: str, folder: Path) -> str:
    """What a line of the page prints; it must succeed."""
    words = [
        str(Path(sys.executable).parent / word.removeprefix(".venv/bin/")) if word.startswith(".venv/") else word
        for word in command.split()
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def yard(tmp_path_factory) -> tuple[Path, list[str]]:
    """The project folder after everything on the page, and what the commands printed."""
    folder, printed = project(tmp_path_factory.mktemp("own") / "project"), []
    for path, begins, language, text in BLOCK.findall(PAGE):
        if language == "sh":
            printed += [run(line, folder) for line in text.splitlines()]
        elif begins:
            assert (folder / path).read_text().startswith(text)
        else:
            assert path, text
            (folder / path).write_text(text)
    return folder, printed


def test_the_page_works(yard):
    folder, (_, checked, _, planned) = yard
    assert checked == "config/yard.yaml: valid (1 data sets, 2 methods)\n"
    store, quality = ClipStore.open(folder / "clips"), json.loads((folder / "clips/quality.json").read_text())
    assert store.frames.shape == (32 * 40, 1, 6, 3) and quality["clips_per_class"] == {"1": 16, "2": 16}
    with (folder / "recordings/yard/clips.csv").open() as file:
        rows = {row["file"].removesuffix(".npy"): row for row in csv.DictReader(file)}
    for name, facts in zip(store.names, store.table.to_dict("records"), strict=True):
        assert (facts["action_name"], str(facts["subject"]), str(facts["replication"])) == tuple(
            list(rows[name].values())[1:]
        )
    assert all(f"{job} " in planned for job in ("ingest", "split", "pretrain", "tune", "embed", "knn", "table"))


def test_a_simulated_rehearsal(yard, tmp_path):
    folder, _ = yard
    description, config = (folder / "config/datasets/yard.yaml").read_text(), (folder / "config/yard.yaml").read_text()
    (folder / "config/datasets/rehearsal.yaml").write_text(
        description.replace("hips", "spine base").replace("feet", "left foot")
    )
    (folder / "config/rehearsal.yaml").write_text(
        config.replace("dataset: yard, raw: recordings/yard", "dataset: rehearsal, simulate: {clips: 30}")
    )
    run(f".venv/bin/stars simulate --config config/rehearsal.yaml --out {tmp_path}/raw", folder)
    run(f".venv/bin/stars ingest --config config/rehearsal.yaml --raw {tmp_path}/raw --out {tmp_path}/clips", folder)
    store = ClipStore.open(tmp_path / "clips")
    assert len(store) == 30 and store.joints == 6 and set(store.table["action_name"]) == {"wave", "bow"}
