"""Nothing that is loaded can run code. Checkpoints: test_model, test_training; YAML: test_config; clips:
test_folder; html: test_inspect, test_paper.
"""

import ast

import numpy as np
import pytest
from tiny import ROOT

from stars.audit.check import audit
from stars.errors import InputError
from stars.provenance.files import json_text, read_npy, read_npz, write_text
from stars.provenance.lineage import FIELDS, seal


class Evil:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize("memory_map", [False, True])
def test_an_array_of_objects_is_refused_unopened(tmp_path, capsys, memory_map):
    path, archive = tmp_path / "evil.npy", tmp_path / "evil.npz"
    np.save(path, np.array([Evil()], object), allow_pickle=True)
    np.savez(archive, predicted=np.array([Evil()], object))
    with pytest.raises(InputError, match=r"evil\.npy"):
        read_npy(path, memory_map)
    with pytest.raises(InputError, match=r"evil\.npz"):
        read_npz(archive, ("predicted",))
    assert "executed" not in capsys.readouterr().out


def calls(name: str) -> list[tuple[str, ast.Call]]:
    """File and call of every `….NAME(…)` in the package, `NAME` with the last two words of what is called."""
    found = []
    for path in sorted((ROOT / "stars").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ".".join(ast.unparse(node.func).split(".")[-2:]) == name:
                found.append((path.name, node))
    return found


@pytest.mark.parametrize(
    ("name", "argument", "right"),
    [
        ("np.load", "allow_pickle", "False"),
        ("torch.load", "weights_only", "True"),
        ("format.read_array", "allow_pickle", "False"),
    ],
)
def test_every_loader_is_told_to_run_nothing(name, argument, right):
    for file, call in calls(name):
        assert {word.arg: ast.unparse(word.value) for word in call.keywords}.get(argument) == right, file
    assert calls("np.load") and calls("torch.load")


def test_no_loader_that_runs_code_is_used():
    for name in (
        "pickle.load",
        "pickle.loads",
        "yaml.unsafe_load",
        "yaml.full_load",
        "joblib.load",
        "shelve.open",
        "marshal.loads",
    ):
        assert calls(name) == []
    assert {
        ast.unparse(word.value) for _, call in calls("yaml.load") for word in call.keywords if word.arg == "Loader"
    } == {"Loader"}


def test_no_archive_is_unpacked_so_that_no_name_in_it_is_a_path():
    for path in sorted((ROOT / "stars").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            assert not (
                isinstance(called, ast.Attribute) and called.attr in ("extract", "extractall", "unpack_archive")
            ), path.name


def test_names_that_lead_out_of_a_packed_folder_are_only_compared(tmp_path):
    """A manifest and a record, sealed as if they were ours, of files elsewhere: refused, or a line, and nothing is
    written.
    """
    results = tmp_path / "unpacked/results"
    (tmp_path / "mine.txt").write_text("mine")
    named = {"files": {"../mine.txt": "0", "/etc/hostname": "0"}, "left_out": {}}
    record = dict.fromkeys(FIELDS) | {
        "stage": "stars.data.splits",
        "settings": {},
        "inputs": {},
        "outputs": {"../../../mine.txt": {"sha256": "0"}},
    }
    record["code"] = {"digest": "0"}
    for name, told in (("MANIFEST.json", named), ("demo/record.json", record)):
        write_text(results / name, json_text({**told, "seal": seal(told)}))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(
        InputError, match=r"names \.\./mine.txt, which lies outside of the results: trust nothing in this archive"
    ):
        list(audit(results, packed=True))
    named["files"] = {}
    write_text(results / "MANIFEST.json", json_text({**named, "seal": seal(named)}))
    before[results / "MANIFEST.json"] = (results / "MANIFEST.json").read_bytes()
    lines = list(audit(results, packed=True))
    assert [
        line for line in lines if line.startswith("results/demo/../../../mine.txt: its bytes differ from its record")
    ]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
