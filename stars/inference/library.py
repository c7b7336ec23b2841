"""Labelled clips with features, to classify new clips (the KNN and few-shot protocols of paper §4.3, on your own
clips).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from stars.data.store import ClipStore, read_table
from stars.errors import InputError
from stars.evaluation.knn import Neighbours, neighbours, vote
from stars.inference.clips import Given, OwnClip, clips, inhabited, read
from stars.inference.embedder import Embedder, check_encoder
from stars.inference.files import files, labels
from stars.inference.layouts import Layouts
from stars.inference.preparation import features_record, recorded_input
from stars.provenance.files import read_json, read_npy, read_npz, write_npz
from stars.provenance.record import recording

MOST_NEIGHBOURS = 10  # default upper limit of k (paper, Tables 6 and 7)
SAME = 1 - 1e-10  # cosine similarity from which clips are copies; their features may differ in the last bits
ARRAYS = ("name", "label", "features", "encoder")


@dataclass(frozen=True)
class Match:
    """A nearby clip of the library: rank from 1, name, action, and cosine similarity of the features, −1 to 1.

    `place` is its index in the library.
    """

    clip: str
    rank: int
    name: str
    label: str
    similarity: float
    place: int


@dataclass(frozen=True)
class Prediction:
    """Prediction for a clip from its nearest clips in the library. Neither `votes` nor `similarity` is a probability.

    Attributes:
        label: the action with the most votes; votes: its share of the k votes, 0 to 1.
        similarity: cosine similarity to the nearest clip of that action, −1 to 1, whose name is `nearest`.
        others: further actions with a vote and their shares, best first, at most four.
        rank, among: rank of the clip among the action's clips by distance to the nearest other: 1 is nearest, `among`
            farthest. None if the library has only one clip of the action.
    """

    clip: str
    label: str
    votes: float
    similarity: float
    nearest: str
    others: tuple[tuple[str, float], ...] = ()
    rank: int | None = None
    among: int | None = None


@dataclass(frozen=True, eq=False)
class Library:
    """Labelled clips, sorted by action.

    Attributes:
        names, labels: of its clips; features: (R, C) float32; actions: their order breaks ties.
        joints: clip index → its joints (T, M, V, 3), for pictures.
    """

    model: Embedder
    names: Sequence[str]
    labels: Sequence[str]
    features: np.ndarray
    actions: Sequence[str]
    joints: Callable[[int], np.ndarray]
    _alike: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"Library({len(self.names)} clips, {len(self.actions)} actions, of {self.model.path})"

    @property
    def default_k(self) -> int:
        """Default k: the number of clips of the rarest action, at most 10."""
        return min(MOST_NEIGHBOURS, *Counter(self.labels).values())

    def predict(self, given: Given | Iterable[Given], k: int | None = None) -> list[Prediction]:
        """Predict the action of each clip by a vote of its k nearest clips in the library (cosine similarity of
        features).

        Ties go to the action with the larger summed similarity, then to the first in `actions`. A clip that is itself
        in the library is excluded from its own vote, with a warning.

        Args:
            given: as for `Model.embed`; k: number of neighbours; None: `default_k`.
        """
        names, nearest = self._others(clips(given, self.model.preparation), self.default_k if k is None else k)
        numbers = np.array([self.actions.index(label) for label in self.labels])
        of_label = Neighbours(torch.from_numpy(numbers)[nearest.labels], nearest.similarity)
        rankings = vote(of_label, nearest.labels.shape[1], len(self.actions))
        found = zip(
            names, rankings, of_label.labels.numpy(), nearest.labels.tolist(), nearest.similarity.tolist(), strict=True
        )
        return [self._prediction(*one) for one in found]

    def _prediction(
        self, clip: str, ranking: np.ndarray, numbers: np.ndarray, places: list[int], similarity: list[float]
    ) -> Prediction:
        shares = [(self.actions[number], float((numbers == number).mean())) for number in ranking if number >= 0]
        nearest = int(np.flatnonzero(numbers == ranking[0])[0])
        own = self._within(shares[0][0])
        place = 1 + int((own > similarity[nearest]).sum()), len(own) + 1
        return Prediction(
            clip,
            *shares[0],
            similarity[nearest],
            self.names[places[nearest]],
            tuple(shares[1:]),
            *(place if len(own) else (None, None)),
        )

    def _within(self, label: str) -> np.ndarray:
        """Similarity of each clip of an action to its nearest other one (ignoring copies), ascending; empty for a
        single clip.
        """
        if label not in self._alike:
            rows = self.features[np.array([one == label for one in self.labels])]
            found = neighbours(rows, rows, np.arange(len(rows)), len(rows)).similarity.numpy()
            others = np.where(found < SAME, found, -np.inf).max(axis=1)
            self._alike[label] = np.sort(others[np.isfinite(others)])
        return self._alike[label]

    def _others(self, given: Iterable[OwnClip], k: int) -> tuple[list[str], Neighbours]:
        """As `_nearest`, without a clip's copies in the library, with a warning; may return fewer than k."""
        self._check(k)
        names, features = self.model.named_features(given)
        room, most = 0, 1
        while room < most and room < len(self.names) - k + 1:
            room = most
            nearest = neighbours(features, self.features, np.arange(len(self.names)), min(k + room, len(self.names)))
            copies = (nearest.similarity >= SAME).sum(dim=1)
            most = int(copies.max())
        left = min(k, nearest.labels.shape[1] - most)
        if left < 1:
            raise InputError(
                f"{names[int(copies.argmax())]}: every clip of the library is a copy of it: use a library of other"
                " clips"
            )
        for row in torch.nonzero(copies).flatten().tolist():
            found = self.names[int(nearest.labels[row, 0])]
            warnings.warn(f"{names[row]} is in the library, as {found}: excluded from its own vote", stacklevel=2)
        columns = copies[:, None] + torch.arange(left)
        return names, Neighbours(nearest.labels.gather(1, columns), nearest.similarity.gather(1, columns))

    def search(self, given: Given | Iterable[Given], k: int = 5) -> list[list[Match]]:
        """The k nearest clips of the library to each clip, nearest first."""
        return self.matches(clips(given, self.model.preparation), k)

    def matches(self, given: Iterable[OwnClip], k: int) -> list[list[Match]]:
        """As `search`, for clips from `read`."""
        names, nearest = self._nearest(given, k)
        rows = zip(names, nearest.labels.tolist(), nearest.similarity.tolist(), strict=True)
        return [
            [self._match(name, rank, *one) for rank, one in enumerate(zip(places, values, strict=True), 1)]
            for name, places, values in rows
        ]

    def _match(self, clip: str, rank: int, place: int, similarity: float) -> Match:
        return Match(clip, rank, self.names[place], self.labels[place], similarity, place)

    def _nearest(self, given: Iterable[OwnClip], k: int) -> tuple[list[str], Neighbours]:
        """Names of the clips, and the library indices of their nearest clips as labels."""
        self._check(k)
        names, features = self.model.named_features(given)
        return names, neighbours(features, self.features, np.arange(len(self.names)), k)

    def _check(self, k: int) -> None:
        if not 1 <= k <= len(self.names):
            raise InputError(f"k is {k}, but the library has {len(self.names)} clips: set k from 1 to their number")


def find(model: Embedder, path: Path) -> Library:
    """The library at a path, see `Model.library`."""
    if path.is_file() and path.suffix == ".npz":
        return of_file(model, path)
    if path.is_dir() and (path / "encoder.safetensors").is_file():
        return of_results(model, path)
    return of_clips(model, path)


def keep(model: Embedder, paths: Sequence[Path], out: Path) -> int:
    """Embed files and write names, labels ("" if unknown) and features to `out`, a .npz usable as a library, and
    {out}.record.json; return the number of clips."""
    layout = model.preparation.dataset
    found = [(path, files(path, layout)) for path in paths]
    named = {file.name: label for _, some in found for file, label in zip(some, labels(some, layout), strict=True)}
    settings = {**model.preparation.model_dump(mode="json"), "files": [str(path) for path in paths]}
    with recording(
        out.parent, "stars.inference.library", settings, {"encoder": model.path}, [out.name], f"{out.name}.record.json"
    ):
        with Layouts(model.preparation).reporting() as layouts:
            names, features = model.named_features(inhabited((file for _, some in found for file in some), layouts))
        arrays = (np.array(names), np.array([named[name] for name in names]), features, np.array(model.sha256))
        write_npz(out, dict(zip(ARRAYS, arrays, strict=True)))
    return len(names)


def of_clips(model: Embedder, path: Path) -> Library:
    """A library from labelled clips, embedded now."""
    found = files(path, model.preparation.dataset)
    named = labels(found, model.preparation.dataset)
    if "" in named:
        raise InputError(
            f"{found[named.index('')].name} has no label: put it into a folder named after its action, or into"
            " clips.csv"
        )
    with Layouts(model.preparation).reporting() as layouts:
        names, features = model.named_features(inhabited(found, layouts))
    file = {file.name: (file, label) for file, label in zip(found, named, strict=True)}
    kept = [file[name][1] for name in names]
    again = Layouts(model.preparation, quiet=True)
    return _sorted(
        model, names, kept, features, sorted(set(kept)), lambda place: read(file[names[place]][0], again).x_tmvc
    )


def of_file(model: Embedder, path: Path) -> Library:
    """A library from clips embedded before."""
    names, named, features, encoder = read_npz(path, ARRAYS).values()
    check_encoder(model, str(encoder), path)
    if not len(named) or "" in named.tolist():
        raise InputError(f"{path} contains clips without a label: embed a folder whose clips have one")
    shown = names.tolist()
    return _sorted(
        model,
        shown,
        named.tolist(),
        features,
        sorted(set(named.tolist())),
        lambda place: model.read(shown[place])[0].x_tmvc,
    )


def of_results(model: Embedder, method: Path) -> Library:
    """A library from a method's training clips, with the features in its folder."""
    record = features_record(method / "encoder.safetensors")
    if record is None:
        raise InputError(
            f"{method} has no features of its training clips: embed them with the workflow, or name another library"
        )
    check_encoder(model, read_json(record)["inputs"]["encoder"]["sha256"], record)
    table = read_table(recorded_input(record, record, "clips"))
    rows = read_npy(recorded_input(record, record, "train"))
    features = read_npy(record.with_name(record.name.replace(".record.json", "_train.npy")))
    folder = recorded_input(record, record, "frames").parent
    part = table.iloc[rows]
    actions = table.sort_values("label")["action_name"].drop_duplicates().tolist()
    return _sorted(
        model,
        part["name"].tolist(),
        part["action_name"].tolist(),
        features,
        actions,
        lambda place: np.array(ClipStore.open(folder)[rows[place]]),
    )


def _sorted(
    model: Embedder,
    names: list[str],
    named: list[str],
    features: np.ndarray,
    actions: list[str],
    joints: Callable[[int], np.ndarray],
) -> Library:
    """A library sorted by action, so that ties go to the first label."""
    order = sorted(range(len(names)), key=lambda place: actions.index(named[place]))
    return Library(
        model,
        [names[place] for place in order],
        [named[place] for place in order],
        features[order],
        actions,
        lambda place: joints(order[place]),
    )
