"""Features, KNN and linear protocol: against slow obvious versions, scikit-learn, and end to end on a store written
here.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from toy import CLASSES, OUTPUTS, SHAPE, embed

from stars.backbones.clips import clip_features
from stars.config import Checkpoint, Embed, Knn, Linear, Sampling
from stars.data.store import ClipStore
from stars.errors import InputError, Interrupted
from stars.evaluation import features, knn, linear, metrics
from stars.training.plan import generator
from stars.training.weights import load_encoder
from stars.views.crop import Clips, random_crop, random_view


def run_knn(root: Path, out: Path, folder: Path | None = None, **changes) -> dict:
    paths = (root / "clips", root / "train.npy", root / "test.npy")
    knn.evaluate(folder or root / "features", "toy", *paths, out, knn.KnnStage(knn=Knn(**changes), outputs=OUTPUTS))
    return json.loads((out / "metrics.json").read_text())


def run_linear(root: Path, out: Path, **changes) -> dict:
    settings = linear.LinearStage(
        seed=1, linear=Linear(**{"epochs": 4, "batch": 16, "lr": 0.5, **changes}), embed=Embed()
    )
    paths = (root / "method", root / "clips", root / "train.npy", root / "test.npy", root / "features")
    linear.evaluate(*paths, "toy", out, settings, Checkpoint(folder=str(out / ".work")))
    return json.loads((out / "metrics.json").read_text())


def test_features_do_not_depend_on_their_batch(made):
    encoder, store = load_encoder(made / "method" / "encoder.safetensors").eval(), ClipStore.open(made / "clips")
    rows = np.load(made / "test.npy")
    written = np.load(made / "features" / "toy_test.npy")
    assert written.dtype == np.float32 and written.shape == (len(rows), SHAPE.width)
    alone = [features.encode(encoder, Clips.of(store, rows[i : i + 1]), Embed()) for i in range(len(rows))]
    np.testing.assert_allclose(np.concatenate(alone), written, atol=1e-5)


def test_bf16_features_are_close_and_stored_as_float32(made, tmp_path):
    embed(made, tmp_path, precision="bf16")
    exact, rough = (np.load(folder / "toy_test.npy") for folder in (made / "features", tmp_path))
    assert rough.dtype == np.float32 and 0 < np.abs(rough - exact).max() < 0.05


def test_heads_run_in_eval_mode_one_after_the_other(made):
    y, z, p = (np.load(made / "features" / f"toy_test{end}.npy") for end in ("", "_projector", "_predictor"))
    np.testing.assert_allclose(z, y / np.sqrt(1 + 1e-5), rtol=1e-5)  # an untrained BatchNorm in eval mode
    assert p.shape == z.shape and not np.allclose(p, z)
    record = json.loads((made / "features" / "toy.record.json").read_text())
    assert len(record["outputs"]) == 6 and {"encoder", "heads", "frames"} <= set(record["inputs"])


def slow_vote(query: np.ndarray, references: np.ndarray, labels: np.ndarray, k: int, classes: int) -> list[int]:
    """KNN of one clip, written out: neighbours by similarity, then label; classes by votes, then summed similarity,
    then label.
    """
    unit = [row / (np.linalg.norm(row) or 1) for row in references.astype(np.float64)]
    query = query.astype(np.float64) / (np.linalg.norm(query.astype(np.float64)) or 1)
    nearest = sorted((-np.round((row * query).sum(), 12), label) for row, label in zip(unit, labels, strict=True))[:k]
    votes, sums = [0] * classes, [0.0] * classes
    for minus, label in nearest:
        votes[label] += 1
        sums[label] -= minus
    ranked = sorted(
        (label for label in range(classes) if votes[label]), key=lambda label: (-votes[label], -sums[label], label)
    )
    return (ranked + [-1] * 5)[: min(5, classes)]


@pytest.mark.parametrize("k", [1, 2, 3, 10])
@pytest.mark.parametrize("kind", ["spread", "copies", "collapsed", "constant"])
def test_knn_equals_the_obvious_version_ties_included(kind, k, monkeypatch):
    rng = np.random.default_rng(k)
    references, queries = (rng.standard_normal((n, 32)).astype(np.float32) for n in (203, 37))
    labels = rng.integers(7, size=203)
    if kind == "copies":
        # up to a dozen copies of a clip, under different labels
        references[100:] = references[rng.integers(20, size=103)]
        queries[:20] = references[:20]
    if kind == "collapsed":
        references, queries = (1 + 1e-3 * x for x in (references, queries))
    if kind == "constant":
        references[:] = queries[:] = 1
    monkeypatch.setattr(knn, "CHUNK", 1 << 15)  # several chunks of queries, the last incomplete
    found = knn.vote(knn.neighbours(queries, references, labels, k), k, 7)
    assert found.tolist() == [slow_vote(query, references, labels, k, 7) for query in queries]


def test_knn_equals_scikit_learn():
    rng = np.random.default_rng(0)
    references, queries = (rng.standard_normal((n, 64)) for n in (900, 300))
    labels = rng.integers(20, size=900)
    found = knn.neighbours(queries, references, labels, 10)
    distance, index = (
        NearestNeighbors(n_neighbors=10, algorithm="brute", metric="cosine").fit(references).kneighbors(queries)
    )
    np.testing.assert_allclose(found.similarity, 1 - distance, atol=1e-10)
    np.testing.assert_array_equal(found.labels, labels[index])
    nearest = KNeighborsClassifier(1, algorithm="brute", metric="cosine").fit(references, labels).predict(queries)
    np.testing.assert_array_equal(knn.vote(found, 1, 20)[:, 0], nearest)


@pytest.mark.parametrize("k", [1, 2, 5, 10])
def test_ties_by_label_are_those_of_scikit_learn(k):
    rng = np.random.default_rng(k)
    references, queries = (rng.standard_normal((n, 16)) for n in (300, 400))
    labels = rng.permutation(np.repeat(np.arange(12), 25))
    nearest = knn.neighbours(queries, references, labels, k)
    expected = KNeighborsClassifier(k, algorithm="brute", metric="cosine").fit(references, labels).predict(queries)
    np.testing.assert_array_equal(knn.vote(nearest, k, 12, "label")[:, 0], expected)
    ranked = knn.vote(nearest, k, 12, "label")
    for ranking, found in zip(ranked.tolist(), nearest.labels.tolist(), strict=True):
        best = sorted(set(found), key=lambda label: (-found.count(label), label))[:5]
        assert ranking == best + [-1] * (5 - len(best))
    assert (k == 1) == np.array_equal(ranked, knn.vote(nearest, k, 12))  # and with more neighbours the two differ


def test_knn_settles_ties_as_it_is_told(made, tmp_path):
    for part, clips in (("train", 36), ("test", 24)):
        np.save(
            tmp_path / f"toy_{part}.npy", np.random.default_rng(clips).standard_normal((clips, 8)).astype(np.float32)
        )
    options = {"k": (2,), "outputs": ("encoder",)}
    told = {ties: run_knn(made, tmp_path / ties, tmp_path, ties=ties, **options) for ties in ("similarity", "label")}
    with (
        np.load(tmp_path / "label/predictions.npz") as label,
        np.load(tmp_path / "similarity/predictions.npz") as similarity,
    ):
        tied = label["predicted"] != similarity["predicted"]
        assert tied.any() and (label["predicted"] < similarity["predicted"])[tied].all()  # of the two labels the lower
    assert told["label"]["results"] != told["similarity"]["results"]


@pytest.mark.parametrize("references", [60, 4000])
def test_what_knn_holds_at_once_is_bounded_with_few_references_too(references, monkeypatch):
    """Few-shot at the paper's size has 34,432 queries and 60 references: the candidates take more room than the
    similarities.
    """
    rng, held, search = np.random.default_rng(0), [], knn._search

    def noted(queries, exact, rough, k, room):
        held.append(len(queries) * max(4 * len(exact), 8 * min(k + knn.MARGIN, len(exact)) * exact.shape[1]))
        return search(queries, exact, rough, k, room)

    monkeypatch.setattr(knn, "_search", noted)
    monkeypatch.setattr(knn, "CHUNK", 1 << 20)
    queries, others = rng.standard_normal((500, 64)), rng.standard_normal((references, 64))
    found = knn.neighbours(queries, others, np.zeros(references, np.int64), 5)
    assert max(held) <= 1 << 20 and len(held) > 1 and found.labels.shape == (500, 5)


def test_knn_end_to_end(made, tmp_path):
    result = run_knn(made, tmp_path, k=(3, 1))
    assert [(row["output"], row["k"]) for row in result["results"]] == [
        (output, k) for output in OUTPUTS for k in (3, 1)
    ]
    assert result["top1"] == result["results"][0]["top1"] > 100 / CLASSES
    assert (result["train_clips"], result["test_clips"], result["classes"]) == (36, 24, 6)
    with np.load(tmp_path / "predictions.npz") as saved:
        right = saved["predicted"] == saved["label"]
        assert 100 * right.mean() == pytest.approx(result["top1"], abs=1e-3)
        assert saved["name"].tolist() == [f"clip{row:03}" for row in np.load(made / "test.npy")]
        np.testing.assert_array_equal(saved["predicted"], saved["predicted_k3"])
        assert result["per_class"]["action 2"] == pytest.approx(100 * right[saved["label"] == 2].mean(), abs=1e-3)


def damaged(made: Path, tmp_path: Path) -> Path:
    embed(made, tmp_path / "features")
    values = np.load(tmp_path / "features" / "toy_test.npy")
    values[1, 3] = np.nan
    np.save(tmp_path / "features" / "toy_test.npy", values)
    return tmp_path / "features"


def test_bad_input_is_named(made, tmp_path):
    with pytest.raises(InputError, match=r"knn\.k asks for 37 neighbours.*36 training clips"):
        run_knn(made, tmp_path, k=(1, 37))
    with pytest.raises(InputError, match=r"toy_test\.npy.*clip007"):
        run_knn(made, tmp_path, damaged(made, tmp_path))
    with pytest.raises(InputError, match=r"toy_train\.npy is missing"):
        run_knn(made, tmp_path, tmp_path / "nowhere")
    with pytest.raises(InputError, match="linear: a batch needs at least 2 clips, but batch is 1"):
        run_linear(made, tmp_path, batch=1)
    with pytest.raises(InputError, match="is in both"):
        metrics.Task.of(ClipStore.open(made / "clips"), made / "train.npy", made / "train.npy", "toy")
    np.save(tmp_path / "rows.npy", np.array([3, 2]))
    with pytest.raises(InputError, match=r"rows\.npy does not contain ascending"):
        metrics.read_rows(tmp_path / "rows.npy", 10)
    assert not (tmp_path / "metrics.json").exists()


def test_linear_equals_an_obvious_loop(made, tmp_path):
    """Crops, order, BatchNorm, cross-entropy, momentum and cosine, written out; losses and training accuracies must
    be equal.
    """
    run_linear(made, tmp_path)
    encoder, store = load_encoder(made / "method" / "encoder.safetensors").eval(), ClipStore.open(made / "clips")
    clips = Clips.of(store, np.load(made / "train.npy"))
    torch.nn.init.trunc_normal_(
        weight := torch.empty(CLASSES, SHAPE.width), std=0.01, generator=generator(1, "linear", "probe")
    )
    weight, bias = weight.requires_grad_(), torch.zeros(CLASSES, requires_grad=True)
    velocity, losses, right, total = [torch.zeros_like(weight), torch.zeros_like(bias)], [], [], 8
    for step in range(total):
        epoch, within = divmod(step, 2)  # 36 clips in batches of 16: the last four of each epoch are dropped
        order = torch.randperm(36, generator=generator(1, "linear", "epoch", epoch))
        rows = order[16 * within : 16 * within + 16]
        x_bmtvc = random_crop(clips, rows, 16, Sampling(), generator(1, "linear", "step", step))
        y = clip_features(encoder, x_bmtvc).detach()
        normed = (y - y.mean(0)) / torch.sqrt(y.var(0, unbiased=False) + 1e-6)
        scores = normed @ weight.T + bias
        loss = -torch.log_softmax(scores, 1)[torch.arange(16), clips.labels[rows]].mean()
        losses.append(loss.item())
        right.append(100 * (scores.argmax(1) == clips.labels[rows]).double().mean().item())
        rate = 0.5 * (1 + np.cos(np.pi * step / total)) / 2
        for value, gradient, moving in zip(
            (weight, bias), torch.autograd.grad(loss, (weight, bias)), velocity, strict=True
        ):
            moving.mul_(0.9).add_(gradient)
            value.data -= rate * moving
    with (tmp_path / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    np.testing.assert_allclose([float(row["loss"]) for row in rows], losses, rtol=2e-5)
    ended = [row for row in rows if row["test_top1"]]
    assert [float(row["epoch"]) for row in ended] == [1, 2, 3, 4]
    np.testing.assert_allclose([float(row["train_top1"]) for row in ended], np.reshape(right, (4, 2)).mean(1))
    assert losses[-1] < losses[0]


def test_linear_headline_is_the_last_epoch_and_a_moving_encoder_is_caught(made, tmp_path, monkeypatch):
    before = (made / "method" / "encoder.safetensors").read_bytes()
    result = run_linear(made, tmp_path)
    last, best = result["results"]
    assert (last["epoch"], best["epoch"], last["number"]) == ("last", "best", 4)
    assert result["top1"] == last["top1"] <= best["top1"]
    assert (made / "method" / "encoder.safetensors").read_bytes() == before

    def moving(encoder, *rest, **known):
        encoder.norm.bias.data[0] += 1e-7
        return clip_features(encoder, *rest, **known)

    monkeypatch.setattr(features, "clip_features", moving)
    with pytest.raises(AssertionError, match="frozen"):
        run_linear(made, tmp_path / "moved", epochs=1)


def test_a_fingerprint_is_of_weights_and_buffers():
    norm = torch.nn.BatchNorm1d(3)
    before, x_nc = linear.fingerprint(norm), torch.randn(4, 3)
    norm.eval()(x_nc)
    assert linear.fingerprint(norm) == before
    norm.train()(x_nc)  # moves the running mean, as a BatchNorm of an encoder left in training mode would
    assert linear.fingerprint(norm) != before


def test_a_probe_stopped_by_a_signal_ends_with_the_same_bytes(made, tmp_path, monkeypatch):
    run_linear(made, tmp_path / "whole")
    calls = iter(range(1, 100))

    def stopping(*arguments):
        if next(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return random_view(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(linear, "random_view", stopping)
        with pytest.raises(Interrupted, match="linear: stopped after step 3 of 8"):
            run_linear(made, tmp_path / "stopped")
    run_linear(made, tmp_path / "stopped")
    for file in (*metrics.RESULT_FILES, "curve.csv"):
        assert (tmp_path / "stopped" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert not (tmp_path / "stopped" / ".work").exists()


def test_each_clip_has_k_cached_views(made):
    encoder, store = load_encoder(made / "method" / "encoder.safetensors").eval(), ClipStore.open(made / "clips")
    settings = linear.LinearStage(seed=0, linear=Linear(cached_views=2), embed=Embed())
    views = linear.training_views(encoder, Clips.of(store, np.load(made / "train.npy")), settings)
    drawn = torch.stack([views(torch.tensor([4, 1]), generator(0, step)) for step in range(20)])
    assert [len(drawn[:, clip].unique(dim=0)) for clip in (0, 1)] == [2, 2]


def test_the_same_run_gives_the_same_bytes(made, tmp_path):
    for run in (run_knn, run_linear):
        for turn in "ab":
            run(made, tmp_path / turn)
        for file in metrics.RESULT_FILES:
            assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    with zipfile.ZipFile(tmp_path / "a" / "predictions.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}  # not the time of the run


def test_metrics_by_hand():
    scores = np.array([[0.1, 0.7, 0.2, 0, 0, 0], [0.5, 0.5, 0, 0, 0, 0], [6, 5, 4, 3, 2, 1]])
    labels = np.array([1, 1, 5])
    ranking = metrics.rank(scores)
    assert ranking[1].tolist() == [0, 1, 2, 3, 4]  # equal scores: the lowest label
    assert (metrics.top1(ranking, labels), metrics.top5(ranking, labels)) == (33.3333, 66.6667)
    assert metrics.per_class(ranking[:, 0] == labels, labels, {1: "wave", 5: "sit"}) == {"wave": 50.0, "sit": 0.0}


def test_a_clip_scored_twice_is_caught(made, tmp_path):
    task = metrics.Task.of(ClipStore.open(made / "clips"), made / "train.npy", made / "test.npy", "toy")
    rows, ranking = task.test_rows.copy(), np.zeros((24, 5), np.int64)
    rows[1] = rows[0]
    with pytest.raises(AssertionError, match="exactly once"):
        metrics.write_result(tmp_path, "knn", task, rows, [ranking], [])
