"""Few-shot protocol: against scikit-learn's brute force and the rule written out, and end to end on the toy store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from toy import OUTPUTS

from stars.audit.predictions import repetitions
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
        exemplars(
            made / "clips", made / "train.npy", root / "exemplars", ExemplarStage(shots=shots, draws=DRAWS, novel=NOVEL)
        )
    run(made, root / "out", root / "exemplars")
    return root


def run(
    made: Path, out: Path, drawn: Path | None, novel: tuple[int, ...] = NOVEL, features: Path | None = None, **changes
) -> None:
    options = Shots(**{"shots": SHOTS, "draws": DRAWS, **changes})
    settings = FewShotStage(data="toy", novel=novel, few_shot=options, outputs=OUTPUTS)
    paths = (features or made / "features", "toy", made / "clips", made / "train.npy", made / "test.npy")
    few_shot(*paths, out, settings, drawn)


class Draw:
    """Features and labels of one draw: exemplars, and the test clips of their classes."""

    def __init__(self, made: Path, folder: Path, shots: int, draw: int, output: str = "") -> None:
        labels, self.rows = ClipStore.open(made / "clips").labels, np.load(folder / f"exemplars/{shots}_{draw}.npy")
        train, test = np.load(made / "train.npy"), np.load(made / "test.npy")
        novel = np.isin(labels[test], np.array(NOVEL) - 1)
        self.references = np.load(made / f"features/toy_train{output}.npy")[np.searchsorted(train, self.rows)]
        self.queries = np.load(made / f"features/toy_test{output}.npy")[novel]
        self.labels, self.truth, self.names = (
            labels[self.rows],
            labels[test][novel],
            [f"clip{row:03}" for row in test[novel]],
        )


def voted(draw: Draw, shots: int) -> np.ndarray:
    """The most frequent label among the nearest exemplars; of equally frequent ones that with the smaller summed
    cosine distance.
    """
    search = NearestNeighbors(n_neighbors=shots, algorithm="brute", metric="cosine").fit(
        draw.references.astype(np.float64)
    )
    found = []
    for distances, places in zip(*search.kneighbors(draw.queries.astype(np.float64)), strict=True):
        classes = {label: draw.labels[places] == label for label in set(draw.labels[places])}
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
                classifier = KNeighborsClassifier(1, algorithm="brute", metric="cosine").fit(
                    draw.references, draw.labels
                )
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
    drawn, nearest = metrics["results"][: len(OUTPUTS) * len(SHOTS)], metrics["results"][len(OUTPUTS) * len(SHOTS) :]
    assert [(row["output"], row["shots"]) for row in drawn] == [
        (output, shots) for output in OUTPUTS for shots in SHOTS
    ]
    assert [(row["output"], row["k"]) for row in nearest] == [(output, k) for output in OUTPUTS for k in SHOTS]
    assert {(row["reading"], row["train_clips"]) for row in nearest} == {("neighbours", 18)}
    assert [(row["reading"], row["train_clips"]) for row in drawn] == [
        ("exemplars", 3 * shots) for shots in SHOTS
    ] * len(OUTPUTS)
    for row in drawn:
        ending = "" if row["output"] == "encoder" else f"_{row['output']}"
        draws = [Draw(made, folder, row["shots"], number, ending) for number in range(DRAWS)]
        values = [100 * (voted(draw, row["shots"]) == draw.truth).mean() for draw in draws]
        assert row["values"] == pytest.approx(values, abs=1e-3)
        assert (row["top1"], row["std"]) == pytest.approx((np.mean(values), np.std(values, ddof=1)), abs=1e-3)
    assert (
        metrics["top1"] == metrics["results"][0]["top1"]
        and metrics["interval95"][0] <= metrics["top1"] <= metrics["interval95"][1]
    )


@pytest.fixture(scope="module")
def scattered(made, tmp_path_factory) -> Path:
    """Features without any structure, so that votes tie and readings differ."""
    folder, rng = tmp_path_factory.mktemp("scattered"), np.random.default_rng(0)
    for part in ("train", "test"):
        rows = len(np.load(made / f"{part}.npy"))
        np.save(folder / f"toy_{part}.npy", rng.standard_normal((rows, 6)).astype(np.float32))
    return folder


def neighbours_of(made: Path, features: Path, k: int, ties: str) -> list[int]:
    """k-NN among all training clips of the novel classes, written out: by distance, then votes, then `ties`."""
    labels = ClipStore.open(made / "clips").labels
    sides = []
    for part in ("train", "test"):
        rows = np.load(made / f"{part}.npy")
        vectors = np.load(features / f"toy_{part}.npy").astype(np.float64)
        novel = np.isin(labels[rows], np.array(NOVEL) - 1)
        sides.append((vectors[novel] / np.linalg.norm(vectors[novel], axis=1, keepdims=True), labels[rows][novel]))
    (references, known), (queries, _) = sides
    found = []
    for query in queries:
        nearest = np.argsort(-(references @ query))[:k]
        sums = {
            label: (references @ query)[nearest[known[nearest] == label]].sum()
            for label in set(known[nearest].tolist())
        }
        votes = {label: (known[nearest] == label).sum() for label in sums}
        found.append(min(sums, key=lambda label: (-votes[label], -sums[label] if ties == "similarity" else label)))
    return found


@pytest.mark.parametrize("ties", ["similarity", "label"])
def test_neighbours_are_those_of_all_novel_training_clips(made, scattered, tmp_path, ties):
    """Without exemplars, which this reading needs none of, and with more neighbours than any class has clips."""
    ks = (1, 2, 5, 9)
    run(made, tmp_path, None, features=scattered, shots=ks, readings=("neighbours",), ties=ties, outputs=("encoder",))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert [(row["reading"], row["k"]) for row in metrics["results"]] == [("neighbours", k) for k in ks]
    assert (metrics["train_clips"], metrics["test_clips"], metrics["runs"], metrics["std"]) == (18, 12, 1, None)
    with np.load(tmp_path / "predictions.npz") as saved:
        assert not [name for name in saved.files if "shots" in name]
        for k, row in zip(ks, metrics["results"], strict=True):
            assert saved[f"predicted_neighbours_k{k}"].tolist() == neighbours_of(made, scattered, k, ties)
            assert row["top1"] == pytest.approx(
                100 * (saved[f"predicted_neighbours_k{k}"] == saved["label"]).mean(), abs=1e-3
            )
        np.testing.assert_array_equal(saved["predicted"], saved["predicted_neighbours_k1"])
    assert neighbours_of(made, scattered, 2, "label") != neighbours_of(made, scattered, 2, "similarity")


def test_one_reading_leaves_the_other_s_numbers_and_the_first_is_the_headline(made, folder, tmp_path):
    both = json.loads((folder / "out/metrics.json").read_text())
    for readings in (("exemplars",), ("neighbours", "exemplars")):
        run(made, tmp_path / readings[0], folder / "exemplars", readings=readings, ties="label")
        metrics = json.loads((tmp_path / readings[0] / "metrics.json").read_text())
        drawn = [row for row in metrics["results"] if row["reading"] == "exemplars"]
        assert drawn == [row for row in both["results"] if row["reading"] == "exemplars"]
        head = metrics["results"][0]
        assert (head["reading"], head["top1"]) == (readings[0], metrics["top1"])
        assert metrics["runs"] == (DRAWS if readings[0] == "exemplars" else 1)
        assert repetitions(metrics) == (
            [f"predicted_shots1_draw{n}" for n in range(DRAWS)] if metrics["runs"] > 1 else ["predicted"]
        )


def test_the_same_run_gives_the_same_bytes(made, folder, tmp_path):
    run(made, tmp_path, folder / "exemplars")
    for name in ("metrics.json", "predictions.npz"):
        assert (tmp_path / name).read_bytes() == (folder / "out" / name).read_bytes()


def test_bad_input_is_named(made, folder, tmp_path):
    with pytest.raises(InputError, match=r"3_0\.npy is missing"):
        run(made, tmp_path, folder / "exemplars", shots=(1, 3))
    np.save(tmp_path / "1_0.npy", np.load(made / "test.npy")[:3])
    with pytest.raises(
        InputError,
        match=r"1_0\.npy has clips that are not training clips in \S+train\.npy or not of a novel class: draw the",
    ):
        run(made, tmp_path, tmp_path, shots=(1,), draws=1)
    with pytest.raises(InputError, match=r"1_0\.npy lacks clips of a novel class: draw the exemplars again"):
        run(made, tmp_path, folder / "exemplars", novel=(1, *NOVEL))
    with pytest.raises(
        InputError, match=r"no test clips of the novel actions 98, 99: choose another data set for few-shot"
    ):
        run(made, tmp_path, folder / "exemplars", novel=(98, 99))
    with pytest.raises(InputError, match=r"few_shot\.readings contains exemplars: name their folder with --exemplars"):
        run(made, tmp_path, None)
    too_many = (
        r"few_shot\.shots asks for 19 neighbours, but \S+train\.npy has only 18 training clips of the novel classes:"
        r" lower few_shot\.shots"
    )
    with pytest.raises(InputError, match=too_many):
        run(made, tmp_path, None, shots=(1, 19), readings=("neighbours",))
    settings = FewShotStage(data="toy", novel=NOVEL, few_shot=Shots(outputs=("predictor",)), outputs=("encoder",))
    with pytest.raises(
        InputError, match=r"few_shot\.outputs contains none of this method's outputs: add one of encoder"
    ):
        few_shot(made, "toy", made, made, made, tmp_path, settings, made)
