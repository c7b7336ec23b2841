"""Runs a training of networks with an objective in the common loop; all training stages use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Generator, Tensor

from stars.backbones.clips import counted_bodies
from stars.config import Checkpoint, Optimiser, Settings, TrainOptimiser
from stars.data.bodies import Bodies
from stars.data.device import sent
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.objectives.base import Batch
from stars.provenance.record import hardware
from stars.training import memory, online_knn, parallel
from stars.training.collapse import effective_rank, feature_std
from stars.training.files import cost, facts, held_clips, training_clips, undertaken, write_settings
from stars.training.loop import Job, train
from stars.training.optimiser import clip_gradients, optimiser_of
from stars.training.plan import Plan, seeded_by
from stars.training.schedule import schedule
from stars.training.trained import Trained
from stars.training.weights import save_encoder, save_heads
from stars.views.crop import Clips, View

FACTS = ("feature_std", "effective_rank")
FILES = ("encoder.safetensors", "heads.safetensors", "settings.yaml", "curve.csv")

# (clips, rows (B,), the step's generator) → views of the whole batch by name
Views = Callable[[Clips, Tensor, Generator], dict[str, View]]


@dataclass(frozen=True)
class StepSettings:
    """Settings of a training step, common to all stages.

    Attributes:
        objective: its name and settings.
        stage: its name in messages, in the seeds of its steps, and in the configuration.
        views: crops and augments a batch of clips.
    """

    stage: str
    objective: tuple[str, Settings]
    seed: int
    optimiser: Optimiser
    views: Views
    bodies: str
    precision: str
    knn_epochs: int


def run(
    code: str,
    settings: Settings,
    inputs: dict[str, Path],
    out: Path,
    checkpoint: Checkpoint,
    device: str,
    made: Callable[[ClipStore], tuple[Trained, StepSettings]],
    outputs: tuple[str, ...] = FILES,
) -> None:
    """Train the model from `made` on the rows inputs["train"] of a clip store; write `outputs` and record.json into
    folder `out`.

    Args:
        code: modules whose source determines the result, joined by "+"; inputs: role → file.

    Raises InputError for bad input and for a loss that is not finite, Interrupted after a signal to stop.
    """
    with undertaken(out, code, settings, inputs, outputs, checkpoint) as (work, notes):
        clips = inputs["clips"].parent
        store, index = training_clips(clips, inputs["train"])
        model, step_settings = made(store)
        _check_processes(model, step_settings.stage)
        plan = Plan.of(step_settings.seed, step_settings.stage, len(index), step_settings.optimiser)
        held = held_clips(step_settings.stage, store, index, device)
        step = Step(model.to(device), held, step_settings)
        step.check_memory(plan)
        curve = train(_job(step, plan, [store.names[row] for row in index]), plan, work)
        machines = parallel.of_nodes(hardware())
        if parallel.rank() > 0:
            return
        first = next(iter(model.result().values()))
        notes.update(
            facts(plan, device, step_settings.precision), encoder=cost(first, store.bodies), earlier_runs=work.earlier
        )
        if len(machines) > 1:
            notes["hardware_of_nodes"] = machines
        curve.write(out / "curve.csv")
        write_settings(out / "settings.yaml", settings)
        _save(model, step_settings.objective, out, outputs)


def _check_processes(model: Trained, stage: str) -> None:
    """InputError for several processes if batch normalisation or dropout would make their result differ from one
    process's.
    """
    alone = [name for name, network in model.by_name.items() if network.normalises_batches]
    if parallel.count() > 1 and (alone or model.drops):
        raise InputError(
            f"{stage}: {', '.join(alone) or 'a network'} uses batch normalisation or dropout, which several GPUs do not"
            " support: set gpus to 1"
        )


def _job(step: Step, plan: Plan, names: list[str]) -> Job:
    model, settings, objective = step.model, step.settings, step.model.objective
    first = next(iter(model.result().values()))
    return Job(
        model,
        optimiser_of(model.parts(), settings.optimiser),
        step,
        schedule(plan.steps_per_epoch, settings.optimiser),
        names,
        before=lambda done: objective.before(model.by_name, done, done // plan.steps_per_epoch),
        after=lambda done: objective.after(model.by_name, done, plan.steps),
        facts=step.facts,
        at_epoch=online_knn.watch(first, step.clips, settings.knn_epochs, settings.precision),
        clip=partial(clip_gradients, model, settings.optimiser),
        columns=(*FACTS, *objective.columns, *online_knn.columns(settings.knn_epochs)),
        precision=settings.precision,
    )


def _save(model: Trained, objective: tuple[str, Settings], out: Path, outputs: tuple[str, ...]) -> None:
    """Save the first network as the encoder, and the heads with the other networks."""
    (_, first), *others = model.result().items()
    if "heads.safetensors" in outputs:
        save_heads(out / "heads.safetensors", model.objective.kept(), objective, dict(others))
    save_encoder(out / "encoder.safetensors", first)


class Step:
    """Loss and metrics of one step. Heads and loss see the whole batch in every process."""

    def __init__(self, model: Trained, clips: Clips, settings: StepSettings) -> None:
        self.model, self.clips, self.settings = model, clips, settings

    def __call__(self, rows: Tensor, generator: Generator) -> Tensor:
        batch = self.batch(rows, self.settings.views(self.clips, rows, generator), generator)
        with seeded_by(generator, self.clips.device) if self.model.drops else nullcontext():
            loss, measured = self.model.objective(batch, self.model.by_name)
        if loss.numel() != 1:
            raise InputError(
                f"objective: its loss must be a scalar, found {tuple(loss.shape)}: take the mean over clips"
            )
        if wrong := {*measured} ^ {*self.model.objective.columns}:
            raise InputError(
                f"objective: its facts {', '.join(measured) or '(none)'} do not match its columns: {min(wrong)} is only"
                " in one of them"
            )
        self._newest = batch, measured
        return loss

    def batch(self, rows: Tensor, views: Mapping[str, View], generator: Generator) -> Batch:
        """The objective's batch for the clips `rows`."""
        settings, clips = self.settings, self.clips
        return Batch(views, sent(rows, clips.device), clips.labels, generator, settings.bodies, settings.precision)

    def facts(self) -> dict[str, float]:
        """Metrics of the latest step: standard deviation and rank of features, and the objective's own."""
        batch, measured = self._newest
        y_bc = self.model.objective.seen(batch, self.model.by_name)
        return {"feature_std": feature_std(y_bc), "effective_rank": effective_rank(y_bc)} | {
            name: fact.item() for name, fact in measured.items()
        }

    def _encoded(self, bodies: Bodies) -> int:
        """Number of rows that the networks encode per view: whole clips, all counted bodies with batch
        normalisation, or distinct bodies.
        """
        networks = self.model.by_name.values()
        if any(network.whole_clips for network in networks):
            return len(bodies.absent_bm)
        if any(network.normalises_batches for network in networks):
            return int(counted_bodies(bodies.absent_bm, self.settings.bodies).sum())
        return self.model.objective.rows(bodies, self.settings.bodies)

    def check_memory(self, plan: Plan) -> None:
        """InputError if a step does not fit."""
        rows, generator, processes = plan.rows(0), plan.generator(0), parallel.count()
        views = self.settings.views(self.clips, rows, generator)

        def forward(clips: int) -> object:
            few = {name: view.of(slice(clips * processes)) for name, view in views.items()}
            return self.model.objective(self.batch(rows[: clips * processes], few, generator), self.model.by_name)

        def encoded(clips: int) -> int:
            few = slice(clips * processes)  # over all processes, so that all decide alike
            return sum(self._encoded(view.bodies.of(few)) for view in views.values()) // processes

        sizes = tuple(encoded(clips) for clips in (*memory.SAMPLES, plan.batch // processes))
        sgd = isinstance(self.settings.optimiser, TrainOptimiser) and self.settings.optimiser.kind == "sgd"
        memory.check_step(self.settings.stage, self.model, forward, sizes, self.clips.device, moments=1 if sgd else 2)
