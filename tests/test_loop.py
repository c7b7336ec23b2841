"""The training loop with a job that is neither stage: SGD, something measured at each epoch's end, something kept
over a restart.
"""

from __future__ import annotations

import os
import signal

import pytest
import torch

from stars.errors import Interrupted
from stars.training.checkpoint import Work
from stars.training.loop import Job, train
from stars.training.plan import Plan
from stars.training.stopping import notices_kept

PLAN = Plan(seed=0, stage="probe", clips=10, batch=4, epochs=3.5)


class Best:
    """The epoch with the smallest weight norm so far."""

    def __init__(self) -> None:
        self.epoch, self.norm, self.seen = 0, float("inf"), []

    def __call__(self, model: torch.nn.Module, epochs: int) -> dict[str, float]:
        assert not model.training
        norm = model.weight.norm().item()
        self.seen.append(epochs)
        if norm < self.norm:
            self.epoch, self.norm = epochs, norm
        return {"norm": norm}

    def state_dict(self) -> dict:
        return vars(self)

    def load_state_dict(self, state: dict) -> None:
        vars(self).update(state)


def probe(stop_at: int | None = None) -> tuple[Job, Best]:
    """A linear regression; at the step `stop_at` it is told to stop."""
    model, best, steps = torch.nn.Linear(3, 1), Best(), iter(range(10**6))
    with torch.no_grad():
        model.weight.fill_(0.5)
        model.bias.zero_()
    x = torch.randn(10, 3, generator=torch.Generator().manual_seed(1))

    def loss(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        assert model.training
        if next(steps) == stop_at:
            os.kill(os.getpid(), signal.SIGUSR1)
        return (model(x[rows] + torch.randn(4, 3, generator=generator)) - x[rows, :1]).square().mean()

    optimiser = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    job = Job(model, optimiser, loss, lambda step: 0.1 / (1 + step), list("abcdefghij"), columns=("norm",), kept=best)
    job.at_epoch = lambda epochs: best(model, epochs)
    return job, best


def test_any_job_can_be_stopped_and_goes_on_as_if_nothing_had_happened(tmp_path):
    whole, best = probe()
    curve = train(whole, PLAN, Work(tmp_path / "whole", seconds=1e6))
    assert best.seen == [1, 2, 3] and [row["epoch"] for row in curve.rows if "norm" in row] == [1, 2, 3]
    stopped, _ = probe(stop_at=4)
    with pytest.raises(Interrupted, match="probe: stopped after step 5 of 7"):
        train(stopped, PLAN, Work(tmp_path / "stopped", seconds=1e6))
    again, kept = probe()
    resumed = train(again, PLAN, Work(tmp_path / "stopped", seconds=1e6))
    assert torch.equal(again.model.weight, whole.model.weight)
    assert resumed.rows == curve.rows and vars(kept) == vars(best)


def test_a_notice_that_comes_before_the_training_is_not_lost(tmp_path):
    job, _ = probe()
    with notices_kept():
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(Interrupted, match="probe: stopped after step 1 of 7") as stopped:
            train(job, PLAN, Work(tmp_path / "work", seconds=1e6))
    assert stopped.value.signal == signal.SIGUSR1
    train(job, PLAN, Work(tmp_path / "work", seconds=1e6))


def test_a_notice_that_comes_as_the_handlers_are_set_is_not_lost(tmp_path, monkeypatch):
    setting, job = signal.signal, probe()[0]

    def late(number: int, handler: object) -> object:
        monkeypatch.setattr(signal, "signal", setting)
        os.kill(os.getpid(), signal.SIGUSR1)
        return setting(number, handler)

    with notices_kept():
        monkeypatch.setattr(signal, "signal", late)
        with pytest.raises(Interrupted, match="probe: stopped after step 1 of 7") as stopped:
            train(job, PLAN, Work(tmp_path / "work", seconds=1e6))
    assert stopped.value.signal == signal.SIGUSR1


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_notice_too_late_for_one_training_of_a_job_stops_the_next_and_no_other_job_s(tmp_path, number):
    def told_at_the_end() -> dict[str, float]:
        if len(rows) == 6:
            os.kill(os.getpid(), number)
        rows.append(0)
        return {}

    rows: list[int] = []
    (first, _), (second, _) = probe(), probe()
    first.facts = told_at_the_end
    with notices_kept():
        assert len(train(first, PLAN, Work(tmp_path / "first", seconds=1e6)).rows) == len(rows) == 7
        with pytest.raises(Interrupted, match="probe: stopped after step 1 of 7") as stopped:
            train(second, PLAN, Work(tmp_path / "second", seconds=1e6))
    assert stopped.value.signal == number
    rows.clear()
    again = probe()[0]
    again.facts = told_at_the_end
    train(again, PLAN, Work(tmp_path / "third", seconds=1e6))  # nobody keeps it
    with notices_kept():
        train(probe()[0], PLAN, Work(tmp_path / "fourth", seconds=1e6))


PARTS = (
    "step",
    "legs",
    "optimiser",
    "optimiser.param_groups",
    "curve",
    "curve.rows",
    "scaler",
    "kept",
    "kept.norm",
    "model",
)


@pytest.mark.parametrize("part", PARTS)
def test_a_checkpoint_that_lacks_a_part_is_refused_with_a_line_and_the_one_before_used(tmp_path, capsys, part):
    """Of the right format and with the model's tensors, but for what was cut out of it."""
    expected = train(probe()[0], PLAN, Work(tmp_path / "whole", seconds=1e6))
    work = Work(tmp_path / "work", seconds=0)
    with pytest.raises(Interrupted):
        train(probe(stop_at=4)[0], PLAN, work)
    state = torch.load(work.last, weights_only=True)
    *outer, name = part.split(".")
    del (state[outer[0]] if outer else state)[name]
    torch.save(state, work.last)
    before = torch.load(work.previous, weights_only=True)["step"]
    capsys.readouterr()
    resumed = train((again := probe()[0]), PLAN, Work(tmp_path / "work", seconds=1e6))
    said = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert said == [f"warning: {work.last} is not used: it has no {part}"] and before == 4
    assert resumed.rows == expected.rows and again.kept.seen == [1, 2, 3]


def test_a_checkpoint_of_another_optimiser_is_refused(tmp_path, capsys):
    with pytest.raises(Interrupted):
        train(probe(stop_at=4)[0], PLAN, Work(tmp_path / "work", seconds=1e6))
    other, _ = probe()
    other.optimiser = torch.optim.SGD([{"params": [one]} for one in other.model.parameters()], lr=1.0, momentum=0.9)
    assert len(train(other, PLAN, Work(tmp_path / "work", seconds=1e6)).rows) == 7
    assert "is not used: its optimiser's groups are not those of this model" in capsys.readouterr().err


def test_what_was_not_measured_in_a_row_is_an_empty_cell(tmp_path):
    job, _ = probe()
    train(job, PLAN, Work(tmp_path / "work", seconds=1e6)).write(tmp_path / "curve.csv")
    lines = (tmp_path / "curve.csv").read_text().splitlines()
    assert lines[0] == "step,epoch,loss,lr,norm" and len(lines) == 8
    assert [line.split(",")[-1] == "" for line in lines[1:]] == [True, False, True, False, True, False, True]
