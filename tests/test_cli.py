"""`stars`: bad input is one clear line on stderr with exit code 2, and loses nothing."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tiny import CONFIG

from stars import cli
from stars.pipeline.stages import STAGES
from stars.provenance.files import exclusive

TOLD = ("--config", CONFIG)
CLIPS, TRAIN, TEST = "results/demo/clips", "results/demo/splits/xsub_train.npy", "results/demo/splits/xsub_test.npy"
ROWS = ("--clips", CLIPS, "--train", TRAIN, "--test", TEST)
PATHED = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
STORE = ("frames.npy", "offsets.npy", "clips.csv", "quality.json", "record.json")


@pytest.fixture(autouse=True)
def there(finished, monkeypatch):
    monkeypatch.chdir(finished)


@pytest.fixture
def complain(capsys):
    """Run a command that must fail; its one line of complaint."""

    def run(*arguments: str) -> str:
        assert cli.main(arguments) == 2
        shown = capsys.readouterr()
        lines = [line for line in shown.err.splitlines() if not line.startswith("ingest demo: ")]  # its progress
        assert len(lines) == 1 and lines[0].startswith("stars: ") and shown.out == ""
        return lines[0].removeprefix("stars: ")

    return run


@pytest.fixture(scope="module")
def some(finished, tmp_path_factory) -> Path:
    """A folder with four raw files."""
    folder = tmp_path_factory.mktemp("some")
    with zipfile.ZipFile(finished / "results/demo/raw.zip") as archive:
        for name in archive.namelist()[:4]:
            archive.extract(name, folder)
    return folder


@pytest.fixture
def raw(some, tmp_path) -> Path:
    return Path(shutil.copytree(some, tmp_path / "raw"))


def first(raw: Path) -> Path:
    return min(raw.iterdir())


def line(number: int, old: str, new: str):
    """Change that puts `new` for the first `old` in a line, counted from 1, of the first file."""

    def change(raw: Path) -> None:
        lines = first(raw).read_text().splitlines()
        assert old in lines[number - 1]
        lines[number - 1] = lines[number - 1].replace(old, new, 1)
        first(raw).write_text("\n".join(lines))

    return change


def truncate(raw: Path) -> None:
    first(raw).write_text("\n".join(first(raw).read_text().splitlines()[:20]))


def rename(old: str, new: str):
    return lambda raw: first(raw).rename(raw / first(raw).name.replace(old, new))


def not_a_number(raw: Path) -> None:
    old = first(raw).read_text().splitlines()[4].split()[0]
    line(5, old, "nan")(raw)


BAD_RAW = {
    "missing": (shutil.rmtree, "{raw} does not exist: set data.demo.simulate instead of"),
    "empty": (
        lambda raw: [path.unlink() for path in raw.iterdir()],
        "{raw} contains no .skeleton file: set",
    ),
    "not a zip": (lambda raw: (shutil.rmtree(raw), raw.write_bytes(b"no")), "{raw} is not a readable zip archive"),
    "truncated": (truncate, "{file}, line 20: expected 25 lines of joints, found the end of the file; repair the file"),
    "wrong joint count": (
        line(4, "25", "24"),
        "{file}, line 4: expected 25 joints, found 24; repair the file, or skip such files with data.demo",
    ),
    "NaN": (not_a_number, "{file}, line 5: expected x, y and z in metres, found 'nan'; repair the file"),
    "unknown action": (
        rename("A001", "A099"),
        "action 99 is not among the data set's 20 actions: set data.demo.dataset to a description that has it",
    ),
    "unknown name": (
        rename("S001", "X001"),
        "X001C001P001R001A001.skeleton: expected a name like S001C002P003R002A013.skeleton",
    ),
}


@pytest.mark.parametrize("fault", BAD_RAW)
def test_bad_raw_files_are_named_and_the_earlier_clips_kept(complain, finished, raw, tmp_path, fault):
    out = Path(shutil.copytree(CLIPS, tmp_path / "clips"))
    before = {name: (out / name).read_bytes() for name in STORE}
    change, expected = BAD_RAW[fault]
    file = first(raw).name
    change(raw)
    message = complain("ingest", "--raw", str(raw), "--out", str(out), *TOLD)
    assert expected.format(raw=raw, file=file) in message
    assert {name: (out / name).read_bytes() for name in STORE} == before
    assert not list(out.glob(".*"))


def test_an_unknown_subject(complain, raw, tmp_path):
    shutil.copyfile(first(raw), raw / "S001C001P090R001A001.skeleton")
    message = complain(
        "ingest", "--raw", str(raw), "--out", str(tmp_path / "o"), *TOLD, "--set", "data.demo.dataset=ntu60"
    )
    assert (
        "subject 90 is not among the data set's 40 subjects: set data.demo.dataset to a description that has it"
        in message
    )


def test_a_class_without_training_clips(complain, finished, tmp_path):
    table = (finished / CLIPS / "clips.csv").read_text().splitlines()
    header = table[0].split(",")
    action, subject = header.index("action_name"), header.index("subject")
    kept = [row for row in table[1:] if row.split(",")[action] != "wave" or int(row.split(",")[subject]) % 2 == 0]
    (tmp_path / "clips.csv").write_text("\n".join([table[0], *kept]) + "\n")
    message = complain("split", "--clips", str(tmp_path), "--out", str(tmp_path), *TOLD)
    assert (
        "class wave has test clips but no training clips: complete the raw files, raise simulate.clips, or leave the"
        " class out" in message
    )


KNN = ("knn", "--features", "results/demo_xsub/mamp/features", "--target", "demo", *ROWS, "--recipe", "mamp", *TOLD)
BAD_REQUESTS = {
    "k larger than the training set": (
        ("--set", "knn.k=[1, 10, 99]"),
        f"knn.k asks for 99 neighbours, but {TRAIN} has only 32 training clips: lower",
    ),
    "unknown key": (
        ("--set", "knn.outptus=[encoder]"),
        "--set knn.outptus=[encoder]: unknown key knn.outptus: did you mean outputs?",
    ),
    "unknown value": (
        ("--set", "embed.bodies=some"),
        "--set embed.bodies=some: embed.bodies: expected 'all' or 'present', found 'some'",
    ),
    "unknown recipe": (("--recipe", "mapm"), f"--recipe mapm: not in {CONFIG}: did you mean mamp?"),
    "unknown data set": (("--data", "demos"), f"--data demos: not in {CONFIG}: did you mean demo?"),
    "missing features": (("--features", "nowhere"), "nowhere/demo_train.npy is missing: run the stage that makes it"),
    "missing configuration": (
        ("--config", "nowhere.yaml"),
        "configuration file nowhere.yaml does not exist: give the path of a .yaml file",
    ),
    "not JSON": (("--settings", "{"), "--settings: not valid JSON"),
    "wrong settings": (
        ("--settings", '{"knn": {"kk": 1}, "outputs": ["encoder"]}'),
        "settings: unknown key knn.kk: did you mean k?",
    ),
}


@pytest.mark.parametrize("fault", BAD_REQUESTS)
def test_bad_requests_are_named(complain, tmp_path, fault):
    more, expected = BAD_REQUESTS[fault]
    assert expected in complain(*KNN, "--out", str(tmp_path / "out"), *more)
    assert not (tmp_path / "out").exists()


def test_a_second_run_at_the_same_time_is_refused(complain, tmp_path):
    with exclusive(tmp_path / "record.json"):
        assert f"another run is writing {tmp_path}/record.json: wait for it to end, or stop it" in complain(
            *KNN, "--out", str(tmp_path)
        )
    assert list(tmp_path.iterdir()) == []
    assert cli.main([*KNN, "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.json", "predictions.npz", "record.json"}


def test_results_prints_our_rows_and_where_things_lie(capsys, complain, tmp_path):
    assert cli.main(["results"]) == 0
    shown = capsys.readouterr().out
    tables = shown.split("\n\n")
    assert [text.splitlines()[0] for text in tables[:2]] == [
        "Table 1, Linear evaluation protocol, this run, top-1 accuracy (%)",
        "Table 2, KNN evaluation protocol, K = 1, this run, top-1 accuracy (%)",
    ]
    assert tables[1].splitlines()[1].split() == ["demo_xsub"]
    assert [row.split()[0] for row in tables[1].splitlines()[2:]] == [
        "MAMP",
        "STARS",
        "SCRATCH",
    ]  # beside their published rows, then the others
    assert (
        "results/tables/table2.md (also .csv .html .tex)" in shown
        and "results/demo_xsub/curves.png (also .csv .svg)" in shown
    )
    assert shown.endswith(
        f"\nAll on one page: {Path('results/report/index.html').absolute().as_uri()}   (open it in a browser)\n"
    )
    assert "make them with `snakemake --cores 2`" in complain("results", str(tmp_path))


def test_an_archive_s_folder_is_the_one_with_its_manifest(complain, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/MANIFEST.json").write_text("{}")
    message = complain("audit", "--packed", str(tmp_path))
    assert message == f"{tmp_path} contains no MANIFEST.json: give the folder of the unpacked archive that contains it"


@pytest.mark.parametrize(
    "command",
    [
        *STAGES,
        "table",
        "figure",
        "plugin-protocol",
        "plugin-table",
        "inspect",
        "results",
        "import-weights",
        "export-clips",
        "config",
    ],
)
def test_help_of_every_command(capsys, command):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0 and shown.startswith(f"usage: stars {command}")
    if command in STAGES:
        assert "settings (--set key=value" in shown


def test_help_is_quick_because_nothing_heavy_is_imported():
    check = (
        "import sys\nfrom stars.cli import main\ntry: main(['--help'])\nexcept SystemExit: print(sorted({'torch',"
        " 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]") and all(command in done.stdout for command in STAGES)


def test_the_module_is_the_command(tmp_path):
    command = [sys.executable, "-m", "stars", "config", "check", "--config", CONFIG]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{CONFIG}: valid (2 data sets, 3 methods)\n")
    done = subprocess.run(
        [*command, "--set", "seed=[0]"], capture_output=True, text=True, check=False, env={**os.environ, "LANG": "C"}
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        "stars: --set seed=[0]: unknown key seed: did you mean seeds?\n",
    )


def test_an_argument_longer_than_linux_allows_comes_from_a_file(tmp_path, complain, capsys):
    """Of 35 methods and three seeds the comparison page's settings have 190 kB; a rule gives them as a file of the
    shell's, @/dev/fd/63.
    """
    long = tmp_path / "settings"
    long.write_text('{"no_such_key": "' + "x" * 200_000 + '"}')
    assert "no_such_key" in complain("comparison", "--settings", f"@{long}", "--files", "{}", "--out", str(tmp_path))
    command = f'stars comparison --settings @<(printf %s "$(cat {long})" ) --files "{{}}" --out {tmp_path}'
    done = subprocess.run(["bash", "-c", command], env=PATHED, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "no_such_key" in done.stderr and len(done.stderr) < 2000
    assert (
        complain("comparison", "--settings", "@nowhere")
        == "@nowhere: No such file or directory: give a file that contains the argument"
    )
