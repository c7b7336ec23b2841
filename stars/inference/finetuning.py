"""Fine-tuning on a few labelled clips; takes minutes, where the other classifiers take seconds."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np

from stars.config import Finetune, Optimiser, Sampling
from stars.evaluation.classifier import Tally
from stars.evaluation.finetune import Finetuning, finetuning
from stars.inference.clips import side_by_side
from stars.inference.evaluate import Scorer
from stars.inference.labelled import Labelled
from stars.inference.model import Model
from stars.training.checkpoint import Work
from stars.training.loop import Job, train
from stars.training.plan import Plan
from stars.training.weights import load_encoder

NAME, TITLE = "finetuned", "encoder, fine-tuned"
LAYER_DECAY = 0.8


def scorer(model: Model, labelled: Labelled, epochs: int) -> Scorer:
    """A scorer that trains encoder and a new head on the training rows; sizes and learning rates are those of
    config/utd_mhad.yaml.
    """

    def score(trained: np.ndarray, tested: np.ndarray) -> np.ndarray:
        encoder = load_encoder(model.path)
        settings = Finetuning(
            seed=0,
            finetune=Finetune(
                hidden=512,
                layer_decay=LAYER_DECAY if encoder.name == "transformer" else 1.0,
                sampling=Sampling(min_frames=min(32, encoder.frames)),
                optimiser=Optimiser(epochs=epochs, warmup_epochs=min(2, epochs), batch=16, lr=2e-3),
            ),
            test_crop=model.preparation.embed.test_crop,
            bodies=model.preparation.embed.bodies,
        )
        train_clips, test_clips = (
            side_by_side([labelled.clips[row] for row in rows], model.device, labelled.labels[rows])
            for rows in (trained, tested)
        )
        plan = Plan.of(settings.seed, "finetune", len(trained), settings.finetune.optimiser)
        training = finetuning(encoder, train_clips, test_clips, len(labelled.actions), plan, settings)
        names, tally = [labelled.names[row] for row in trained], Tally()
        job = Job(
            training.model,
            training.optimiser,
            lambda rows, drawn: training.loss(rows, drawn, tally),
            training.rate,
            names,
        )
        with tempfile.TemporaryDirectory() as folder:
            train(job, plan, Work(Path(folder), seconds=math.inf))
        return training.scores().astype(np.float64)

    return score
