"""One training: networks, an objective, how they start and what is shown of a clip, put into the loop. Every stage that trains is this."""

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

Views = Callable[[Clips, Tensor, Generator], dict[str, View]]  # (clips, rows (B,), the step's generator) → views of the whole batch by name


@dataclass(frozen=True)
class Told:
    """What every training reads of its stage's settings.

    Attributes:
        objective: its name and settings.
        stage: its name in messages, in the seeds of its steps, and in the configuration.
        views: cuts and augments a batch of clips.
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
    made: Callable[[ClipStore], tuple[Trained, Told]],
    outputs: tuple[str, ...] = FILES,
) -> None:
    """Train what `made` makes for a clip store on its rows inputs["train"], and write `outputs` and record.json into folder `out`.

    Args:
        code: modules whose source makes the result, joined by "+"; inputs: role → file.

    Raises InputError for bad input and for a loss that is not finite, Interrupted when told to stop.
    """
    with undertaken(out, code, settings, inputs, outputs, checkpoint) as (work, notes):
        clips = inputs["clips"].parent
        store, index = training_clips(clips, inputs["train"])
        model, told = made(store)
        _check_processes(model, told.stage)
        plan = Plan.of(told.seed, told.stage, len(index), told.optimiser)
        held = held_clips(told.stage, store, index, device)
        step = Step(model.to(device), held, told)
        step.check_memory(plan)
        curve = train(_job(step, plan, [store.names[row] for row in index]), plan, work)
        machines = parallel.of_nodes(hardware())
        if parallel.rank() > 0:
            return
        first = next(iter(model.result().values()))
        notes.update(facts(plan, device, told.precision), encoder=cost(first, store.bodies), earlier_runs=work.earlier)
        if len(machines) > 1:
            notes["hardware_of_nodes"] = machines
        curve.write(out / "curve.csv")
        write_settings(out / "settings.yaml", settings)
        _save(model, told.objective, out, outputs)


def _check_processes(model: Trained, stage: str) -> None:
    """InputError where several processes would not compute what one does: each would normalise over, and drop of, its own share of a batch."""
    alone = [name for name, network in model.by_name.items() if network.normalises_batches]
    if parallel.count() > 1 and (alone or model.drops):
        raise InputError(
            f"{stage}: {', '.join(alone) or 'a network'} normalises over the batch or drops at random, which GPUs cannot share: set gpus to 1"
        )


def _job(step: Step, plan: Plan, names: list[str]) -> Job:
    model, told, objective = step.model, step.told, step.model.objective
    first = next(iter(model.result().values()))
    return Job(
        model,
        optimiser_of(model.parts(), told.optimiser),
        step,
        schedule(plan.steps_per_epoch, told.optimiser),
        names,
        before=lambda done: objective.before(model.by_name, done, done // plan.steps_per_epoch),
        after=lambda done: objective.after(model.by_name, done, plan.steps),
        facts=step.facts,
        at_epoch=online_knn.watch(first, step.clips, told.knn_epochs, told.precision),
        clip=partial(clip_gradients, model, told.optimiser),
        columns=(*FACTS, *objective.columns, *online_knn.columns(told.knn_epochs)),
        precision=told.precision,
    )


def _save(model: Trained, objective: tuple[str, Settings], out: Path, outputs: tuple[str, ...]) -> None:
    """The first network as the encoder; the heads with the other networks beside it."""
    (_, first), *others = model.result().items()
    if "heads.safetensors" in outputs:
        save_heads(out / "heads.safetensors", model.objective.kept(), objective, dict(others))
    save_encoder(out / "encoder.safetensors", first)


class Step:
    """Loss of one step, and what its features look like. Heads and loss see the whole batch in every process."""

    def __init__(self, model: Trained, clips: Clips, told: Told) -> None:
        self.model, self.clips, self.told = model, clips, told

    def __call__(self, rows: Tensor, generator: Generator) -> Tensor:
        batch = self.batch(rows, self.told.views(self.clips, rows, generator), generator)
        with seeded_by(generator, self.clips.device) if self.model.drops else nullcontext():
            loss, measured = self.model.objective(batch, self.model.by_name)
        if loss.numel() != 1:
            raise InputError(f"objective: its loss must be one number, found {tuple(loss.shape)}: take the mean over clips")
        if wrong := {*measured} ^ {*self.model.objective.columns}:
            raise InputError(
                f"objective: its facts {', '.join(measured) or '(none)'} are not its columns: {min(wrong)} is in one of them alone"
            )
        self._newest = batch, measured
        return loss

    def batch(self, rows: Tensor, views: Mapping[str, View], generator: Generator) -> Batch:
        """What the objective is given of the clips `rows`."""
        told, clips = self.told, self.clips
        return Batch(views, sent(rows, clips.device), clips.labels, generator, told.bodies, told.precision)

    def facts(self) -> dict[str, float]:
        """Of the newest step: spread and rank of the features, and what the objective measured."""
        batch, measured = self._newest
        y_bc = self.model.objective.seen(batch, self.model.by_name)
        return {"feature_std": feature_std(y_bc), "effective_rank": effective_rank(y_bc)} | {
            name: fact.item() for name, fact in measured.items()
        }

    def _encoded(self, bodies: Bodies) -> int:
        """Rows of a view that the networks encode: whole clips, every body that counts where a batch is normalised, else each distinct one."""
        networks = self.model.by_name.values()
        if any(network.whole_clips for network in networks):
            return len(bodies.absent_bm)
        if any(network.normalises_batches for network in networks):
            return int(counted_bodies(bodies.absent_bm, self.told.bodies).sum())
        return self.model.objective.rows(bodies, self.told.bodies)

    def check_memory(self, plan: Plan) -> None:
        """InputError if a step does not fit."""
        rows, generator, processes = plan.rows(0), plan.generator(0), parallel.count()
        views = self.told.views(self.clips, rows, generator)

        def forward(clips: int) -> object:
            few = {name: view.of(slice(clips * processes)) for name, view in views.items()}
            return self.model.objective(self.batch(rows[: clips * processes], few, generator), self.model.by_name)

        def encoded(clips: int) -> int:
            few = slice(clips * processes)  # of all processes, so that all come to the same decision
            return sum(self._encoded(view.bodies.of(few)) for view in views.values()) // processes

        sizes = tuple(encoded(clips) for clips in (*memory.SAMPLES, plan.batch // processes))
        sgd = isinstance(self.told.optimiser, TrainOptimiser) and self.told.optimiser.kind == "sgd"
        memory.check_step(self.told.stage, self.model, forward, sizes, self.clips.device, moments=1 if sgd else 2)
