"""The one training loop. A stage gives it a model, an optimiser and the loss of a step; everything else is here, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stars.config import Optimiser
from stars.errors import InputError, Interrupted
from stars.training.checkpoint import Work, stop_signals
from stars.training.curve import Curve
from stars.training.plan import Plan
from stars.training.progress import Progress
from stars.training.schedule import learning_rate


@dataclass
class Job:
    """What is trained.

    Attributes:
        model: every tensor that must survive a restart, buffers included.
        optimiser: its groups hold `scale`, the group's factor of the learning rate.
        loss: the rows (B,) of a step and its generator → scalar loss.
        names: the training clips' names, for messages.
        facts: measured on the newest step when a row of the curve ends; their names are the curve's extra columns.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    loss: Callable[[Tensor, torch.Generator], Tensor]
    names: Sequence[str]
    facts: Callable[[], dict[str, float]] = dict
    columns: tuple[str, ...] = ()


def train(job: Job, plan: Plan, settings: Optimiser, work: Work) -> Curve:
    """Train to the plan's end, going on from the newest checkpoint in `work`.

    Raises InputError when the loss or a weight is not finite, Interrupted (after saving) when a signal asked to stop.
    """
    curve = Curve(job.columns)
    start = _resume(job, curve, work)
    job.model.train()
    with Progress(plan.stage, plan.steps, plan.steps_per_epoch, plan.batch, start) as progress, stop_signals() as told_to_stop:
        for step in range(start, plan.steps):
            rate = learning_rate(step, plan.steps_per_epoch, settings)
            for group in job.optimiser.param_groups:
                group["lr"] = rate * group["scale"]
            loss = job.loss(plan.rows(step), plan.generator(step))
            job.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            job.optimiser.step()
            curve.add(loss)

            done, stop = step + 1, told_to_stop()
            closes, saves, shows = plan.closes_row(done), stop or work.due(), progress.due() or done == plan.steps
            if closes or saves or shows:  # only now is the device waited for
                _check(job, plan, step, curve, work)
            if closes:
                curve.close(done, done / plan.steps_per_epoch, rate, job.facts())
            if shows:
                progress.show(done, curve.latest)
            if saves:
                work.save(_state(job, done, curve))
            if stop:
                raise Interrupted(
                    f"{plan.stage}: stopped after step {done} of {plan.steps} and saved in {work.folder}; run it again to go on"
                )
    return curve


def _state(job: Job, done: int, curve: Curve) -> dict[str, Any]:
    return {"step": done, "model": job.model.state_dict(), "optimiser": job.optimiser.state_dict(), "curve": curve.state()}


def _resume(job: Job, curve: Curve, work: Work) -> int:
    """Steps done by an earlier run, its state put in place."""
    state = work.load(job.model)
    if state is None:
        return 0
    job.model.load_state_dict(state["model"])
    job.optimiser.load_state_dict(state["optimiser"])
    curve.restore(state["curve"])
    return state["step"]


def _check(job: Job, plan: Plan, step: int, curve: Curve, work: Work) -> None:
    """Stop before anything not finite is saved or goes on."""
    ago, what = curve.fetch(), "loss"
    if ago is None:
        weights = [torch.isfinite(tensor).all() for tensor in job.model.state_dict().values() if tensor.is_floating_point()]
        if torch.stack(weights).all():
            return
        ago, what = 0, "weights"
    names = ", ".join(job.names[row] for row in plan.rows(step - ago).tolist())
    raise InputError(
        f"{plan.stage}: {what} not finite at step {step - ago + 1}: lower {plan.stage}.optimiser.lr or look at its clips ({names});"
        f" last good checkpoint: {work.where()}"
    )
