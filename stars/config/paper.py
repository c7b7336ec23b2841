"""Settings of the paper's tables and figures."""

from __future__ import annotations

from typing import Literal

from stars.config.base import Count, Positive, Settings, key

TableNumber = Literal[1, 2, 3, 4, 5, 6, 7, 9, 11]  # those that hold results; Tables 8 and 10 hold settings
TABLES = range(1, 12)
FIGURES = ("fig1", "fig3a", "fig3b", "fig4", "fig6")


class Comparison(Settings):
    """Which results a table or figure shows."""

    methods: tuple[str, ...] | None = key(None, "methods to show, in this order; null: all whose `tables` does not exclude it")
    runs: tuple[str, ...] | None = key(
        None, "what the methods were trained on, each as {data}_{split}; null: every split of every data set"
    )


class ResultTable(Comparison):
    """A table of results."""

    columns: tuple[Literal["parameters", "operations", "training"], ...] = key(
        (),
        "columns with the cost of a method. parameters: of its encoder; operations: of its encoder per clip, a multiply-add counted as 2, in "
        "matrix products and convolutions; training: wall time of all its trainings",
    )
    newer: bool = key(False, "also show published rows of later work: config/published/newer.csv")


class Hyperparameters(Settings):
    """A table of settings beside the published ones."""

    method: str = key(..., "method whose settings to show; a dash if it is not configured")
    data: str | None = key(None, "data set for which they hold; null: the first")


class Figure(Settings):
    """What a figure is drawn of."""

    data: str | None = key(None, "data set drawn; null: the first")
    split: str | None = key(None, "split drawn; null: the data set's first")


class Fig1(Figure):
    """Figure 1: accuracy of the linear protocol against training time."""

    methods: tuple[str, ...] | None = key(None, "methods drawn; null: as in Table 1")


class Fig3(Figure):
    """Figures 3a and 3b: layer-wise decay and queue size against accuracy of the KNN protocol."""

    method: str = key("stars", "base method; all methods that differ from it only in this setting are drawn")
    k: Count = key(10, "neighbours; must be one of knn.k")


class Fig4(Figure):
    """Figure 4: t-SNE of test features, one panel a method."""

    methods: tuple[str, ...] | None = key(None, "methods drawn side by side; null: as in Table 1")
    output: Literal["encoder", "projector", "predictor"] = key(
        "encoder", "output to draw; a method without heads shows its encoder's, and says so"
    )
    classes: Count = key(15, "action classes drawn, spread evenly over the data set's")
    perplexity: Positive = key(30.0, "t-SNE's perplexity; lowered when there are too few clips")


class Fig6(Figure):
    """Figure 6: confusion matrix of the KNN protocol."""

    method: str | None = key(None, "method whose predictions are counted; null: the last of Table 1")
    k: Count = key(10, "neighbours; must be one of knn.k")
    pairs: Count = key(20, "most confused pairs listed")


class Claims(Settings):
    """The paper's claims, tested on this configuration's results."""

    file: str = key("config/claims.yaml", "claims, as docs/claims.md shows; relative to the working directory")
