"""What Snakemake re-runs after a change: exactly what docs/rebuild.md says, which is read and tried row by row."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from browser import CHROMIUM, browser
from tiny import CONFIG, ROOT, asked, planned, project, snakemake

from stars.audit.check import audit
from stars.pipeline.configuration import merge, read_yaml
from stars.provenance.lineage import Lineage

DOCS = ROOT / "docs/rebuild.md"
STARTS = 8  # most that planning may take, in starts of Snakemake: 10 s where one takes 1.25


def rows() -> list[tuple[str, str]]:
    """(change, what re-runs) of each row of the page's first table."""
    table = DOCS.read_text().split("## ")[0]
    return [
        tuple(cell.strip() for cell in line.strip("|").split(" | "))
        for line in table.splitlines()
        if line.startswith("| `")
    ]


def changes(text: str) -> dict:
    """`a.b: value` for each code span that sets a key."""
    found = {}
    for span in re.findall(r"`([\w.]+: [^`]+)`", text):
        key, _, value = span.partition(": ")
        for name in reversed(key.split(".")):
            value = {name: value if isinstance(value, dict) else yaml.safe_load(value)}
        found = merge(found, value)
    return found


def jobs(text: str) -> set[str]:
    """ "knn (mamp, stars), draw_fig4" → {"knn (mamp)", "knn (stars)", "draw_fig4"}."""
    found = re.findall(r"(\w+)(?: \(([^)]*)\))?", text) if text != "nothing" else []
    return {f"{rule} ({one})" if one else rule for rule, many in found for one in many.split(", ")}


@pytest.mark.parametrize(("change", "rerun"), rows(), ids=[re.sub(r"[`|]", "", change)[:40] for change, _ in rows()])
def test_exactly_what_the_page_says_re_runs(finished, tmp_path, request, change, rerun):
    described = re.search(r"in `(config/datasets/\S+)`", change)
    if described:
        folder = request.getfixturevalue("own")
        path = folder / described[1]
        path.write_text(yaml.safe_dump(merge(read_yaml(path), changes(change)), sort_keys=False))
        assert planned(folder) == jobs(rerun)
    else:
        changed = tmp_path / "changed.yaml"
        changed.write_text(yaml.safe_dump(changes(change)))
        assert planned(finished, changed) == jobs(rerun)


def test_the_page_has_the_changes_that_matter():
    text = " ".join(change for change, _ in rows())
    for key in (
        "tune.optimiser.lr",
        "knn.k",
        "pretrain.motion.ratio",
        "fig4.classes",
        "seeds",
        "methods.",
        "splits.",
        "compute.threads",
    ):
        assert f"`{key}" in text
    assert len(rows()) >= 14


def test_a_second_run_does_nothing_nor_does_one_after_touching_the_configuration(own):
    before = {path: path.stat().st_mtime_ns for path in (own / "results").rglob("*")}
    for path in (own / "config").rglob("*.yaml"):
        os.utime(path)
    published = own / "config/published"
    os.utime(published / "table1.csv")  # an input of the table, but its content is the same
    with within(STARTS):
        done = snakemake(own)
    output = done.stdout + done.stderr
    assert done.returncode == 0 and "Nothing to be done" in output and "earlier version" not in output
    assert {path: path.stat().st_mtime_ns for path in (own / "results").rglob("*")} == before


def test_a_copy_whose_files_all_have_new_times_re_runs_nothing(own):
    """As `cp -r` or a checkout leaves them: what was made first may be the newest. Among them is one of more than
    Snakemake's own limit, 1 MB.
    """
    paths = sorted(path for path in own.rglob("*") if path.is_file() and ".snakemake" not in path.parts)
    assert max(path.stat().st_size for path in paths) > 1_000_000
    for path in paths[::-1]:
        os.utime(path)
    assert planned(own) == set()


def test_snakemake_s_own_report_has_every_result_with_its_caption_and_needs_no_network(own, monkeypatch):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody answers there
    done = snakemake(own, "--report", "report.html")
    assert done.returncode == 0, done.stderr
    text = (own / "report.html").read_text()
    for file in (
        "tables/table1.html",
        "tables/table2.html",
        "figures/fig4.svg",
        "figures/fig6.svg",
        "demo_xsub/curves.svg",
    ):
        assert f"results/{file}" in text, file
    for file in ("demo/quality/index.html", "report/index.html"):
        assert f"results/{file}" in text, file
    for caption in ("table", "fig4", "fig6", "curves", "quality", "page", "workflow"):
        words = re.sub(r"^Table {{.*?}} ", "", (ROOT / f"workflow/report/{caption}.rst").read_text())
        assert re.split(r"{{|[*`'\n]", words)[0].strip() in text, caption
    if CHROMIUM:
        with browser() as page:
            page.open(own / "report.html")
            page.wait("document.body.innerText.includes('From raw skeleton files')")
            assert page.requests == []


def test_another_branch_re_runs_what_it_changes_and_the_way_back_nothing(own):
    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=n", "-c", "user.email=e", *words], cwd=own, check=True, capture_output=True
        )

    (own / ".gitignore").write_text("results\n.snakemake\n")
    git("init", "-b", "main")
    git("add", ".")
    git("commit", "-m", "one")
    git("checkout", "-b", "other")
    for path, text in ((own / CONFIG, "\nfig4: {classes: 2}\n"), (own / "workflow/rules/tune.smk", "\n# changed\n")):
        path.write_text(path.read_text().replace("\nfig4:\n  classes: 3\n", "") + text)
    git("commit", "-am", "two")
    assert planned(own) == {"draw_fig4", "report_page"}
    git("checkout", "main")
    assert planned(own) == set()


def test_a_protocol_waits_for_a_head_s_features_that_were_lost(own):
    for file in (
        "demo_xsub/stars/features/demo_test_projector.npy",
        "demo_xsub/stars/knn/metrics.json",
        "tables/table2.csv",
    ):
        (own / "results" / file).unlink()
    assert {"embed (stars)", "knn (stars)"} <= planned(own)


def edited(folder: Path, module: str) -> Path:
    """A copy of the package with a line added to one of its modules."""
    shutil.copytree(ROOT / "stars", folder / "stars", ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "stars" / module).open("a") as file:
        file.write("\n# changed\n")
    return folder


def test_a_change_of_a_protocol_s_source_repeats_the_protocol(finished, tmp_path):
    package = edited(tmp_path / "package", "evaluation/knn.py")
    assert planned(finished, package=package) == jobs(
        "knn (scratch, mamp, stars), few_shot (mamp, stars), table (2), draw_fig6, report_page"
    )


def test_a_change_in_the_reading_of_raw_files_keeps_all_that_was_trained(finished, tmp_path):
    done = snakemake(finished, "--dry-run", package=edited(tmp_path / "package", "data/denoise.py"))
    output = done.stdout + done.stderr
    assert (
        "results/demo/clips: made by an earlier version of stars.ingest; kept" in output
        and "Nothing to be done" in output
    )


def test_a_change_of_a_training_s_source_only_warns_unless_told_to_rebuild(finished, tmp_path):
    package = edited(tmp_path / "package", "objectives/nnclr.py")
    done = snakemake(finished, "--dry-run", package=package)
    output = done.stdout + done.stderr
    assert (
        "results/demo_xsub/stars: made by an earlier version of"
        " stars.training.tune+stars.objectives.nnclr+stars.backbones.transformer; kept" in output
    )
    assert "Nothing to be done" in output and "demo_xsub/mamp:" not in output
    advice = (
        next(line for line in output.splitlines() if "demo_xsub/stars: made by" in line)
        .partition("To rebuild it, add ")[2]
        .partition(" to your command;")[0]
    )
    again = snakemake(finished, "--dry-run", *advice.split(), package=package)
    assert "Stage 2, contrastive tuning: demo xsub stars (forced)" in again.stdout.splitlines()
    rebuild = tmp_path / "rebuild.yaml"
    rebuild.write_text("code_changes: rebuild")
    assert "tune (stars)" in planned(finished, rebuild, package=package)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("tune: {optimizer: {lr: 0.1}}", "unknown key tune.optimizer: did you mean optimiser?"),
        (
            "knn: {k: [1, 5, 10, 99]}",
            "knn.k asks for 99 neighbours, but demo_xsub has at most 32 training clips: lower knn.k",
        ),
        ("claims: {file: none.yaml}", "configuration file none.yaml does not exist: give the path of a .yaml file"),
        ("report: {shows: [tabel2]}", "report.shows: no table or figure tabel2: did you mean table2?"),
        ("targets: [tabel2]", "targets: no target tabel2: did you mean table2?"),
        (
            "{targets: [transfer], transfer: {pairs: []}}",
            "targets: transfer: the configuration has nothing for it: give transfer.pairs",
        ),
        (
            (
                "{transfer: {pairs: []}, few_shot: {pairs: []}, data: {demo: {dataset: utd_mhad, simulate: null, raw:"
                " nowhere, splits: [xsub]}}}"
            ),
            (
                "UTD-MHAD: no raw files at nowhere: download the data set from"
                " https://personal.utdallas.edu/~kehtar/UTD-MHAD.html and set data.demo.raw to its folder or zip"
            ),
        ),
        (
            "data: {demo: {simulate: null, raw: nowhere/raw}}",
            (
                "Simulated: no raw files at nowhere/raw: set data.demo.simulate instead of data.demo.raw, "
                "or name the zip that `stars simulate` writes"
            ),
        ),
    ],
)
def test_a_mistake_stops_before_any_job_with_a_line_that_says_what_to_do(tmp_path, changed, message):
    folder = project(tmp_path / "project")
    (tmp_path / "changed.yaml").write_text(changed)
    done = snakemake(folder, config=(CONFIG, tmp_path / "changed.yaml"))
    assert done.returncode == 1 and "Traceback (most recent" not in done.stderr
    assert sum(message in line for line in done.stderr.splitlines()) == 1
    assert not (folder / "results").exists()


def test_clips_of_other_raw_files_do_not_stand_in_for_those_that_are_missing(own, tmp_path):
    (tmp_path / "elsewhere.yaml").write_text("data: {demo: {simulate: null, raw: nowhere/raw}}")
    done = snakemake(own, "--dry-run", config=(CONFIG, tmp_path / "elsewhere.yaml"))
    assert done.returncode == 1 and "Simulated: no raw files at nowhere/raw" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--configfile", "config/nine.yaml"],
            "stars: configuration file config/nine.yaml does not exist: give the path of a .yaml file",
        ),
        (
            ["--configfile", CONFIG, "table2"],
            "stars: configuration file table2 does not exist: give the path of a .yaml file, and put targets",
        ),
        (["--config", "table2", "--configfile", CONFIG], "stars: --config table2: expected key=value"),
        (
            ["--config", "tune.nnclr.temperature=0.1"],
            "stars: --config tune.nnclr.temperature=0.1: Snakemake takes a key of a block as --config"
            " 'tune={nnclr: {temperature: 0.1}}'",
        ),
        (["tabel2", "--configfile", CONFIG], "no target tabel2: did you mean table2?"),
        (
            ["few_shot", "--configfile", CONFIG, "--config", 'few_shot={"pairs": []}'],
            "targets: few_shot: the configuration has nothing for it",
        ),
    ],
)
def test_what_snakemake_is_asked_wrongly_gets_a_line_too(tmp_path, arguments, message):
    done = asked(project(tmp_path / "project"), *arguments)
    assert done.returncode == 1 and "Traceback (most" not in done.stderr
    assert sum(message in line for line in done.stderr.splitlines()) == 1


def test_a_protocol_is_a_target_by_name(finished):
    done = snakemake(finished, "--dry-run", config=(CONFIG, "--", "few_shot", "knn"))
    assert done.returncode == 0 and "Nothing to be done" in done.stdout + done.stderr
    done = snakemake(finished, "--dry-run", "--forcerun", "evaluate_knn", config=(CONFIG, "--", "knn"))
    assert set(re.findall(r"(?m)^evaluate_knn +(\d+)$", done.stdout)) == {"3"}


def test_an_override_s_mistake_is_not_said_of_the_file(tmp_path):
    done = snakemake(project(tmp_path / "project"), "--dry-run", "--config", "tune={optimizer: {lr: 0.1}}")
    assert (
        done.returncode == 1
        and "stars: --config tune: unknown key tune.optimizer: did you mean optimiser?"
        in (done.stdout + done.stderr).splitlines()
    )


def test_an_override_keeps_types_and_quotes(tmp_path):
    given = ["tune={nnclr: {views: 2, temperature: 0.5}}", 'methods={stars: {title: "2024"}}']
    done = snakemake(project(tmp_path / "project"), "--dry-run", "--printshellcmds", "--config", *given)
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr
    assert '"views": 2' in told and '"temperature": 0.5' in told and '"2024"' in told


def test_a_job_that_fails_shows_its_line_and_the_rest_is_kept(own):
    raw = own / "results/demo/raw.zip"
    raw.write_bytes(raw.read_bytes()[:5000])
    kept = own / "results/demo_xsub/stars/encoder.safetensors"
    before = kept.read_bytes()
    done = snakemake(own)
    assert done.returncode == 1
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip().startswith("stars: ")]
    assert len(lines) == 1 and "results/demo/raw.zip is not a readable zip archive" in lines[0]
    assert kept.read_bytes() == before


def test_a_training_that_fails_is_not_taken_for_one_that_made_nothing(own, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "changed.yaml").write_text("{compute: {device: cuda}, checkpoint: {seconds: 0.5}}")
    target = "results/demo_xsub/mamp/linear/metrics.json"
    done = snakemake(
        own,
        "--printshellcmds",
        "--forcerun",
        "evaluate_linear",
        config=(CONFIG, tmp_path / "changed.yaml", "--", target),
    )
    assert (
        done.returncode == 1
        and "PyTorch finds no GPU" in done.stderr
        and "--checkpoint-seconds 0.5 " in done.stdout + done.stderr
    )
    assert "MissingOutput" not in done.stderr


def test_jobs_of_single_setups_make_the_same_store(finished, tmp_path):
    folder = project(tmp_path / "project")
    description = folder / "config/datasets/by_setup.yaml"
    description.write_text((folder / "config/datasets/demo.yaml").read_text() + "setups: [1, 2, 3]\n")
    (tmp_path / "changed.yaml").write_text("data: {demo: {dataset: by_setup, ingest_jobs: setup}}")
    done = snakemake(folder, "results/demo/clips/frames.npy", config=(CONFIG, tmp_path / "changed.yaml"))
    assert done.returncode == 0, done.stderr
    for file in ("frames.npy", "offsets.npy", "clips.csv", "quality.json"):
        assert (folder / "results/demo/clips" / file).read_bytes() == (
            finished / "results/demo/clips" / file
        ).read_bytes()
    assert not list((folder / "results/demo/clips/setups").glob("*/frames.npy"))  # the copies are gone
    assert not list(audit(folder / "results"))
    chain = [
        path.name for _, path, _, _ in Lineage.read(folder / "results").chain(Path("results/demo/clips/frames.npy"))
    ]
    assert "raw.zip" in chain and chain.count("part.json") == 3


def paper(folder: Path) -> Path:
    """A project folder in which the paper's raw files lie, empty."""
    project(folder)
    for name in ("ntu120", "pku2"):
        (folder / "data" / name).mkdir(parents=True)
    for name in (
        "nturgbd_skeletons_s001_to_s017.zip",
        "NTU_RGBD_samples_with_missing_skeletons.txt",
        "NTU_RGBD120_samples_with_missing_skeletons.txt",
    ):
        (folder / "data" / name).touch()
    return folder


def processor_time() -> float:
    """Seconds that processes which this one started, and which have ended, computed; a loaded machine does not
    stretch it as it does the clock's.
    """
    times = os.times()
    return times.children_user + times.children_system


def start() -> float:
    """Processor time of a process that imports what every run of the workflow imports, and does nothing."""
    before = processor_time()
    subprocess.run([sys.executable, "-c", "import snakemake.cli, stars.pipeline.configuration"], cwd=ROOT, check=True)
    return processor_time() - before


@contextmanager
def within(starts: float):
    """What runs inside takes at most so many times the processor time of a start, one before it and one after: of
    this machine, as it is now.
    """
    first, before = start(), processor_time()
    yield
    taken = processor_time() - before
    allowed = starts * (first + start()) / 2
    assert taken <= allowed, f"{taken:.1f} s of a processor, and {starts} starts are {allowed:.1f}"


def counted(done) -> dict[str, int]:
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE)
    return {rule.removeprefix("evaluate_"): int(jobs) for rule, jobs in found}


def test_the_paper_s_configuration_plans_every_table_and_figure(tmp_path):
    folder = paper(tmp_path / "project")
    with within(STARTS):
        counts = counted(snakemake(folder, "--dry-run", config=("config/paper.yaml",)))
    # Five runs: NTU's two sets have two splits each, PKU-MMD II one. 17 and 32 setups.
    # mamp, stars_3stage (with the heads that it starts from) and stars on each; on NTU-60's two four other losses, two
    # heads that these start from, and five augmentations; on the first of them local views, five decays and five
    # queues. scratch is fine-tuned on NTU alone, and so it is four.
    expected = {
        **{
            "ingest_setup": 49,
            "join": 2,
            "ingest": 1,
            "split": 5,
            "scratch": 4,
            "pretrain": 5,
            "tune": 5 * 3 + 2 * 11 + 11,
        },
        **{
            "linear": 5 * 3,
            "knn": 5 * 3 + 2 * 9 + 11,
            "finetune": 4 * 4,
            "semi": 2 * 2 * 3,
            "transfer": 2 * 3,
            "few_shot": 3,
        },
        **{"table": 11, "draw_fig1": 1, "draw_sweep": 2, "draw_fig4": 1, "draw_fig6": 1, "draw_curves": 5},
    }
    assert {rule: counts.get(rule) for rule in expected} == expected


def test_a_table_can_be_asked_for_by_its_name(tmp_path):
    counts = counted(snakemake(paper(tmp_path / "project"), "table5", "--dry-run", config=("config/paper.yaml",)))
    assert (counts["few_shot"], counts["table"], counts["pretrain"], counts["tune"]) == (
        3,
        1,
        1,
        3,
    ) and "linear" not in counts


def test_the_paper_s_configuration_plans_every_protocol(tmp_path):
    folder = paper(tmp_path / "project")
    (tmp_path / "all.yaml").write_text("targets: [finetune, semi, transfer, few_shot]")
    counts = counted(snakemake(folder, "--dry-run", config=("config/paper.yaml", tmp_path / "all.yaml")))
    # NTU's four splits; NTU-60's two and two fractions; from two data sets to PKU-II; from NTU-60 to NTU-120; scratch
    # is fine-tuned alone
    expected = {"finetune": 4 * 4, "semi": 2 * 2 * 3, "subsets": 4, "transfer": 2 * 3, "few_shot": 3, "exemplars": 3}
    assert {rule: counts[rule] for rule in expected} == expected
