"""`stars verify`: an untouched archive passes, an altered one does not, and nothing that it holds leaves its folder."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import altered as altered_archive
import pytest
from altered import ALTERED, ARCHIVES, KNN, zipped
from tiny import ROOT

from stars import cli
from stars.audit.pack import pack
from stars.audit.unpack import unpack
from stars.errors import InputError
from stars.provenance.files import json_text, sha256
from stars.provenance.lineage import seal


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


@pytest.mark.parametrize("name", ALTERED)
def test_what_was_altered_is_named(archive, tmp_path, name):
    altered = ALTERED[name]
    code, line, wrong = altered_archive.tried(archive, tmp_path, altered)
    assert code == altered.code and (not altered.said or any(altered.said in one for one in wrong)), wrong
    assert line.startswith({0: "verdict   VERIFIED", 1: "verdict   NOT VERIFIED", 2: ""}[code])


def test_a_forgery_leaves_no_digest_to_be_found_by(archive, tmp_path, capsys):
    results = unpack(archive, tmp_path)
    altered_archive.a_cell(results)
    altered_archive.forge(results)
    assert "all match the records and the manifest" in verdict(results, capsys)[1]


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_is_damaged_or_reaches_out_is_refused_whole(archive, tmp_path, name):
    make, said = ARCHIVES[name]
    path = make(archive, tmp_path / "evil.zip")
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match=re.escape(said)):
        unpack(path, tmp_path / "in")
    code, line, wrong = altered_archive.verdict(path)
    assert code == 2 and line == "" and len(wrong) == 1 and said in wrong[0]
    assert [path.name for path in tmp_path.rglob("evil*")] == ["evil.zip"]


def test_the_manual_s_table_is_of_these():
    page = (ROOT / "docs/audit.md").read_text()
    rows = [
        line.strip("| ").split(" | ")
        for line in page.split("| what was altered |")[1].split("\n\n")[0].splitlines()[2:]
    ]
    told = {name: (said.strip("`").strip("…"), int(code)) for name, said, code in rows}
    expected = {name: (said, 2) for name, (_, said) in ARCHIVES.items()}
    for name, altered in ALTERED.items():
        expected[f"{name}, all digests recomputed" if altered.forged else name] = (
            altered.said or "VERIFIED",
            altered.code,
        )
    assert told.pop("nothing") == ("VERIFIED", 0)
    assert told == expected


def test_as_much_as_deflate_can_do_is_not_refused_for_its_size(tmp_path):
    (tmp_path / "in").mkdir()
    unpack(zipped(tmp_path / "zeros.zip", ("results/zeros", "\0" * 50_000_000)), tmp_path / "in")


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
