"""An encoder on files of one's own gives what the workflow gives, from every kind of file and library; and
docs/use.md does what it says.
"""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from tiny import ROOT

import stars
from stars import cli
from stars.config.reading import merge, read_yaml
from stars.errors import InputError
from stars.inference.clips import clips
from stars.inference.picture import stems

PAGE = (ROOT / "docs/use.md").read_text()
ENCODER = "results/demo_xsub/stars/encoder.safetensors"
TOLD = {"methods": {"stars": {"pretrain": {}}}, "embed": {"bodies": "present"}, "knn": {"k": [1, 3, 10]}}


def run(*words: object) -> None:
    assert cli.main([*map(str, words)]) == 0


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A project's folder with the results of an untrained encoder, its raw files in raw/, three of them as
    recordings/, nine as library/.
    """
    home = tmp_path_factory.mktemp("use") / "project"
    shutil.copytree(ROOT / "config", home / "config")
    tiny = read_yaml(ROOT / "tests/config/tiny.yaml")
    config = merge({name: tiny[name] for name in ("model", "knn")}, TOLD | {"data": {"demo": tiny["data"]["demo"]}})
    (home / "config/small.yaml").write_text(yaml.safe_dump(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        of, splits = ("--config", "config/small.yaml"), "results/demo/splits"
        run("simulate", "--out", "results/demo/raw.zip", *of)
        run("ingest", "--raw", "results/demo/raw.zip", "--out", "results/demo/clips", *of)
        run("split", "--clips", "results/demo/clips", "--out", splits, *of)
        run("scratch", "--clips", "results/demo/clips", "--out", "results/demo_xsub/stars", *of)
        rows = (
            "--train",
            f"{splits}/xsub_train.npy",
            "--test",
            f"{splits}/xsub_test.npy",
            "--clips",
            "results/demo/clips",
            "--target",
            "demo",
            *of,
        )
        features = "results/demo_xsub/stars/features"
        run("embed", *rows, "--method", "results/demo_xsub/stars", "--out", features, "--device", "cpu")
        run("knn", *rows, "--features", features, "--out", "results/demo_xsub/stars/knn")
    with zipfile.ZipFile(home / "results/demo/raw.zip") as archive:
        archive.extractall(home / "raw")
    with (home / "results/demo/clips/clips.csv").open() as table:
        kept = {row["source"] for row in csv.DictReader(table)}
    for file in {path.name for path in (home / "raw").iterdir()} - kept:  # nobody is in it
        (home / "raw" / file).unlink()
    for number, file in enumerate(sorted((home / "raw").iterdir())[:12]):
        folder = home / ("recordings" if number % 4 == 1 else f"library/{file.stem[-4:]}")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / ("kick.skeleton" if number == 1 else file.name))
    return home


@pytest.fixture
def model(home, monkeypatch) -> "stars.inference.model.Model":
    monkeypatch.chdir(home)
    return stars.load(ENCODER)


def workflow_features() -> np.ndarray:
    """Of all clips, in the order of clips.csv, which is that of their names."""
    parts = {part: np.load(f"results/demo_xsub/stars/features/demo_{part}.npy") for part in ("train", "test")}
    found = np.zeros((sum(map(len, parts.values())), 16), np.float32)
    for part, features in parts.items():
        found[np.load(f"results/demo/splits/xsub_{part}.npy")] = features
    return found


def test_features_are_the_workflow_s_to_the_last_bit(model, monkeypatch, tmp_path):
    assert model.preparation.embed.bodies == "present"
    for given in ("raw", [*map(str, sorted(Path("raw").iterdir()))]):
        assert np.array_equal(model.embed(given), workflow_features())
    expected, path = workflow_features(), Path(ENCODER).resolve()
    monkeypatch.chdir(tmp_path)  # the records' paths count from the project's folder, wherever this runs
    assert np.array_equal(stars.load(path).embed(path.parents[3] / "raw"), expected)


def test_every_kind_of_file_gives_the_same_feature(model, tmp_path):
    """What denoising kept of a `.skeleton` file, in the sensor's coordinates, written in each of the other layouts."""
    from stars.data.convert import actors

    names = [f"{joint}_{axis}" for joint in model.preparation.dataset.joints for axis in "xyz"]
    counts = set()
    for file in sorted(Path("raw").iterdir())[::9]:
        x_tmvc = actors(file.read_bytes(), file.name, model.preparation.dataset, model.preparation.ingest)
        x_tmvc = x_tmvc[:, x_tmvc.any(axis=(0, 2, 3))]
        counts.add(x_tmvc.shape[1])
        np.save(tmp_path / "a.npy", x_tmvc)
        (tmp_path / "b.json").write_text(
            json.dumps([[{"people": pose.tolist()} for pose in frame] for frame in x_tmvc.astype(float)])
        )
        with (tmp_path / "c.csv").open("w") as text:
            rows = [[frame, *pose.ravel()] for frame, bodies in enumerate(x_tmvc.astype(float)) for pose in bodies]
            csv.writer(text).writerows([["frame", *names], *rows])
        found = model.embed([tmp_path / "a.npy", tmp_path / "b.json", tmp_path / "c.csv", x_tmvc, file])
        assert np.allclose(found, found[-1], atol=1e-6) and np.abs(found).max() > 0.1
        shown = model.read([tmp_path, x_tmvc, file])
        assert all(np.array_equal(clip.x_tmvc, shown[-1].x_tmvc) for clip in shown)
    assert counts == {1, 2}


def test_predictions_are_the_workflow_s(model):
    library = model.library()
    saved = np.load("results/demo_xsub/stars/knn/predictions.npz")
    with Path("results/demo/clips/clips.csv").open() as table:
        rows = list(csv.DictReader(table))
    source = {row["name"]: f"raw/{row['source']}" for row in rows}
    action = {int(row["label"]): row["action_name"] for row in rows}
    tested = [source[name] for name in saved["name"]]
    for k in (1, 3):
        found = library.predict(tested, k)
        assert [one.label for one in found] == [action[label] for label in saved[f"predicted_k{k}"]]
        assert all(
            round(k * one.votes, 6) in range(1, k + 1) and sum(share for _, share in one.others) + one.votes <= 1 + 1e-9
            for one in found
        )
    for one, matches in zip(library.predict(tested, 3), library.search(tested, 3), strict=True):
        assert [match.rank for match in matches] == [1, 2, 3]
        assert one.votes == sum(match.label == one.label for match in matches) / 3
        best = next(match for match in matches if match.label == one.label)
        assert (one.nearest, one.similarity) == (best.name, best.similarity)


def test_a_library_is_a_folder_a_table_names_or_a_file(model, tmp_path, capsys):
    by_folder = model.library("library")
    assert set(by_folder.labels) == {path.name for path in Path("library").iterdir()} and by_folder.default_k >= 1
    flat = tmp_path / "flat"
    flat.mkdir()
    rows = ["file,label"]
    for number, path in enumerate(sorted(Path("library").rglob("*.skeleton"))):
        np.save(flat / f"{number}.npy", model.read(path)[0].x_tmvc)
        rows.append(f"{number}.npy,{path.parent.name}")
    (flat / "clips.csv").write_text("\n".join(rows))
    by_table = model.library(flat)
    run("embed", "library", "--encoder", ENCODER, "--out", tmp_path / "library.npz", "--device", "cpu")
    by_file = model.library(tmp_path / "library.npz")
    record = json.loads((tmp_path / "library.npz.record.json").read_text())
    assert record["inputs"]["encoder"]["sha256"] == model.sha256 and list(record["outputs"]) == ["library.npz"]
    expected = [(one.label, one.votes, round(one.similarity, 5)) for one in by_folder.predict("recordings", 3)]
    for library in (by_table, by_file):
        assert [
            (one.label, one.votes, round(one.similarity, 5)) for one in library.predict("recordings", 3)
        ] == expected
        assert np.array_equal(library.joints(0), by_folder.joints(0))
    own = model.library("raw")  # named as NTU's files are
    assert set(own.labels) == {"wave", "beckon", "circle arm", "shake hands"} and own.default_k == 10


def test_the_commands_print_for_people_and_programs(model, tmp_path, capsys):
    told = ("recordings", "--encoder", ENCODER, "--library", "library", "--device", "cpu")
    expected = model.library("library").predict("recordings", 2)
    run("predict", *told, "-k", 2, "--json")
    printed = json.loads(capsys.readouterr().out)
    assert [(one["clip"], one["label"], one["votes"]) for one in printed] == [
        (one.clip, one.label, one.votes) for one in expected
    ]
    run("predict", *told, "-k", 2, "--csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["clip"], row["action"], row["vote_share"]) for row in rows] == [
        (one.clip, one.label, f"{one.votes:.2f}") for one in expected
    ]
    run("predict", *told, "-k", 2)
    head, *lines = capsys.readouterr().out.splitlines()
    assert re.split(" {2,}", head) == ["clip", "action", "vote share", "rank", "nearest"] and len(lines) == len(
        expected
    )
    run("search", "recordings/kick.skeleton", *told[1:], "-k", 1, "--pictures", tmp_path / "nearest", "--csv")
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["rank"] == "1" and row["nearest"].startswith("library/")
    (picture,) = (tmp_path / "nearest").iterdir()
    assert picture.name == "kick.png" and picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    run("embed", "recordings", "--encoder", ENCODER, "--device", "cpu", "--csv")
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert np.array_equal(np.array(rows[1:])[:, 1:].astype(np.float32), model.embed("recordings"))


def test_an_encoder_by_itself_and_precisions(model, tmp_path):
    alone = tmp_path / "encoder.safetensors"
    shutil.copy(ENCODER, alone)
    with pytest.raises(InputError, match="no record beside it describes its clips: name their data set's description"):
        stars.load(alone)
    like = stars.load(alone, like="demo", precision="fp32")
    clip = sorted(Path("raw").iterdir())[0]
    assert np.array_equal(like.read(clip)[0].x_tmvc, model.read(clip)[0].x_tmvc)
    assert like.preparation.embed.bodies == "all"
    rough = stars.load(alone, like="demo", precision="bf16").embed(clip)
    assert not np.array_equal(rough, like.embed(clip)) and np.allclose(rough, like.embed(clip), atol=0.1)
    assert stars.load(alone, like="demo", precision="quicker").preparation.embed.precision in ("fp32", "bf16")
    with pytest.raises(InputError, match="trained on 25 joints, but utd_mhad has 16"):
        stars.load(alone, like="utd_mhad")


WRONG = {
    "nowhere": "nowhere does not exist: name a file, or a folder or zip of files",
    "empty": "empty contains no .skeleton, .mat, .npy, .json, .csv file: name another folder or zip",
    "config/small.yaml": "config/small.yaml: expected a file with suffix .skeleton, .mat, .npy, .json, .csv",
    "raw/short.skeleton": "raw/short.skeleton, line 1: expected the number of frames",
    "raw/empty.skeleton": "raw/empty.skeleton: no body in any frame: remove it",
    "raw/other.npy": (
        "raw/other.npy: expected (25 joints, 3) a frame, or (at most 2 bodies, 25 joints, 3), found shape (4, 21, 3)"
    ),
}


@pytest.mark.parametrize("given", WRONG)
def test_what_is_wrong_is_one_line(model, given, capsys, tmp_path):
    made = {"short.skeleton": b"x", "empty.skeleton": b"2\n0\n0\n"}.get(Path(given).name)
    path = given
    if given == "empty":
        (tmp_path / given).mkdir()
        path = str(tmp_path / given)
    if made or given.endswith(".npy"):
        path = str(tmp_path / Path(given).name)
        np.save(path, np.ones((4, 21, 3))) if given.endswith(".npy") else Path(path).write_bytes(made)
    assert cli.main(["predict", path, "--encoder", ENCODER, "--device", "cpu"]) == 2
    assert capsys.readouterr().err.replace(path, given).startswith(f"stars: {WRONG[given]}")


def test_clips_without_a_body_are_left_out_of_a_folder_with_a_line_each(model, capsys, tmp_path):
    for folder in ("recordings", "library"):
        shutil.copytree(folder, tmp_path / folder)
    action = sorted(path.name for path in (tmp_path / "library").iterdir())[0]
    for empty in (tmp_path / "recordings/empty.skeleton", tmp_path / f"library/{action}/empty.skeleton"):
        empty.write_bytes(b"2\n0\n0\n")
    told = ("--encoder", ENCODER, "--device", "cpu", "--csv")
    run("predict", "recordings", *told, "--library", "library")
    whole = capsys.readouterr()
    run("predict", tmp_path / "recordings", *told, "--library", tmp_path / "library")
    found = capsys.readouterr()
    assert not whole.err and found.out.replace(f"{tmp_path}/", "") == whole.out
    assert found.err == "".join(
        f"stars: {tmp_path}/{path}/empty.skeleton: no body in any frame: skipped\n"
        for path in (f"library/{action}", "recordings")
    )
    run("embed", tmp_path / "library", "--encoder", ENCODER, "--device", "cpu", "--out", tmp_path / "library.npz")
    kept, alike = (model.library(path) for path in (tmp_path / "library.npz", "library"))
    assert kept.labels == alike.labels and np.array_equal(kept.features, alike.features)
    assert np.array_equal(kept.joints(3), alike.joints(3))
    with pytest.warns(UserWarning, match="empty.skeleton: no body in any frame: skipped"):
        assert len(model.read(tmp_path / "recordings")) == len(model.read("recordings"))


def test_wrong_libraries_and_options_are_one_line(model, capsys, tmp_path):
    def complaint(*words: object) -> str:
        assert cli.main([*map(str, words)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    told = ("predict", "recordings", "--encoder", ENCODER, "--device", "cpu")
    np.save(tmp_path / "a.npy", np.ones((4, 25, 3)))
    assert "a.npy has no label: put it into a folder named after its action, or into clips.csv" in complaint(
        *told, "--library", tmp_path / "a.npy"
    )
    run("embed", tmp_path / "a.npy", "--encoder", ENCODER, "--device", "cpu", "--out", tmp_path / "a.npz")
    capsys.readouterr()
    assert "a.npz contains clips without a label" in complaint(*told, "--library", tmp_path / "a.npz")
    arrays = dict(np.load(tmp_path / "a.npz"))
    np.savez(tmp_path / "a.npz", **arrays | {"encoder": np.array("0")})
    assert "a.npz has features of another encoder than" in complaint(*told, "--library", tmp_path / "a.npz")
    assert "k is 1000, but the library has" in complaint(*told, "-k", "1000")
    assert "embed: files need --encoder" in complaint("embed", "recordings")
    assert "give FILE and --encoder, or, for the clips of a split, --clips, --train" in complaint(
        "embed", "--encoder", ENCODER
    )
    assert "give a name that ends in .npz" in complaint(
        "embed", "recordings", "--encoder", ENCODER, "--out", tmp_path, "--device", "cpu"
    )
    with pytest.raises(InputError, match=r"clip 0: expected an array of numbers, found object"):
        model.embed(np.array([None]))
    with pytest.raises(InputError, match="no clip with a body"):
        model.embed([])


def test_an_encoder_of_common_joints_reads_other_layouts(home, monkeypatch, tmp_path):
    """Kinect v1's file for an encoder of Kinect v2's clips: the same joints by name, as many bodies as the encoder's
    clips have.
    """
    monkeypatch.chdir(home)
    of = ("--config", "config/small.yaml", "--set", "data.demo.ingest.joints=common")
    run("ingest", "--raw", "results/demo/raw.zip", "--out", tmp_path / "clips", *of)
    run("scratch", "--clips", tmp_path / "clips", "--out", tmp_path / "encoder", *of)
    utd = {
        "data": {
            "utd": {
                "dataset": "utd_mhad",
                "simulate": {"actions": 4, "subjects": 2, "repetitions": 1, "frames": [10, 12]},
            }
        }
    }
    (tmp_path / "utd.yaml").write_text(yaml.safe_dump(utd))
    run("simulate", "--out", tmp_path / "utd", "--config", tmp_path / "utd.yaml")
    model = stars.load(tmp_path / "encoder/encoder.safetensors", like="utd_mhad")
    found = model.read(tmp_path / "utd")
    assert {clip.x_tmvc.shape[1:] for clip in found} == {(2, 16, 3)} and model.embed(tmp_path / "utd").shape == (
        len(found),
        16,
    )
    joints = list(model.preparation.dataset.joints)
    file = next(clips(found[0].name, stars.load(tmp_path / "encoder/encoder.safetensors", like="utd_mhad").preparation))
    assert np.array_equal(file.x_tmvc, found[0].x_tmvc) and len(joints) == 20


def test_pictures_of_files_of_one_name_are_several():
    assert stems(["a/1.npy", "b/1.npy", "b/kick.npy", "c/x y.npy"]) == ["a_1.npy", "b_1.npy", "kick", "x_y"]


def test_import_is_light():
    code = (
        "import sys, stars; print(sorted({'torch', 'numpy', 'pandas', 'pydantic', 'scipy', 'matplotlib'} &"
        " set(sys.modules)), stars.load.__doc__[:9])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split("\n")[0] == "[] A trained"
    code = (
        "import sys, stars.inference.library, stars.inference.model; print(sorted({'pandas', 'scipy', 'matplotlib',"
        " 'sklearn'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
        == "[]\n"
    )


def test_the_page_s_examples_run(model, capsys, monkeypatch, tmp_path):
    commands, imported, _, handed_on = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in commands.splitlines():
        run(*line.partition("#")[0].split()[1:], "--device", "cpu")
    assert "kick.skeleton" in capsys.readouterr().out and len(list(Path("nearest").iterdir())) == 3
    for line in imported.splitlines():
        run(*line.partition("#")[0].split()[1:])
    assert (
        "kick.skeleton" in capsys.readouterr().out
        and len(stars.load("imported/encoder.safetensors", like="demo").embed("library")) == 9
    )
    for line in handed_on.splitlines():
        run(*line.split()[1:])
    assert "kick.skeleton" in capsys.readouterr().out
    made = (
        "nearest",
        "library.npz",
        "library.npz.record.json",
        "imported",
        "stars.pth",
        "stars.pth.record.json",
        "hub",
        "hub.record.json",
    )
    for path in made:
        shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    scope: dict = {}
    exec(example, scope)
    assert scope["features"].shape == (3, 16) and len(capsys.readouterr().out.splitlines()) == 3
    assert "\n".join(line.strip() for line in example.splitlines()[2:4]).split("  #")[0] in stars.__doc__.replace(
        "    ", ""
    )


def test_an_exported_folder_stands_alone_and_gives_the_same_features(home, model, tmp_path, monkeypatch, capsys):
    run("export", ENCODER, "--format", "safetensors", "--out", tmp_path / "hub", "--licence", "cc-by-nc-4.0")
    expected = model.embed("recordings")
    shutil.copytree(home / "recordings", tmp_path / "elsewhere/recordings")
    monkeypatch.chdir(tmp_path / "elsewhere")  # no results, no config
    alone = stars.load(tmp_path / "hub")
    assert np.array_equal(alone.embed("recordings"), expected) and alone.preparation == model.preparation
    assert sorted(path.name for path in (tmp_path / "hub").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]
    assert (tmp_path / "hub/model.safetensors").read_bytes() == (home / ENCODER).read_bytes()
    header, _, card = (tmp_path / "hub/README.md").read_text().removeprefix("---\n").partition("---\n")
    told = yaml.safe_load(header)
    assert (told["library_name"], told["license"], told["pipeline_tag"]) == (
        "stars",
        "cc-by-nc-4.0",
        "feature-extraction",
    )
    top1 = json.loads((home / "results/demo_xsub/stars/knn/metrics.json").read_text())["top1"]
    assert f"| nearest neighbours | demo_xsub | {top1:.2f} % | 32 |" in card and "split xsub" not in card
    for file in (tmp_path / "hub").iterdir():  # nothing of the machine that made it
        assert str(home).encode() not in file.read_bytes() and str(tmp_path).encode() not in file.read_bytes()
    assert json.loads((tmp_path / "hub.record.json").read_text())["outputs"].keys() == {
        f"hub/{file.name}" for file in (tmp_path / "hub").iterdir()
    }
    with pytest.raises(InputError, match="no training clips beside its weights: name a library"):
        alone.library()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    for words, expected in (
        (
            ("export", tmp_path / "hub/model.safetensors", "--out", tmp_path / "full"),
            "is a folder with notes.txt in it: name another folder",
        ),
        (
            ("export", tmp_path / "hub/none", "--out", tmp_path / "new"),
            "none: no such file: name an encoder.safetensors",
        ),
    ):
        assert cli.main([*map(str, words), "--format", "safetensors"]) == 2 and expected in capsys.readouterr().err
    with pytest.raises(InputError, match="contains neither model"):
        stars.load(tmp_path / "full")
