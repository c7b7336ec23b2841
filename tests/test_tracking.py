"""Training curves in TensorBoard: event files hold what curve.csv and logs say, follow a run, and leave what a run
makes as it is.
"""

import importlib.util
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny import CONFIG, project, snakemake

from stars import cli
from stars.errors import InputError
from stars.jobs import tracking
from stars.training.progress import Progress

installed = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None,
    reason="the extra `tracking` is not installed: pip install -e '.[tracking]'",
)
BOARD = Path("results/logs/tensorboard")


def read(board: Path) -> dict[str, dict[str, dict[int, float]]]:
    """Run → tag → step → value, as TensorBoard itself reads a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for folder in sorted({path.parent for path in board.rglob("events.*")}):
        events = EventAccumulator(str(folder))
        events.Reload()
        run = folder.relative_to(board).as_posix()
        found[run] = {
            tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]
        }
    return found


def curve(folder: str, text: str) -> None:
    Path("results", folder).mkdir(parents=True, exist_ok=True)
    Path("results", folder, "curve.csv").write_text(text)


def logged(monkeypatch, steps: range, of: int) -> str:
    """What a training's log holds after a line for each of these steps, the loss 1 / step."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Progress("pretrain", of, 4, 8) as progress:
        for step in steps:
            progress.show(step, 1 / step)
    return sys.stderr.getvalue()


@installed
def test_curves_are_shown_whole_and_written_again_only_when_they_change(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    curve("demo_xsub/mamp", "step,epoch,loss,lr,feature_std\n2,0.5,3.5,0.001,\n4,1,1.25,0.0005,0.75\n")
    curve("demo_xsub/mamp/semi/0.1", "subset,step,epoch,loss,lr\n0,1,1,2,0.1\n1,1,1,4,0.1\n")
    curve("demo_xsub/scratch", "step,epoch,loss,lr\n")
    assert cli.main(["track"]) == 0
    assert capsys.readouterr().out == f"3 trainings: tensorboard --logdir {BOARD}\n"
    lr = {2: pytest.approx(0.001), 4: pytest.approx(0.0005)}
    assert read(BOARD) == {
        "demo_xsub/mamp": {"loss": {2: 3.5, 4: 1.25}, "lr": lr, "feature_std": {4: 0.75}},
        "demo_xsub/mamp/semi/0.1/subset0": {"loss": {1: 2}, "lr": {1: pytest.approx(0.1)}},
        "demo_xsub/mamp/semi/0.1/subset1": {"loss": {1: 4}, "lr": {1: pytest.approx(0.1)}},
    }
    before = {path: path.stat().st_mtime_ns for path in BOARD.rglob("events.*")}
    assert cli.main(["track", "results"]) == 0
    assert {path: path.stat().st_mtime_ns for path in BOARD.rglob("events.*")} == before
    curve("demo_xsub/mamp", "step,epoch,loss,lr\n3,1,0.5,0.25\n")
    assert cli.main(["track"]) == 0
    assert read(BOARD)["demo_xsub/mamp"] == {"loss": {3: 0.5}, "lr": {3: 0.25}}


@installed
def test_a_training_under_way_is_followed_by_its_log_until_its_last_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = Path("results/logs/pretrain/demo_xsub/mamp.log")
    log.parent.mkdir(parents=True)
    tracker = tracking.Tracker(Path("results"))
    for known in (2, 4):  # appended to the same file
        log.write_text(logged(monkeypatch, range(1, known + 1), of=9))
        assert tracker.look() == 1
        shown = read(BOARD)["live/pretrain/demo_xsub/mamp"]
        assert shown["loss"] == {step: pytest.approx(1 / step, abs=1e-4) for step in range(1, known + 1)}
        assert set(shown) == {"loss", "clips per second"}
    log.write_text(logged(monkeypatch, range(1, 10), of=9))
    assert tracker.look() == 0 and read(BOARD) == {}
    log.write_text(log.read_text() + logged(monkeypatch, range(1, 3), of=5))  # the next subset of a protocol
    assert tracker.look() == 1 and set(read(BOARD)["live/pretrain/demo_xsub/mamp"]["loss"]) == {1, 2}
    tracker.close()
    assert tracking.Tracker(Path("results")).folder == BOARD and read(BOARD) == {}  # what an earlier follower left


@installed
@pytest.mark.parametrize("line", ["1,1,x,1", "1,1,1,1,1", "one,1,1,1"])
def test_a_damaged_curve_is_one_line(tmp_path, monkeypatch, capsys, line):
    monkeypatch.chdir(tmp_path)
    curve("demo_xsub/mamp", f"step,epoch,loss,lr\n{line}\n")
    assert cli.main(["track"]) == 2
    assert "curve.csv, line 2: expected a training curve's numbers" in capsys.readouterr().err
    follower = tracking.Follower(Path("results"))
    follower.emit(SimpleNamespace(event="job_started"))
    follower.close()
    assert capsys.readouterr().err.startswith("stars: tracking stopped: results/demo_xsub/mamp/curve.csv, line 2")


def test_without_the_package_a_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["track"]) == 2
    assert "needs the package tensorboard: pip install 'stars-skeleton[tracking]'" in capsys.readouterr().err
    with pytest.raises(InputError):
        tracking.Follower(Path("results"))


@installed
def test_a_run_is_tracked_and_a_dry_run_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path / "project"))
    Path("config/track.yaml").write_text("tracking: tensorboard\n")
    curve("demo_xsub/mamp", "step,epoch,loss,lr\n2,1,0.5,0.25\n")
    for words in (("--dry-run",), ()):
        assert not BOARD.exists()
        done = snakemake(Path(), "results/demo/raw.zip", *words, config=(CONFIG, "config/track.yaml"))
        assert done.returncode == 0, done.stdout + done.stderr
    assert (
        read(BOARD) == {"demo_xsub/mamp": {"loss": {2: 0.5}, "lr": {2: 0.25}}} and "tracking stopped" not in done.stderr
    )
