"""Semi-supervised protocol: fine-tuning on several random subsets of the training clips (paper appendix B, Table 9)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stars.config import Checkpoint
from stars.data.store import ClipStore
from stars.evaluation.classifier import Fitted, fit
from stars.evaluation.finetune import Finetuning, finetuning, starting_encoder
from stars.evaluation.metrics import RESULT_FILES, Task, over_runs, present, write_result
from stars.provenance import code
from stars.training.curve import write_lines
from stars.training.files import clip_inputs, facts, undertaken
from stars.training.plan import Plan
from stars.training.weights import backbone_of
from stars.views.crop import Clips

STAGE = "stars.evaluation.semi"


class SemiStage(Finetuning):
    """Settings of the protocol; `fraction` and `subsets` are those of the subset files."""

    fraction: float
    subsets: int


def semi(
    encoder: Path,
    clips: Path,
    subsets: Path,
    test: Path,
    target: str,
    out: Path,
    settings: SemiStage,
    checkpoint: Checkpoint,
    device: str = "cpu",
) -> None:
    """Run the protocol; write metrics.json, predictions.npz, curve.csv and record.json into `out`.

    The headline is the mean over subsets after the last epoch. predictions.npz contains `predicted_subset{N}`.

    Args:
        encoder: encoder.safetensors to start from; clips: clip store; test: split file; target: name of the data set.
        subsets: folder with the files {fraction}_{subset}.npy.

    Raises:
        InputError: a file is missing or does not fit the others; fewer than two clips per step; the loss is not finite.
        Interrupted: a signal asked to stop; progress is saved.
    """
    trained = [Path(subsets) / f"{settings.fraction:g}_{number}.npy" for number in range(settings.subsets)]
    inputs = present({**clip_inputs(Path(clips), trained[0]), "test": test, "encoder": encoder})
    inputs |= present({f"train_{number}": path for number, path in enumerate(trained)})
    with undertaken(
        out, code.of_backbone(STAGE, backbone_of(encoder)), settings, inputs, (*RESULT_FILES, "curve.csv"), checkpoint
    ) as (
        work,
        notes,
    ):
        store = ClipStore.open(clips)
        tasks = [Task.of(store, path, test, target) for path in trained]
        tested = Clips.of(store, tasks[0].test_rows, device)
        fitted = []
        for number, task in enumerate(tasks):
            own, plan = work.part(str(number)), plan_of(number, task, settings)
            clips_held = Clips.of(store, task.train_rows, device)
            training = finetuning(starting_encoder(encoder, store), clips_held, tested, task.classes, plan, settings)
            fitted.append(fit(training, task, plan, own))
            work.earlier += own.earlier
        notes.update(facts(plan, device, settings.finetune.precision), earlier_runs=work.earlier)
        lines = [[str(number), *line] for number, one in enumerate(fitted) for line in one.curve.lines()]
        write_lines(Path(out) / "curve.csv", [("subset", *fitted[0].curve.columns), *lines])
        predicted = {f"predicted_subset{number}": one.ranking[:, 0] for number, one in enumerate(fitted)}
        write_result(
            out,
            "semi",
            tasks[0],
            tasks[0].test_rows,
            [one.ranking for one in fitted],
            results(fitted, tasks[0]),
            predicted,
        )


def plan_of(number: int, task: Task, settings: SemiStage) -> Plan:
    """The plan for one subset, with its own random numbers."""
    return Plan.of(
        settings.seed, f"semi {settings.fraction:g}, subset {number}", len(task.train_rows), settings.finetune.optimiser
    )


def results(fitted: list[Fitted], task: Task) -> list[dict[str, Any]]:
    """`last` and `best` epoch over the subsets."""
    by_epoch = zip(*(one.results(task) for one in fitted), strict=True)
    return [
        {"epoch": rows[0]["epoch"], "numbers": [row["number"] for row in rows], **over_runs(rows)} for rows in by_epoch
    ]
