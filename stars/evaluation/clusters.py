"""Measures of how features cluster, reported beside the KNN accuracy.

All use the cosine distance d = 1 − cos. They are only reported, never used for selection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

RESTARTS = 5  # random starts of k-means; the one with the lowest inertia is used
ROWS = 1 << 24  # values of the distance matrix in memory at once
SHARED = ("camera", "subject", "bodies")  # columns of clips.csv that nearest neighbours may share


def describable(labels_n: np.ndarray) -> bool:
    """Whether there are at least two classes, and a class with at least two clips."""
    counts = np.unique(labels_n, return_counts=True)[1]
    return len(counts) > 1 and counts.max() > 1


def describe(
    features_nc: np.ndarray, labels_n: np.ndarray, facts: Mapping[str, np.ndarray]
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Measures of the clusters that the classes form, overall and per clip.

    Args:
        features_nc: (N, C) finite; labels_n: (N,) class of each clip: at least 2 classes, one of them with 2 clips
            (`describable`).
        facts: by name, properties that a clip and its nearest neighbour may share, (N,) each.

    Returns:
        (measures, clips). Measures: silhouette, mean over clips, −1 to 1; nmi and ari of k-means with as many clusters
        as classes, and the labels; between_within, the mean distance between classes divided by that within classes;
        for each fact same_…, the percent of clips whose nearest neighbour shares it, and chance_…, the percent among
        all other clips. Clips: (N,) arrays silhouette, cluster, within and between (mean distances; within is nan for a
        class's only clip), same_….
    """
    unit = _unit(features_nc)
    classes, label_n = np.unique(labels_n, return_inverse=True)
    sizes_k, own_nk = np.bincount(label_n), np.eye(len(classes))[label_n]
    to_class_nk, nearest_n = np.empty((len(unit), len(classes))), np.empty(len(unit), np.int64)
    for rows, distance_rn in _distances(unit):
        itself = np.arange(len(distance_rn)), np.arange(rows.start, rows.stop)
        distance_rn[itself] = 0  # also for a clip without features
        to_class_nk[rows] = distance_rn @ own_nk
        distance_rn[itself] = np.inf
        nearest_n[rows] = distance_rn.argmin(axis=1)
    own_n = to_class_nk[np.arange(len(unit)), label_n]
    with np.errstate(invalid="ignore", divide="ignore"):
        within_n = own_n / (sizes_k[label_n] - 1)
    between_n = (to_class_nk.sum(axis=1) - own_n) / (len(unit) - sizes_k[label_n])
    others_nk = to_class_nk / sizes_k
    others_nk[np.arange(len(unit)), label_n] = np.inf
    clips = {"within": within_n, "between": between_n, "silhouette": _silhouette(within_n, others_nk.min(axis=1))}
    clips["cluster"] = _clusters(unit, len(classes))
    clips |= {f"same_{name}": values[nearest_n] == values for name, values in facts.items()}
    chance = {f"chance_{name}": _chance(values) for name, values in facts.items()}
    return {
        **{name: statistic(name, clips, label_n) for name in (*MEASURES, *(f"same_{fact}" for fact in facts))},
        **chance,
    }, clips


MEASURES = ("silhouette", "nmi", "ari", "between_within")


def statistic(name: str, clips: Mapping[str, np.ndarray], labels_n: np.ndarray) -> float:
    """Compute a measure of `describe` from its values for some or all clips."""
    # Imported here, since `stars predict` does not need it and would start more slowly.
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    if name == "nmi":
        return round(float(normalized_mutual_info_score(labels_n, clips["cluster"])), 6)
    if name == "ari":
        return round(float(adjusted_rand_score(labels_n, clips["cluster"])), 6)
    if name == "between_within":
        return round(float(clips["between"].mean() / max(np.nanmean(clips["within"]), 1e-12)), 6)
    return round((100 if name.startswith("same_") else 1) * float(clips[name].mean()), 6)


def _unit(features_nc: np.ndarray) -> np.ndarray:
    features = np.asarray(features_nc, np.float64)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _distances(unit_nc: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Iterate over cosine distances (rows, N), some rows at a time."""
    step = max(1, ROWS // len(unit_nc))
    for start in range(0, len(unit_nc), step):
        rows = slice(start, min(start + step, len(unit_nc)))
        yield rows, np.clip(1 - (unit_nc[rows] @ unit_nc.T).round(12), 0, 2)


def _silhouette(within_n: np.ndarray, nearest_class_n: np.ndarray) -> np.ndarray:
    """(b − a) / max(a, b) (Rousseeuw, 1987): a is the mean distance within the class, b to the nearest other class;
    0 for a class's only clip.
    """
    larger = np.fmax(within_n, nearest_class_n)
    found = np.divide(nearest_class_n - within_n, larger, out=np.zeros(len(within_n)), where=larger > 0)
    return np.where(np.isnan(found), 0.0, found)


def _clusters(unit_nc: np.ndarray, count: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    if len(unit_nc) <= count:
        return np.arange(len(unit_nc))
    return KMeans(count, n_init=RESTARTS, random_state=0).fit_predict(unit_nc.astype(np.float32)).astype(np.int64)


def _chance(values_n: np.ndarray) -> float:
    counts = np.unique(values_n, return_counts=True)[1]
    return round(100 * float((counts * (counts - 1)).sum() / (len(values_n) * max(len(values_n) - 1, 1))), 6)
