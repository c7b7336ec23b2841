"""Settings of the paper's tables and figures."""

from __future__ import annotations

from stars.config.base import Count, Positive, Settings, key


class Table(Settings):
    """A table of results beside the published ones."""

    methods: tuple[str, ...] | None = key(None, "methods whose rows are added; null: all of `methods`")


class Fig4(Settings):
    """Figure 4: t-SNE of test features, one panel a method."""

    data: str | None = key(None, "data set drawn; null: the first")
    split: str | None = key(None, "split drawn; null: the data set's first")
    methods: tuple[str, ...] | None = key(None, "methods drawn side by side; null: all of `methods`")
    classes: Count = key(15, "action classes drawn, spread evenly over the data set's")
    perplexity: Positive = key(30.0, "t-SNE's perplexity; lowered when there are too few clips")


class Fig6(Settings):
    """Figure 6: confusion matrix of the KNN protocol."""

    data: str | None = key(None, "data set drawn; null: the first")
    split: str | None = key(None, "split drawn; null: the data set's first")
    method: str | None = key(None, "method whose predictions are counted; null: the last of `methods`")
    k: Count = key(10, "neighbours; must be one of knn.k")
    pairs: Count = key(20, "most confused pairs listed")
