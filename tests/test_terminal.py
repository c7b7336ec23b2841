"""What a run says on the terminal: a line a job with its reason, the time left, and of a failure what the job said;
the log keeps the rest.
"""

import io
import logging
import re
from types import SimpleNamespace

import pytest
from tiny import CONFIG, messages, project, snakemake

from stars.cli.terminal import REASONS, Terminal, install, one_line, reason
from stars.plan.duration import left

TOLD = re.compile(r"\[ *(\d+)/(\d+)  \d\d:\d\d(  about \d\d:\d\d left)?\]  \S.* \(\S+( \S+){0,2}\)")
WORDS = {
    "Forced execution": "forced",
    "Missing output files: a.npy, b.json; Input files updated by another job: c": "missing",
    "Input files updated by another job: c; Code has changed since last execution": "code changed",
    "Updated input files: c": "input changed",
    "Set of input files has changed since last execution": "input changed",
    'Updated input files: c; Params have changed since last execution: x before: {"lr": 0.1},9f3a now: {"lr": 0.2},77aa ': (
        "settings changed"
    ),
    "Params have changed since last execution: x before: 9f3a now: 77aa ": "code changed",
    "Rules with neither input nor output files are always executed.": "always",
}


@pytest.mark.parametrize(("told", "words"), WORDS.items())
def test_a_reason_is_at_most_three_words(told, words):
    assert reason(told) == words
    assert all(len(words.split()) <= 3 for words in REASONS.values())


def test_an_error_of_ours_is_one_line_and_another_is_as_snakemake_tells_it():
    text = (
        'WorkflowError in file "/a/workflow/rules/common.smk", line 32:\nunknown key x\n  File'
        ' "/a/workflow/rules/common.smk", line 32, in <module>'
    )
    assert one_line(text) == "stars: unknown key x"
    asked = (
        'InputFunctionException in rule u in file "/a/t.smk", line 47:\nError:\n  WorkflowError:\n    no target'
        " y\nWildcards:\n  name=y\nTraceback:"
    )
    assert one_line(asked) == "stars: no target y"
    other = "MissingRuleException:\nNo rule to produce z"
    assert one_line(other) == other


def workflow(remote: bool = False, keep_going: bool = False, **output: bool) -> SimpleNamespace:
    """What a `Terminal` asks of Snakemake's workflow."""
    return SimpleNamespace(
        rules=[SimpleNamespace(name="knn", output=["x"]), SimpleNamespace(name="targets", output=[])],
        logger_manager=SimpleNamespace(get_logfile=lambda: []),
        output_settings=SimpleNamespace(**{"printshellcmds": False, "verbose": False, "debug_dag": False, **output}),
        execution_settings=SimpleNamespace(keep_going=keep_going),
        cores=1,
        global_resources={"gpu": SimpleNamespace(value=None)},
        is_main_process=True,
        dryrun=False,
        remote_exec=remote,
    )


@pytest.fixture
def screen():
    return io.StringIO()


@pytest.fixture
def logger(screen):
    """As Snakemake's, with its handler of the terminal."""
    logger = logging.Logger("test")
    shown = logging.StreamHandler(screen)
    shown.name = "DefaultStreamHandler"
    logger.addHandler(shown)
    return logger


def start(logger: logging.Logger, number: int) -> None:
    about = {"event": "job_info", "jobid": number, "rule_msg": f"KNN: {number}", "rule_name": "knn", "output": ["x"]}
    logger.info("start", extra={**about, "reason": "Missing output files: x"})


def test_the_time_left_is_the_expected_one_by_the_measured_pace(logger, screen, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("stars.cli.terminal.time.monotonic", lambda: now[0])
    terminal = install(logger, workflow())
    logger.info("table", extra={"event": "run_info", "stats": {"knn": 3, "targets": 1, "total": 4}})
    terminal.expected = {1: 60.0, 2: 60.0, 3: 1200.0}
    start(logger, 1)
    now[0] += 230  # for 60, and of these 10 are assumed to be as expected
    logger.info("done", extra={"event": "job_finished", "job_id": 1})
    start(logger, 2)
    start(logger, 2)  # a second attempt
    logger.info("Select jobs to execute...")
    logger.warning("Snakemake warns")
    assert screen.getvalue().splitlines() == [
        "3 jobs. Logs: results/logs. Epoch and loss: stars status",
        "[1/3  00:00  about 22:00 left]  KNN: 1 (missing)",
        "[2/3  03:50  about 1:12:00 left]  KNN: 2 (missing)",
        "Snakemake warns",
    ]


def test_the_time_left_follows_the_measured_pace_the_cores_and_the_longest_chain():
    expected = {1: 10.0, 2: 20.0, 3: 100.0, 4: 30.0}
    quarter = dict.fromkeys(expected, 0.25)
    assert left(expected, {}, {}, {}, {}) == 160
    assert left(expected, {}, quarter, {}, {}) == 100  # job 3 alone takes longer than its share
    assert left(expected, {4: [3], 3: [1]}, quarter, {}, {}) == 140
    assert left(expected, {}, {**quarter, 3: 0.75}, {}, {}) == 100 and left(expected, {}, {4: 0.5}, {}, {}) == 145
    assert left(expected, {}, {}, {1: 30.0}, {}) == 2 * 150  # (30 + PRIOR) / (10 + PRIOR)
    assert left(expected, {}, {}, {1: 30.0}, {2: 15.0}) == 2 * 150 - 15
    assert left(expected, {}, {}, {}, {2: 80.0}) == 3 * 140  # the ratio of a job that is late
    assert left(expected, {}, {}, {}, {2: 80.0, 3: 0.0}) == 3 * 140  # however many have just started
    assert left(expected, {}, {}, {1: 0.0}, {2: 5.0}) == pytest.approx(0.5 * 150 - 5)
    assert left(expected, {}, {}, dict.fromkeys(expected, 1.0), {}) == 0


def test_a_job_takes_its_share_of_the_cores_or_of_the_gpus(logger):
    given = workflow()
    given.cores, given.global_resources["gpu"].value = 64, 4
    terminal = install(logger, given)
    jobs = (SimpleNamespace(threads=threads, resources={"gpu": gpu}) for threads, gpu in ((1, 0), (8, 1), (64, 2)))
    assert [terminal._share(job) for job in jobs] == [1 / 64, 1 / 4, 1]


def test_jobs_elsewhere_may_have_waited_in_a_queue(logger, monkeypatch):
    monkeypatch.setattr("stars.cli.terminal.time.monotonic", lambda: 0.0)
    terminal = install(logger, workflow(remote=True))
    terminal.expected = {1: 60.0, 2: 60.0, 3: 60.0}
    terminal.begun, terminal.done = {1: 0.0, 2: 0.0}, {1: 36000.0}
    assert terminal._left(36000.0) == 120


def test_a_run_ends_with_what_to_look_at(logger, screen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    install(logger, given := workflow())
    given.cores = 4
    logger.info("table", extra={"event": "run_info", "stats": {"knn": 3, "targets": 1, "total": 4}})
    start(logger, 1)
    logger.info("Elapsed time: 1")
    (tmp_path / "results/ledger").mkdir(parents=True)
    (tmp_path / "results/tables").mkdir()
    for name in ("ledger/a.json", "tables/table2.csv"):
        (tmp_path / "results" / name).touch()
    about = {"event": "job_info", "jobid": 2, "rule_msg": "Report", "rule_name": "report_page", "reason": ""}
    logger.info("start", extra={**about, "output": ["results/report/index.html"]})
    logger.info("Elapsed time: 1")
    said = screen.getvalue().splitlines()
    assert said[0] == "3 jobs. Logs: results/logs. Epoch and loss: stars status"
    assert said[2] == "3 jobs done in 00:00" and said[3].startswith("[2/3")
    assert said[-1] == "Page: results/report/index.html. Numbers: stars results. What changed: stars history"


def test_a_job_elsewhere_has_its_line_when_it_is_done_and_a_failure_when_the_rest_goes_on(logger, screen):
    install(logger, workflow(remote=True, keep_going=True))
    for number in (1, 2):
        start(logger, number)
    assert screen.getvalue() == ""
    logger.info("done", extra={"event": "job_finished", "job_id": 2})
    logger.error("error", extra={"event": "job_error", "jobid": 1})
    logger.info("Trying to restart job 1.")
    said = screen.getvalue().splitlines()
    assert said[0].endswith("KNN: 2 (missing)") and said[1:] == [
        "failed (other jobs continue): KNN: 1 (missing)",
        "retrying: KNN: 1 (missing)",
    ]


@pytest.mark.parametrize("option", ["printshellcmds", "verbose", "debug_dag"])
def test_snakemake_s_own_words_remain_where_they_are_asked_for(logger, option):
    assert install(logger, workflow(**{option: True})) is None
    assert not any(isinstance(handler, Terminal) for handler in logger.handlers)


def test_a_dry_run_is_a_line_a_job_and_its_table(tmp_path):
    done = snakemake(project(tmp_path / "project"), "--dry-run")
    assert done.returncode == 0, done.stderr
    jobs, table = done.stdout.split("\nJob stats:\n")
    lines = jobs.splitlines()
    assert messages(done.stdout) == [line.removesuffix(" (missing)") for line in lines] and len(set(lines)) == len(
        lines
    )
    assert len(lines) + 1 == int(re.search(r"(?m)^total +(\d+)$", table)[1])  # and the target
    assert max(map(len, done.stdout.splitlines())) < 100


def test_a_run_that_fails_ends_with_the_job_s_own_lines_and_its_log_keeps_the_command(tmp_path):
    folder = project(tmp_path / "project")
    (folder / "bad.zip").write_text("not a zip")
    (folder / "bad.yaml").write_text("data: {demo: {raw: bad.zip, simulate: null}}")
    done = snakemake(folder, config=(CONFIG, "bad.yaml", "--", "results/demo/clips/frames.npy"))
    assert done.returncode == 1 and max(map(len, done.stderr.splitlines())) < 200
    told = [line for line in done.stderr.splitlines() if line.startswith("[")]
    assert len(told) == 1 and TOLD.fullmatch(told[0]) and "Read raw files: demo (missing)" in told[0]
    lines = done.stderr[done.stderr.index("failed: Read raw files: demo\n") :].splitlines()
    assert lines[1] == "  results/logs/ingest/demo.log" and lines[2].startswith(
        "    stars: bad.zip is not a readable zip archive"
    )
    assert lines[-2].startswith("  hint: ") and lines[-1].startswith("Complete log(s): ") and len(lines) == 5
    assert "{" not in done.stderr and "Error" not in done.stderr
    (log,) = folder.glob(".snakemake/log/*.log")
    assert (
        "Shell command: stars ingest --raw bad.zip" in log.read_text()
        and "Reason: Missing output files: " in log.read_text()
    )
