"""Measures of clusters against slow, obvious versions."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from stars.evaluation import clusters


@pytest.fixture(scope="module")
def described():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 60)
    features = rng.normal(size=(4, 6))[labels] + 0.5 * rng.normal(size=(60, 6))
    facts = {"camera": rng.integers(0, 3, 60), "subject": rng.integers(0, 5, 60)}
    return features, labels, facts, *clusters.describe(features, labels, facts)


def distances(features):
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return 1 - unit @ unit.T


def test_silhouettes_are_scikit_learn_s(described):
    features, labels, _, measures, clips = described
    expected = silhouette_samples(features, labels, metric="cosine")
    np.testing.assert_allclose(clips["silhouette"], expected, atol=1e-9)
    assert measures["silhouette"] == pytest.approx(expected.mean(), abs=1e-6)


def test_distances_within_and_between_classes(described):
    features, labels, _, measures, clips = described
    d, same = distances(features), labels[:, None] == labels
    for clip in range(60):
        others = np.arange(60) != clip
        assert clips["within"][clip] == pytest.approx(d[clip, others & same[clip]].mean())
        assert clips["between"][clip] == pytest.approx(d[clip, ~same[clip]].mean())
    assert measures["between_within"] == pytest.approx(clips["between"].mean() / clips["within"].mean(), abs=1e-6)


def test_what_nearest_neighbours_share_and_what_chance_gives(described):
    features, _, facts, measures, clips = described
    d = distances(features) + 9 * np.eye(60)
    for name, values in facts.items():
        np.testing.assert_array_equal(clips[f"same_{name}"], values[d.argmin(axis=1)] == values)
        assert measures[f"same_{name}"] == pytest.approx(100 * (values[d.argmin(axis=1)] == values).mean(), abs=1e-6)
        pairs = [values[a] == values[b] for a in range(60) for b in range(60) if a != b]
        assert measures[f"chance_{name}"] == pytest.approx(100 * np.mean(pairs), abs=1e-6)


def test_perfect_clusters_score_one_and_a_lone_clip_counts():
    labels = np.repeat([0, 1, 2], 5)
    measures, _ = clusters.describe(np.eye(3)[labels] + 1e-3, labels, {})
    assert measures["nmi"] == measures["ari"] == 1 and measures["silhouette"] > 0.99
    measures, clips = clusters.describe(np.eye(3)[[0, 0, 1]], np.array([0, 0, 1]), {})
    assert clips["silhouette"][2] == 0 and np.isnan(clips["within"][2]) and np.isfinite(list(measures.values())).all()


def test_distances_a_part_at_a_time_are_the_same(described, monkeypatch):
    features, labels, facts, measures, _ = described
    monkeypatch.setattr(clusters, "ROWS", 60 * 7)
    assert clusters.describe(features, labels, facts)[0] == measures


def test_clips_without_features_and_classes_of_one_clip():
    features, labels = np.zeros((6, 3)), np.array([0, 0, 1, 1, 2, 2])
    features[2:] = np.random.default_rng(0).normal(size=(4, 3))
    measures, clips = clusters.describe(features, labels, {})
    assert clips["within"][0] == clips["within"][1] == 1 and np.isfinite(list(measures.values())).all()
    assert [clusters.describable(np.array(one)) for one in ([0, 0], [0, 1], [0, 1, 1])] == [False, False, True]
