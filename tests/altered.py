"""An archive altered in every way that we thought of, each followed by `stars verify`.

    python tests/altered.py [--results results]

Prints each alteration, what verify says first, and its exit code; the table in docs/audit.md is of these. The results
are those of `make demo`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stars import cli
from stars.audit.pack import pack
from stars.audit.unpack import unpack
from stars.evaluation.metrics import per_class
from stars.provenance import ledger
from stars.provenance.files import json_text, sha256, write_npz
from stars.provenance.lineage import Lineage, seal

MANIFEST, TABLE = "MANIFEST.json", "tables/table2.csv"
METHOD = "demo_xsub/stars"
KNN = f"{METHOD}/knn"


@dataclass(frozen=True)
class Altered:
    """A way to alter an unpacked results folder, and what verify should say of it first; `forged`: every digest is
    then made to fit.
    """

    alter: Callable[[Path], object]
    said: str
    forged: bool = False
    code: int = 1


def byte(path: Path) -> None:
    """Flip one bit."""
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Replace text that must stand in a file."""

    def alter(results: Path) -> None:
        text = (results / name).read_text()
        assert old in text, old
        (results / name).write_text(text.replace(old, new))

    return alter


def rewrite(path: Path, change: Callable[[dict], object], sealed: bool = False) -> None:
    """Change what a JSON file says, and seal it again."""
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json_text({**told, "seal": seal(told)} if sealed else told))


def a_cell(results: Path) -> None:
    """The first number of the method in the table becomes 99.5."""
    edit(TABLE, f",{json.loads((results / KNN / 'metrics.json').read_text())['top1']},", ",99.5,")(results)


def higher(results: Path) -> None:
    """metrics.json of KNN by 4 percent better, wherever its first number stands."""
    path = results / KNN / "metrics.json"
    top1 = json.loads(path.read_text())["top1"]

    def raised(told: dict) -> None:
        told["top1"] = told["results"][0]["top1"] = top1 + 4

    rewrite(path, raised)
    table = results / TABLE
    own = [line for line in table.read_text().splitlines() if f"{KNN}/metrics.json" in line]
    table.write_text(
        table.read_text().replace(
            own[0], own[0].replace(f"{top1},", f"{top1 + 4},").replace(f",{top1},", f",{top1 + 4},")
        )
    )


def _predictions(results: Path) -> dict[str, np.ndarray]:
    with np.load(results / KNN / "predictions.npz") as file:
        return dict(file)


def _k(found: dict[str, np.ndarray]) -> str:
    return next(name for name in found if name.startswith("predicted_k"))


def one_prediction(results: Path) -> None:
    """One wrong answer becomes right, in every array."""
    found = _predictions(results)
    wrong = int(np.flatnonzero(found["predicted"] != found["label"])[0])
    for name in ("predicted", _k(found)):
        found[name][wrong] = found["label"][wrong]
    write_npz(results / KNN / "predictions.npz", found)


def guessed(results: Path) -> None:
    """Predictions that are right, and metrics that say so."""
    found = _predictions(results)
    found["predicted"] = found[_k(found)] = found["label"].copy()
    found["top5"][:, 0] = found["label"]
    write_npz(results / KNN / "predictions.npz", found)

    def perfect(told: dict) -> None:
        names = dict(zip(np.unique(found["label"]).tolist(), told["per_class"], strict=True))
        exact = per_class(found["predicted"] == found["label"], found["label"], names)
        told.update({"top1": 100.0, "top5": 100.0, "interval95": [100.0, 100.0], "per_class": exact})
        told["results"][0].update({"top1": 100.0, "top5": 100.0})

    rewrite(results / KNN / "metrics.json", perfect)


def relabelled(results: Path) -> None:
    """Predictions whose labels are what was predicted."""
    found = _predictions(results)
    write_npz(results / KNN / "predictions.npz", found | {"label": found["predicted"]})


def other_features(results: Path) -> None:
    """Those of other clips: the rows in the opposite order."""
    path = next((results / METHOD / "features").glob("*_test.npy"))
    np.save(path, np.load(path)[::-1].copy())


def swapped(results: Path) -> None:
    """Two encoders change places."""
    ours, others = (
        results / METHOD / "encoder.safetensors",
        (results / METHOD).with_name("mamp") / "encoder.safetensors",
    )
    kept = ours.read_bytes()
    shutil.copyfile(others, ours)
    others.write_bytes(kept)


def a_point(results: Path) -> None:
    """The last loss of a training curve becomes 0."""
    path = results / METHOD / "curve.csv"
    lines = path.read_text().splitlines()
    cells = lines[-1].split(",")
    cells[lines[0].split(",").index("loss")] = "0.0"
    path.write_text("\n".join([*lines[:-1], ",".join(cells)]) + "\n")


def a_digest(results: Path) -> None:
    """A record says other bytes of an encoder, and is sealed again."""
    rewrite(
        results / METHOD / "record.json",
        lambda told: told["outputs"]["encoder.safetensors"].update(sha256="0" * 64),
        sealed=True,
    )


def renamed(results: Path) -> None:
    (results / METHOD).rename((results / METHOD).with_name("ours"))


def entry(results: Path) -> Path:
    return min((results / "ledger").iterdir())


def sealed(alter: Callable[[Path], object], name: str) -> Callable[[Path], None]:
    """A file is altered, and the manifest made to say so."""

    def both(results: Path) -> None:
        alter(results)
        rewrite(
            results / MANIFEST,
            lambda told: told["files"].update({f"results/{name}": sha256(results / name)}),
            sealed=True,
        )

    return both


def emptied(results: Path) -> None:
    """The manifest no longer names the table."""
    rewrite(results / MANIFEST, lambda told: told["files"].pop(f"results/{TABLE}"))


ALTERED: dict[str, Altered] = {
    "a digit of a table's csv": Altered(
        a_cell, f"results/{TABLE}: its bytes differ from the manifest; unpack the archive again"
    ),
    "a word of a table's page": Altered(
        edit("tables/table2.html", "STARS", "OURS"), "table2.html: its bytes differ from the manifest"
    ),
    "a number of `metrics.json`": Altered(higher, f"{KNN}/metrics.json: its bytes differ from the manifest"),
    "one prediction": Altered(one_prediction, f"{KNN}/predictions.npz: its bytes differ from the manifest"),
    "the labels of predictions": Altered(relabelled, f"{KNN}/predictions.npz: its bytes differ from the manifest"),
    "features in another order": Altered(other_features, "_test.npy: its bytes differ from the manifest"),
    "one bit of an encoder": Altered(
        lambda results: byte(results / METHOD / "encoder.safetensors"),
        "encoder.safetensors: its bytes differ from the manifest",
    ),
    "two encoders swapped": Altered(swapped, "encoder.safetensors: its bytes differ from the manifest"),
    "a point of a training curve": Altered(a_point, "curve.csv: its bytes differ from the manifest"),
    "a split": Altered(
        lambda results: byte(results / "demo/splits/xsub_test.npy"), "xsub_test.npy: its bytes differ from the manifest"
    ),
    "the label of a clip": Altered(
        edit("demo/clips/clips.csv", "wave", "wove"), "clips.csv: its bytes differ from the manifest"
    ),
    "the settings beside an encoder": Altered(
        lambda results: byte(results / METHOD / "settings.yaml"), "settings.yaml: its bytes differ from the manifest"
    ),
    "the seed in a record": Altered(
        edit(f"{METHOD}/record.json", '"seed": 0', '"seed": 1'), f"{METHOD}/record.json: the record was changed"
    ),
    "a digest in a record, the record's digest recomputed": Altered(
        a_digest, f"{METHOD}/record.json: its bytes differ from the manifest"
    ),
    "a file removed": Altered(
        lambda results: (results / "figures/fig4.png").unlink(), "fig4.png: gone, although the manifest lists it"
    ),
    "a file added": Altered(lambda results: (results / "more.csv").touch(), "more.csv: the manifest does not list it"),
    "a folder renamed": Altered(renamed, "gone, although the manifest lists it"),
    "an entry of the ledger removed": Altered(
        lambda results: entry(results).unlink(), "its numbers are not in the ledger"
    ),
    "an entry of the ledger changed": Altered(lambda results: byte(entry(results)), "the ledger's entry was changed"),
    "the manifest": Altered(emptied, f"{MANIFEST} was changed or is damaged: unpack the archive again", code=2),
    "a digit of a table's csv, the manifest's digest recomputed": Altered(
        sealed(a_cell, TABLE), f"results/{TABLE}: its bytes differ from its record"
    ),
    "a cell": Altered(a_cell, "the table says value 99.5, its results give", forged=True),
    "a page": Altered(
        edit("tables/table2.html", "STARS", "OURS"), "table2.html does not show its results", forged=True
    ),
    "metrics and table": Altered(higher, f"results/{KNN}/metrics.json says top1", forged=True),
    "labels": Altered(relabelled, "another action than results/demo/clips/clips.csv", forged=True),
    "predictions and metrics": Altered(guessed, "; run again it is", forged=True),
    "features": Altered(other_features, "; run again it is", forged=True),
    "a training curve": Altered(a_point, "", forged=True, code=0),
    "two encoders": Altered(swapped, "", forged=True, code=0),
}


def forge(results: Path) -> None:
    """Records, ledger and manifest as if the files had been made as they are now."""
    for _ in range(6):  # records of later stages name those of earlier ones
        for record in Lineage.read(results).records:
            path = results.parent / record.path
            told = json.loads(path.read_text())
            for file, one in told["outputs"].items():
                if (path.parent / file).is_file():
                    one["sha256"] = sha256(path.parent / file)
            for one in told["inputs"].values():
                if (results.parent / one["path"]).is_file():
                    one["sha256"] = sha256(results.parent / one["path"])
            path.write_text(json_text({**told, "seal": seal(told)}))
    shutil.rmtree(results / "ledger")
    for record in Lineage.read(results).records:
        if record.path.parent / ledger.METRICS in record.outputs:
            ledger.add(results.parent / record.path.parent, record.told)
    told = json.loads((results / MANIFEST).read_text())
    kept = {name for name in told["files"] if "/ledger/" not in name}
    kept |= {f"results/ledger/{path.name}" for path in ledger.files(results)}
    told["files"] = {name: sha256(results.parent / name) for name in sorted(kept)}
    (results / MANIFEST).write_text(json_text({**told, "seal": seal(told)}))


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, str]) -> Path:
    """An archive of a manifest and these."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in ((f"results/{MANIFEST}", "{}"), *entries):
            file.writestr(name, text)
    return path


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return entry


def cut_off(archive: Path, out: Path) -> Path:
    data = archive.read_bytes()
    out.write_bytes(data[: len(data) // 2])
    return out


def flipped(archive: Path, out: Path) -> Path:
    """A bit in the middle, where files lie."""
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    out.write_bytes(data)
    return out


# Archives themselves: what is made of (a good one, the path to write)
ARCHIVES: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "a file that leads out, `results/../../evil`": (
        lambda good, out: zipped(out, ("results/../../evil.txt", "x")),
        "which lies outside of its folder: unpack nothing of it",
    ),
    "an absolute path": (
        lambda good, out: zipped(out, ("/evil.txt", "x")),
        "which lies outside of its folder: unpack nothing of it",
    ),
    "a path with backslashes": (
        lambda good, out: zipped(out, ("results\\..\\evil.txt", "x")),
        "which lies outside of its folder: unpack nothing of it",
    ),
    "a path with a drive": (
        lambda good, out: zipped(out, ("C:/evil.txt", "x")),
        "which lies outside of its folder: unpack nothing of it",
    ),
    "a symbolic link": (
        lambda good, out: zipped(out, (link("results/evil"), "/etc")),
        "which is a link or a device: unpack nothing of it",
    ),
    "two folders": (lambda good, out: zipped(out, ("other/file", "x")), "or has more than one folder"),
    "cut off in the middle": (cut_off, "is not a zip that can be unpacked"),
    "a bit within": (flipped, "is not a zip that can be unpacked"),
}


def verdict(archive: Path) -> tuple[int, str, list[str]]:
    """Exit code, the last of the five lines, and a line for each finding."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(["verify", str(archive)])
    return code, out.getvalue().strip().rpartition("\n")[2], err.getvalue().splitlines()


def tried(archive: Path, folder: Path, altered: Altered) -> tuple[int, str, list[str]]:
    """The verdict on an archive that was unpacked into an empty folder and altered."""
    results = unpack(archive, folder)
    altered.alter(results)
    if altered.forged:
        forge(results)
    return verdict(results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    chosen = parser.parse_args()
    missed = []
    with tempfile.TemporaryDirectory() as temporary:
        archive = Path(temporary) / "run.zip"
        pack(chosen.results, archive)
        os.chdir(temporary)
        rows = {"untouched": verdict(archive)}
        for name, (make, _) in ARCHIVES.items():
            rows[name] = verdict(make(archive, Path(temporary) / "other.zip"))
        for name, altered in ALTERED.items():
            with tempfile.TemporaryDirectory(dir=temporary) as folder:
                rows[f"{name}, all digests recomputed" if altered.forged else name] = found = tried(
                    archive, Path(folder), altered
                )
                missed += [name] * (
                    found[0] != altered.code or not any(altered.said in line for line in found[2] or [""])
                )
    for name, (code, line, wrong) in rows.items():
        print(f"{name} | {line} | {wrong[0] if wrong else ''} | {code}", flush=True)
    print(*(f"not as expected: {name}" for name in missed), sep="\n")
    raise SystemExit(bool(missed))


if __name__ == "__main__":
    main()
