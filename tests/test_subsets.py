"""Subsets of the semi-supervised protocol and exemplars of the few-shot protocol."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stars.data.subsets import ExemplarStage, SubsetStage, exemplars, pieces, subsets
from stars.errors import InputError


@given(clips=st.integers(1, 400), fraction=st.floats(0.001, 1), number=st.integers(1, 7))
def test_subsets_have_the_exact_size_and_are_disjoint_where_they_can_be(clips, fraction, number):
    rows = np.arange(clips) * 3 + 1
    found = pieces(rows, fraction, number)
    size = int(round(fraction * clips, 6))
    assert len(found) == (number if size else 0)
    for subset in found:
        assert len(subset) == size and set(subset) <= set(rows) and (np.diff(subset) > 0).all()
    if number * size <= clips:
        assert all(not set(a) & set(b) for a, b in combinations(found, 2))


def test_subset_files_are_as_many_as_asked_and_more_of_them_change_none(made, tmp_path):
    rows = np.load(made / "train.npy")
    for out, number in (("five", 5), ("three", 3)):
        subsets(made / "train.npy", tmp_path / out, SubsetStage(fraction=0.1, subsets=number))
    written = [np.load(tmp_path / "five" / f"0.1_{number}.npy") for number in range(5)]
    assert [len(subset) for subset in written] == [3] * 5  # of 36 clips
    assert len({*np.concatenate(written)} & {*rows}) == 15
    for number in range(3):
        assert (tmp_path / "three" / f"0.1_{number}.npy").read_bytes() == (
            tmp_path / "five" / f"0.1_{number}.npy"
        ).read_bytes()
    with pytest.raises(
        InputError, match=r"semi\.fractions: 0\.01 of the 36 training clips in \S+ is less than one clip"
    ):
        subsets(made / "train.npy", tmp_path / "none", SubsetStage(fraction=0.01, subsets=2))


def drawn(made, out, shots: int, novel: tuple[int, ...] = (2, 5, 6, 99)) -> list[np.ndarray]:
    exemplars(made / "clips", made / "train.npy", out, ExemplarStage(shots=shots, draws=4, novel=novel))
    return [np.load(out / f"{shots}_{draw}.npy") for draw in range(4)]


def test_exemplars_are_so_many_training_clips_of_each_novel_class_and_fewer_are_part_of_more(made, tmp_path):
    train, found = np.load(made / "train.npy"), {shots: drawn(made, tmp_path, shots) for shots in (1, 2, 5)}
    for shots, draws in found.items():
        for rows in draws:
            assert np.isin(rows, train).all() and (np.diff(rows) > 0).all()
            # action 99 has no clips here
            assert np.bincount(rows % 6, minlength=6).tolist() == [0, shots, 0, 0, shots, shots]
    for draw in range(4):
        assert set(found[1][draw]) < set(found[2][draw]) < set(found[5][draw])
    assert len({tuple(rows) for rows in found[2]}) > 1


def test_exemplars_that_cannot_be_drawn_are_named(made, tmp_path):
    with pytest.raises(InputError, match=r"few_shot\.shots: 7, but action 2 has only 6 training clips"):
        drawn(made, tmp_path, 7)
    with pytest.raises(InputError, match=r"clips has no clips of the novel actions 40, 41: choose another"):
        drawn(made, tmp_path, 1, novel=(40, 41))
