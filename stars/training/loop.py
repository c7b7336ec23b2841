"""The training loop shared by all stages, which provide a model, an optimiser and the loss of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from stars.errors import InputError, Interrupted
from stars.training import compiling, memory, parallel, precision
from stars.training.checkpoint import Work
from stars.training.curve import Curve
from stars.training.plan import Plan
from stars.training.progress import Progress
from stars.training.stopping import stop_signals


class Kept(Protocol):
    """State that checkpoints include."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass
class Job:
    """A training.

    Attributes:
        model: trained parameters and their buffers.
        optimiser: any torch optimiser; a group may have `scale`, its factor of the learning rate.
        loss: the rows (B,) of a step and its generator → scalar loss. It must use only this generator, not torch's
            global one, so that a resumed run repeats an undisturbed one. With several processes, each samples for the
            whole batch and computes its share of the loss (`stars.training.parallel`).
        rate: learning rate of the step numbered from 0.
        names: the training clips' names, for messages.
        before: called with the number of completed steps before each step.
        after: called with the number of completed steps after each update.
        facts: metrics of the latest step, called at the end of each row of the curve.
        at_epoch: metrics for the row, called with the number of completed epochs after each epoch, with the model in
            evaluation mode.
        columns: the curve's extra columns, names from `facts` and `at_epoch`; missing values are empty.
        clip: clips gradients, called after each backward pass.
        kept: further state for checkpoints, such as the best epoch so far.
        precision: precision of `loss` and of its gradients.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    loss: Callable[[Tensor, torch.Generator], Tensor]
    rate: Callable[[int], float]
    names: Sequence[str]
    before: Callable[[int], None] = lambda done: None
    after: Callable[[int], None] = lambda done: None
    facts: Callable[[], Mapping[str, float]] = dict
    at_epoch: Callable[[int], Mapping[str, float]] = lambda epochs: {}
    columns: tuple[str, ...] = ()
    clip: Callable[[], None] | None = None
    kept: Kept | None = None
    precision: str = "fp32"


def train(job: Job, plan: Plan, work: Work) -> Curve:
    """Train to the end of the plan, resuming from the latest checkpoint in `work`. All processes end with the same
    weights and curve.

    Raises InputError if the loss or a weight is not finite, Interrupted (after saving) if a signal asked to stop.
    """
    curve = Curve(job.columns)
    device = next(job.model.parameters()).device
    scaler = precision.scaler(device, job.precision)
    start = _resume(job, scaler, curve, work)
    compiling.compile_blocks(job.model, job.precision)
    loss_of = parallel.averaging(job.model, job.loss)
    job.model.train()
    progress = Progress(plan.stage, plan.steps, plan.steps_per_epoch, plan.batch, start)
    products = precision.float32_products(device, job.precision)
    with progress, memory.exhaustion_named(plan.stage), products, stop_signals() as stop_requested:
        for step in range(start, plan.steps):
            rate = job.rate(step)
            for group in job.optimiser.param_groups:
                group["lr"] = rate * group.get("scale", 1.0)
            job.before(step)
            loss = loss_of(plan.rows(step), plan.generator(step))
            job.optimiser.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            if job.clip:
                scaler.unscale_(job.optimiser)
                job.clip()
            scaler.step(job.optimiser)
            scaler.update()
            job.after(step + 1)
            curve.add(parallel.mean(loss))

            done, stop = step + 1, parallel.anywhere(stop_requested())
            closes, shows = plan.closes_row(done), progress.due() or done == plan.steps
            saves = stop or work.due(plan.epochs_ended(done), ended=done == plan.steps)
            if closes or saves or shows:  # synchronises with the device
                _check(job, plan, step, curve, work)
            if closes:
                curve.close(done, done / plan.steps_per_epoch, rate, {**job.facts(), **_epoch_facts(job, plan, done)})
            if shows:
                progress.show(done, curve.latest)
            if saves:
                work.save(_state(job, scaler, done, curve))
            if stop:
                raise Interrupted(
                    f"{plan.stage}: stopped after step {done} of {plan.steps} and saved in {work.folder}; run it again"
                    " to resume"
                )
    return curve


def _epoch_facts(job: Job, plan: Plan, done: int) -> Mapping[str, float]:
    epochs = plan.epochs_ended(done)
    if not epochs:
        return {}
    job.model.eval()
    measured = job.at_epoch(epochs)
    job.model.train()
    return measured


def _state(job: Job, scaler: GradScaler, done: int, curve: Curve) -> dict[str, Any]:
    states = {"model": job.model.state_dict(), "optimiser": job.optimiser.state_dict(), "curve": curve.state()}
    return {"step": done, **states, "scaler": scaler.state_dict(), "kept": job.kept.state_dict() if job.kept else {}}


def _resume(job: Job, scaler: GradScaler, curve: Curve, work: Work) -> int:
    """Restore the state of an earlier run; return its number of completed steps."""
    state = parallel.from_first(work.load({**_state(job, scaler, 0, curve), "scaler": {}}))
    if state is None:
        return 0
    job.model.load_state_dict(state["model"])
    job.optimiser.load_state_dict(state["optimiser"])
    # otherwise it was saved without scaling
    if scaler.is_enabled() and state["scaler"].keys() >= scaler.state_dict().keys():
        scaler.load_state_dict(state["scaler"])
    curve.restore(state["curve"])
    if job.kept:
        job.kept.load_state_dict(state["kept"])
    return state["step"]


def _check(job: Job, plan: Plan, step: int, curve: Curve, work: Work) -> None:
    """InputError if the loss or a weight is not finite, before it is saved."""
    ago, what = curve.fetch(), "loss"
    if ago is None:
        weights = [
            torch.isfinite(tensor).all() for tensor in job.model.state_dict().values() if tensor.is_floating_point()
        ]
        if torch.stack(weights).all():
            return
        ago, what = 0, "weights"
    names = ", ".join(job.names[row] for row in plan.rows(step - ago).tolist())
    raise InputError(
        f"{plan.stage}: {what} not finite at step {step - ago + 1}: lower its learning rate or check its clips"
        f" ({names}); last good checkpoint: {work.where()}"
    )
