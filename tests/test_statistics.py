"""Bootstrap interval and paired p-value against resampling written out."""

from __future__ import annotations

import numpy as np
import pytest

from stars.errors import InputError
from stars.evaluation.statistics import interval95, paired_p, paired_p_of
from stars.provenance.files import write_npz


def resamples(clips: int, number: int = 4000) -> np.ndarray:
    """(number, clips) clips of each resample."""
    return np.random.default_rng(7).integers(clips, size=(number, clips))


@pytest.mark.parametrize("runs", [1, 3])
def test_interval_equals_resampling_clips(runs):
    right = np.random.default_rng(0).random((400, runs)) < 0.75
    low, high = interval95(right)
    slow = 100 * right[resamples(400)].mean(axis=(1, 2))
    np.testing.assert_allclose(np.percentile(slow, [2.5, 97.5]), [low, high], atol=0.4)
    if runs == 1:
        assert interval95(right[:, 0]) == [low, high]
        assert high - low == pytest.approx(2 * 1.96 * 100 * right.std() / 20, rel=0.05)  # the normal approximation


@pytest.mark.parametrize(("gain", "runs"), [(0.0, 1), (0.03, 1), (0.06, 1), (0.03, 5), (0.3, 2)])
def test_p_value_equals_resampling_pairs(gain, runs):
    rng = np.random.default_rng(3)
    first = rng.random((300, runs)) < 0.6
    second = first.copy()
    second[rng.random((300, runs)) < 0.1] ^= True
    second |= rng.random((300, runs)) < gain
    chosen = resamples(300)
    difference = second.mean(1)[chosen].mean(1) - first.mean(1)[chosen].mean(1)
    difference = difference.round(12)
    slow = min(1, 2 * (1 + min((difference <= 0).sum(), (difference >= 0).sum())) / (1 + len(chosen)))
    assert paired_p(second, first) == pytest.approx(slow, abs=0.03)
    assert paired_p(second, first) == pytest.approx(paired_p(first, second), abs=0.02)


def test_equal_predictions_differ_with_p_1_and_a_clear_gain_with_a_small_one():
    right = np.arange(200) % 3 == 0
    assert paired_p(right, right) == 1
    assert 0 < paired_p(np.ones(200, bool), right) < 0.001


def test_two_files_are_compared_where_their_clips_are_the_same(tmp_path):
    own = {"name": np.array([f"c{i}" for i in range(50)]), "label": np.arange(50) % 5}
    write_npz(tmp_path / "a.npz", {**own, "predicted": own["label"], "predicted_k2": own["label"]})
    write_npz(tmp_path / "b.npz", {**own, "predicted": np.zeros(50, int), "predicted_k2": own["label"]})
    write_npz(tmp_path / "c.npz", {**own, "name": own["name"][::-1], "predicted": own["label"]})
    assert paired_p_of(tmp_path / "a.npz", tmp_path / "b.npz") < 0.001
    assert paired_p_of(tmp_path / "a.npz", tmp_path / "b.npz", ["predicted_k2"]) == 1
    assert 0.0001 < paired_p_of(tmp_path / "a.npz", tmp_path / "b.npz", ["predicted", "predicted_k2"]) < 0.01
    with pytest.raises(InputError, match=r"a\.npz and \S+c\.npz have different test clips"):
        paired_p_of(tmp_path / "a.npz", tmp_path / "c.npz")
    with pytest.raises(InputError, match=r"c\.npz has no array predicted_k2"):
        paired_p_of(tmp_path / "c.npz", tmp_path / "c.npz", ["predicted_k2"])
    with pytest.raises(InputError, match=r"none\.npz is missing"):
        paired_p_of(tmp_path / "a.npz", tmp_path / "none.npz")
