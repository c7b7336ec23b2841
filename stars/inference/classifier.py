"""A classifier of your own actions as a self-contained folder: fitted arrays, encoder, and preparation of clips."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from stars.config.reading import validate
from stars.errors import InputError
from stars.evaluation.calibration import probabilities, temperature
from stars.inference.clips import Given, OwnClip
from stars.inference.evaluate import FALSE_ALARMS, Evaluation
from stars.inference.labelled import joint_vectors
from stars.inference.methods import METHODS, Fitted
from stars.inference.model import Model
from stars.inference.preparation import Preparation
from stars.inference.verdict import summary
from stars.provenance.files import atomic, read_json, write_json
from stars.provenance.record import recording
from stars.training.weights import load_encoder

ARRAYS, FACTS, ENCODER = "classifier.safetensors", "classifier.json", "encoder.safetensors"
FORMAT = "stars-classifier-1"
NONE = "none of these"
QUANTILES = 201  # number of evenly spaced quantiles of known clips' top scores
OTHERS = 4  # further actions in a prediction


@dataclass(frozen=True)
class Answer:
    """Prediction for a clip.

    Attributes:
        label: an action, or "none of these"; probability: of the likeliest action, 0 to 1, calibrated by
            cross-validation.
        likeliest: that action; others: the next actions and their probabilities, best first, at most four.
    """

    clip: str
    label: str
    probability: float
    likeliest: str
    others: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Classifier:
    """A fitted classifier and its encoder.

    Attributes:
        temperature: of its probabilities; tops: (QUANTILES,) cross-validated top scores of known clips, ascending.
        frames: median length of the labelled clips.
    """

    model: Model
    fitted: Fitted
    actions: list[str]
    temperature: float
    tops: np.ndarray
    frames: int

    def __repr__(self) -> str:
        return (
            f"Classifier({self.fitted.method.title}; {len(self.actions)} actions:"
            f" {', '.join(self.actions[:4])}{' …' * (len(self.actions) > 4)})"
        )

    @classmethod
    def load(
        cls, folder: str | Path, device: str = "cpu", skeleton: str | None = None, fps: float | None = None
    ) -> Classifier:
        """Load a folder written by `stars fit`; `skeleton` and `fps` as for `stars.load`.

        Raises:
            InputError: it is not such a folder, or damaged.
        """
        path = Path(folder)
        facts = read_json(path / FACTS)
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise InputError(f"{path / FACTS} was not written by `stars fit`: fit a classifier again")
        weights = path / ENCODER
        sha256 = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else ""
        if sha256 != facts["encoder"]:
            raise InputError(f"{weights} is not the encoder that the classifier was fitted with: fit it again")
        preparation = validate(Preparation, facts["preparation"], str(path / FACTS)).of_sensor(skeleton, fps)
        model = Model(weights, sha256, load_encoder(weights, device).eval().requires_grad_(False), preparation, device)
        method = next((one for one in METHODS if one.name == facts.get("method")), None)
        if method is None:
            raise InputError(f"{path / FACTS} names an unknown classifier: fit it again")
        fitted = Fitted(method, _read_arrays(path / ARRAYS), len(facts["actions"]))
        return cls(model, fitted, facts["actions"], facts["temperature"], np.array(facts["tops"]), facts["frames"])

    def predict(self, given: Given | Iterable[Given], false_alarms: float = FALSE_ALARMS) -> list[Answer]:
        """Predict the action of each clip.

        Args:
            given: as for `Model.embed`; false_alarms: allowed share of known clips classified as "none of these", 0 to
                1.
        """
        clips = self.model.read(given)
        probability, _, known = self.judged(clips, false_alarms)
        return [self._answer(*one) for one in zip(clips, probability, known, strict=True)]

    def judged(self, clips: list[OwnClip], false_alarms: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probabilities (N, actions) of clips from `read`, score (N,) of the likeliest, and whether each is a known
        action, (N,) bool.
        """
        if not 0 <= false_alarms < 1:
            raise InputError(f"false alarms: expected a share of clips from 0 to below 1, found {false_alarms:g}")
        kind = self.fitted.method.vectors
        vectors = (
            joint_vectors(clips, self.model.preparation) if kind == "joints" else self.model.named_features(clips)[1]
        )
        scores = self.fitted.scores(vectors)
        least = np.quantile(self.tops, false_alarms) if false_alarms else -np.inf
        return probabilities(scores, self.temperature), scores.max(axis=1), scores.max(axis=1) >= least

    def _answer(self, clip: OwnClip, probability: np.ndarray, known: bool) -> Answer:
        order = np.argsort(-probability, kind="stable")[: OTHERS + 1]
        likeliest, *others = [(self.actions[place], float(probability[place])) for place in order]
        return Answer(clip.name, likeliest[0] if known else NONE, likeliest[1], likeliest[0], tuple(others))


def fit(model: Model, found: Evaluation, out: Path, settings: dict[str, Any]) -> Path:
    """Fit the chosen classifier to all clips, and write it with its encoder into folder `out`, which is returned."""
    clips, best = found.labelled, found.best
    method = next(one for one in METHODS if one.name == found.chosen)
    fitted = method.fit(clips.vectors[method.vectors], clips.labels, len(clips.actions))
    facts = {
        "format": FORMAT,
        "method": method.name,
        "actions": clips.actions,
        "temperature": temperature(best.scores, clips.labels),
        "tops": np.quantile(best.scores.max(axis=1), np.linspace(0, 1, QUANTILES)).tolist(),
        "frames": clips.frames,
        "encoder": model.sha256,
        "preparation": model.preparation.model_dump(mode="json"),
        "evaluation": summary(found),
    }
    with recording(out, "stars.inference.classifier", settings, {"encoder": model.path}, [ARRAYS, FACTS, ENCODER]):
        with atomic(out / ARRAYS) as temporary:
            safetensors.numpy.save_file(
                {name: np.ascontiguousarray(array) for name, array in fitted.arrays.items()}, temporary
            )
        with atomic(out / ENCODER) as temporary:
            shutil.copyfile(model.path, temporary)
        write_json(out / FACTS, facts)
    return out


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        return dict(safetensors.numpy.load_file(path))
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} is not a readable file of weights ({error}): fit the classifier again") from None
