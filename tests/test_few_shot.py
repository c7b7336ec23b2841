"""Few-shot protocol: against scikit-learn's brute force and the rule written out, and end to end on the toy store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from toy import OUTPUTS

from stars.config import Shots
from stars.data.store import ClipStore
from stars.data.subsets import ExemplarStage, exemplars
from stars.errors import InputError
from stars.evaluation.few_shot import FewShotStage, few_shot

NOVEL, SHOTS, DRAWS = (2, 5, 6), (1, 2, 5), 4


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory) -> Path:
    """Exemplars and the result of the protocol."""
    root = tmp_path_factory.mktemp("few_shot")
    for shots in SHOTS:
        exemplars(made / "clips", made / "train.npy", root / "exemplars", ExemplarStage(shots=shots, draws=DRAWS, novel=NOVEL))
    run(made, root / "out", root / "exemplars")
    return root


def run(made: Path, out: Path, drawn: Path, **changes) -> None:
    options = Shots(**{"shots": SHOTS, "draws": DRAWS, **changes})
    settings = FewShotStage(data="toy", few_shot=options, outputs=OUTPUTS)
    few_shot(made / "features", "toy", made / "clips", made / "train.npy", made / "test.npy", drawn, out, settings)


class Draw:
    """Features and labels of one draw: exemplars, and the test clips of their classes."""

    def __init__(self, made: Path, folder: Path, shots: int, draw: int, output: str = "") -> None:
        labels, self.rows = ClipStore.open(made / "clips").labels, np.load(folder / f"exemplars/{shots}_{draw}.npy")
        train, test = np.load(made / "train.npy"), np.load(made / "test.npy")
        novel = np.isin(labels[test], np.array(NOVEL) - 1)
        self.references = np.load(made / f"features/toy_train{output}.npy")[np.searchsorted(train, self.rows)]
        self.queries = np.load(made / f"features/toy_test{output}.npy")[novel]
        self.labels, self.truth, self.names = labels[self.rows], labels[test][novel], [f"clip{row:03}" for row in test[novel]]


def voted(draw: Draw, shots: int) -> np.ndarray:
    """The most frequent label among the nearest exemplars; of equally frequent ones that with the smaller summed cosine distance."""
    search = NearestNeighbors(n_neighbors=shots, algorithm="brute", metric="cosine").fit(draw.references.astype(np.float64))
    found = []
    for distances, places in zip(*search.kneighbors(draw.queries.astype(np.float64)), strict=True):
        classes = {label: (draw.labels[places] == label) for label in set(draw.labels[places])}
        found.append(min(classes, key=lambda label: (-classes[label].sum(), distances[classes[label]].sum())))
    return np.array(found)


@pytest.mark.parametrize("shots", SHOTS)
def test_predictions_are_those_of_brute_force(made, folder, shots):
    with np.load(folder / "out/predictions.npz") as saved:
        for number in range(DRAWS):
            draw, predicted = Draw(made, folder, shots, number), saved[f"predicted_shots{shots}_draw{number}"]
            assert saved["name"].tolist() == draw.names and np.array_equal(saved["label"], draw.truth)
            np.testing.assert_array_equal(predicted, voted(draw, shots))
            if shots == 1:
                classifier = KNeighborsClassifier(1, algorithm="brute", metric="cosine").fit(draw.references, draw.labels)
                np.testing.assert_array_equal(predicted, classifier.predict(draw.queries))


def test_with_two_shots_a_tie_goes_to_the_nearer_class(made, folder):
    """So two different labels leave the nearest exemplar's: 2-shot is a 1-nearest-neighbour vote."""
    draw = Draw(made, folder, 2, 0)
    nearest = KNeighborsClassifier(1, algorithm="brute", metric="cosine").fit(draw.references, draw.labels)
    np.testing.assert_array_equal(voted(draw, 2), nearest.predict(draw.queries))


def test_metrics_are_means_over_draws_of_every_output(made, folder):
    metrics = json.loads((folder / "out/metrics.json").read_text())
    assert (metrics["protocol"], metrics["data"], metrics["runs"]) == ("few_shot", "toy", DRAWS)
    assert (metrics["train_clips"], metrics["test_clips"], metrics["classes"]) == (3, 12, 3)
    assert set(metrics["per_class"]) == {"action 1", "action 4", "action 5"}
    assert [(row["output"], row["shots"]) for row in metrics["results"]] == [(output, shots) for output in OUTPUTS for shots in SHOTS]
    for row in metrics["results"]:
        ending = "" if row["output"] == "encoder" else f"_{row['output']}"
        draws = [Draw(made, folder, row["shots"], number, ending) for number in range(DRAWS)]
        values = [100 * (voted(draw, row["shots"]) == draw.truth).mean() for draw in draws]
        assert row["values"] == pytest.approx(values, abs=1e-3)
        assert (row["top1"], row["std"]) == pytest.approx((np.mean(values), np.std(values, ddof=1)), abs=1e-3)
    assert metrics["top1"] == metrics["results"][0]["top1"] and metrics["interval95"][0] <= metrics["top1"] <= metrics["interval95"][1]


def test_the_same_run_gives_the_same_bytes(made, folder, tmp_path):
    run(made, tmp_path, folder / "exemplars")
    for name in ("metrics.json", "predictions.npz"):
        assert (tmp_path / name).read_bytes() == (folder / "out" / name).read_bytes()


def test_bad_input_is_named(made, folder, tmp_path):
    with pytest.raises(InputError, match=r"3_0\.npy is missing"):
        run(made, tmp_path, folder / "exemplars", shots=(1, 3))
    np.save(tmp_path / "1_0.npy", np.load(made / "test.npy")[:3])
    with pytest.raises(InputError, match=r"1_0\.npy has clips that do not train in \S+train\.npy: draw the exemplars again"):
        run(made, tmp_path, tmp_path, shots=(1,), draws=1)
    settings = FewShotStage(data="toy", few_shot=Shots(outputs=("predictor",)), outputs=("encoder",))
    with pytest.raises(InputError, match=r"few_shot\.outputs names none of the outputs this method has: add one of encoder"):
        few_shot(made, "toy", made, made, made, made, tmp_path, settings)
