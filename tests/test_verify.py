"""`stars verify`: an untouched archive passes, an altered one does not, and nothing that it holds leaves its folder."""

import json
import shutil
import stat
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stars import cli
from stars.audit.pack import pack
from stars.audit.unpack import unpack
from stars.errors import InputError
from stars.evaluation.metrics import per_class
from stars.provenance import ledger
from stars.provenance.files import json_text, sha256, write_npz
from stars.provenance.lineage import Lineage, seal

KNN = "demo_xsub/stars/knn"
METRICS, PREDICTIONS, TABLE = f"{KNN}/metrics.json", f"{KNN}/predictions.npz", "tables/table2.csv"


@pytest.fixture(scope="module")
def archive(finished, tmp_path_factory) -> Path:
    """The packed results of a whole workflow."""
    path = tmp_path_factory.mktemp("packed") / "run.zip"
    pack(finished / "results", path)
    return path


def verdict(archive: Path, capsys, *more: str) -> tuple[int, str, str]:
    """Exit code, the five lines, and what was wrong."""
    code = cli.main(["verify", str(archive), *more])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_an_untouched_archive_passes_wherever_it_is_looked_at(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, lines, wrong = verdict(archive, capsys)
    assert code == 0 and wrong == "" and len(lines.splitlines()) == 5
    assert f"sha256 {sha256(archive)}; not signed" in lines and "KNN of 3 from features: the same numbers" in lines
    assert lines.splitlines()[-1].startswith("verdict   VERIFIED")
    assert verdict(archive, capsys, "--keep", "there")[0] == 0
    Path("there/results").rename("elsewhere")
    assert verdict(Path("elsewhere"), capsys)[0] == 0
    assert verdict(archive, capsys, "--keep", "there")[0] == 0  # it is empty again
    assert cli.main(["verify", str(archive), "--keep", "there"]) == 2


def changed(text: str, old: str, new: str) -> str:
    assert old in text, old
    return text.replace(old, new)


def byte(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def higher(results: Path) -> None:
    """metrics.json of KNN by 4 percent better, wherever its first number stands."""
    path = results / METRICS
    told = json.loads(path.read_text())
    top1 = told["top1"]
    told["top1"] = told["results"][0]["top1"] = top1 + 4
    path.write_text(json_text(told))
    table = results / TABLE
    own = [line for line in table.read_text().splitlines() if METRICS in line]
    table.write_text(table.read_text().replace(own[0], own[0].replace(f"{top1},", f"{top1 + 4},").replace(f",{top1},", f",{top1 + 4},")))


def guessed(results: Path) -> None:
    """Predictions that are right, and metrics that say so."""
    path = results / PREDICTIONS
    with np.load(path) as file:
        found = dict(file)
    k = next(name for name in found if name.startswith("predicted_k"))
    found["predicted"] = found[k] = found["label"].copy()
    found["top5"][:, 0] = found["label"]
    write_npz(path, found)
    told = json.loads((results / METRICS).read_text())
    names = dict(zip(np.unique(found["label"]).tolist(), told["per_class"], strict=True))
    exact = per_class(found["predicted"] == found["label"], found["label"], names)
    told |= {"top1": 100.0, "top5": 100.0, "interval95": [100.0, 100.0], "per_class": exact}
    told["results"][0] |= {"top1": 100.0, "top5": 100.0}
    (results / METRICS).write_text(json_text(told))


def relabelled(results: Path) -> None:
    """Predictions whose labels are what was predicted."""
    with np.load(results / PREDICTIONS) as file:
        found = dict(file)
    write_npz(results / PREDICTIONS, found | {"label": found["predicted"]})


def other_features(results: Path) -> None:
    path = next((results / "demo_xsub/stars/features").glob("demo_test.npy"))
    features = np.load(path)
    np.save(path, features[::-1].copy())


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    return lambda results: (results / name).write_text(changed((results / name).read_text(), old, new)) and None


def entry(results: Path) -> Path:
    return min((results / "ledger").iterdir())


PLAIN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a cell": (lambda results: byte(results / TABLE), f"results/{TABLE}: its bytes differ from the manifest"),
    "a page": (edit("tables/table2.html", "STARS", "OURS"), "table2.html: its bytes differ"),
    "a metric": (edit(METRICS, '"runs": 1', '"runs": 2'), f"{METRICS}: its bytes differ"),
    "predictions": (relabelled, "another action than results/demo/clips/clips.csv"),
    "features": (other_features, "run again"),
    "weights": (lambda results: byte(results / "demo_xsub/mamp/encoder.safetensors"), "mamp/encoder.safetensors: its bytes differ"),
    "a setting": (edit("demo_xsub/mamp/record.json", '"seed": 0', '"seed": 1'), "mamp/record.json: the record was changed"),
    "a file gone": (lambda results: (results / "figures/fig4.png").unlink(), "fig4.png: gone"),
    "a file more": (lambda results: (results / "more.csv").touch(), "more.csv: the manifest does not name it"),
    "an entry gone": (lambda results: entry(results).unlink(), "not in the ledger"),
    "an entry changed": (lambda results: byte(entry(results)), "the ledger's entry was changed"),
    "a split": (lambda results: byte(results / "demo/splits/xsub_test.npy"), "xsub_test.npy: its bytes differ"),
    "clips": (edit("demo/clips/clips.csv", "wave", "wove"), "clips.csv: its bytes differ"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_was_altered_is_named(archive, tmp_path, capsys, name):
    alter, phrase = PLAIN[name]
    results = unpack(archive, tmp_path)
    alter(results)
    code, lines, wrong = verdict(results, capsys)
    assert code == 1 and phrase in wrong and "NOT VERIFIED" in lines.splitlines()[4]


# Every digest is made to fit: only what the numbers themselves say is left.
FORGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a cell": (lambda results: edit(TABLE, f",{first(results)},", ",99.5,")(results), "the table says value 99.5, its results give"),
    "a page": (edit("tables/table2.html", "STARS", "OURS"), "table2.html does not show what its results give"),
    "metrics and table": (higher, f"{METRICS} says top1"),
    "labels": (relabelled, "another action than results/demo/clips/clips.csv"),
    "predictions and metrics": (guessed, "run again"),
    "features": (other_features, "run again"),
}


def first(results: Path) -> str:
    """The first number of STARS in the table."""
    return str(json.loads((results / METRICS).read_text())["top1"])


@pytest.mark.parametrize("name", FORGED)
def test_what_was_forged_is_named_though_every_digest_fits(archive, tmp_path, monkeypatch, capsys, name):
    alter, phrase = FORGED[name]
    results = unpack(archive, tmp_path)
    alter(results)
    monkeypatch.chdir(tmp_path)
    forge(Path("results"))
    code, lines, wrong = verdict(results, capsys)
    assert code == 1 and phrase in wrong, wrong
    assert "all as records and manifest say" in lines, wrong


def forge(results: Path) -> None:
    """Records, ledger and manifest as if the files had been made as they are now."""
    for _ in range(6):  # records of later stages name those of earlier ones
        for record in Lineage.read(results).records:
            told = json.loads((results.parent / record.path).read_text())
            for file, one in told["outputs"].items():
                if (results.parent / record.path.parent / file).is_file():
                    one["sha256"] = sha256(results.parent / record.path.parent / file)
            for one in told["inputs"].values():
                if Path(one["path"]).is_file():
                    one["sha256"] = sha256(one["path"])
            (results.parent / record.path).write_text(json_text({**told, "seal": seal(told)}))
    shutil.rmtree(results / "ledger")
    for record in Lineage.read(results).records:
        if record.path.parent / ledger.METRICS in record.outputs:
            ledger.add(record.path.parent, record.told)
    manifest = json.loads((results / "MANIFEST.json").read_text())
    kept = {name for name in manifest["files"] if "/ledger/" not in name} | {
        f"results/ledger/{path.name}" for path in ledger.files(results)
    }
    manifest["files"] = {name: sha256(name) for name in sorted(kept)}
    (results / "MANIFEST.json").write_text(json_text({**manifest, "seal": seal(manifest)}))


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in (("results/MANIFEST.json", "{}"), *entries):
            file.writestr(name, text)
    return path


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("entry", "phrase"),
    [
        (("results/../../evil.txt", "x"), "lies outside of its folder"),
        (("/evil.txt", "x"), "lies outside of its folder"),
        (("results\\..\\evil.txt", "x"), "lies outside of its folder"),
        (("C:/evil.txt", "x"), "lies outside of its folder"),
        ((link("results/evil"), "/etc"), "a link or a device"),
        (("results/zeros", "\0" * 50_000_000), None),
        (("other/file", "x"), "more than one folder"),
    ],
)
def test_an_archive_that_reaches_out_is_refused_whole(tmp_path, capsys, entry, phrase):
    (tmp_path / "in").mkdir()
    path = zipped(tmp_path / "evil.zip", entry)
    if phrase is None:  # as much as deflate can do is not refused for its size
        unpack(path, tmp_path / "in")
        return
    with pytest.raises(InputError, match=phrase):
        unpack(path, tmp_path / "in")
    assert not list((tmp_path / "in").iterdir()) and verdict(path, capsys)[0] == 2


def test_a_record_or_manifest_that_names_files_outside_is_not_followed(archive, tmp_path, capsys):
    results = unpack(archive, tmp_path)
    path = results / KNN / "record.json"
    told = json.loads(path.read_text())
    told["inputs"]["clips"]["path"] = "results/../../../etc/passwd"
    path.write_text(json_text({**told, "seal": seal(told)}))
    code, lines, wrong = verdict(results, capsys)
    assert code == 1 and "which lies outside of the results" in wrong and "outside" in lines
    manifest = json.loads((results / "MANIFEST.json").read_text())
    manifest["files"]["results/../../secret"] = "0"
    (results / "MANIFEST.json").write_text(json_text({**manifest, "seal": seal(manifest)}))
    assert cli.main(["audit", str(results)]) == 2 and "outside of the results" in capsys.readouterr().err


@pytest.mark.parametrize("text", [b"", b"no zip", b"PK\x03\x04"])
def test_what_is_no_archive_is_one_line(tmp_path, capsys, text):
    (tmp_path / "a.zip").write_bytes(text)
    assert cli.main(["verify", str(tmp_path / "a.zip")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["verify", str(tmp_path / "none.zip")]) == 2


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen here: install OpenSSH's client")
def test_a_signature_tells_who_vouches_for_the_manifest(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(finished)
    for name in ("hers", "his"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    public = " ".join((tmp_path / "hers.pub").read_text().split()[:2])
    (tmp_path / "signers").write_text(f"ada@example.org {public}\n")
    (tmp_path / "others").write_text(f"bob@example.org {' '.join((tmp_path / 'his.pub').read_text().split()[:2])}\n")
    signed = tmp_path / "signed.zip"
    assert cli.main(["pack", "--out", str(signed), "--sign", str(tmp_path / "hers")]) == 0
    capsys.readouterr()
    code, lines, _ = verdict(signed, capsys)
    assert code == 0 and "signed with the key SHA256:" in lines
    code, lines, _ = verdict(signed, capsys, "--signers", str(tmp_path / "signers"))
    assert code == 0 and "signed by ada@example.org" in lines
    code, _, wrong = verdict(signed, capsys, "--signers", str(tmp_path / "others"))
    assert code == 1 and "signed by nobody in" in wrong
    plain = tmp_path / "plain.zip"
    assert cli.main(["pack", "--out", str(plain)]) == 0
    assert verdict(plain, capsys, "--signers", str(tmp_path / "signers"))[0] == 1
    (tmp_path / "there").mkdir()
    results = unpack(signed, tmp_path / "there")
    (results / "more.csv").touch()
    manifest = json.loads((results / "MANIFEST.json").read_text())
    manifest["files"]["results/more.csv"] = sha256(results / "more.csv")
    (results / "MANIFEST.json").write_text(json_text({**manifest, "seal": seal(manifest)}))
    code, _, wrong = verdict(results, capsys, "--signers", str(tmp_path / "signers"))
    assert code == 1 and "is not of this manifest" in wrong
