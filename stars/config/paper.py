"""Settings of the paper's tables and figures."""

from __future__ import annotations

from typing import Literal

from stars.config.base import Count, Positive, Settings, key

TableNumber = Literal[1, 2, 3, 4, 5, 6, 7, 9, 11]  # those with results; Tables 8 and 10 contain settings
TABLES = range(1, 12)
FIGURES = ("fig1", "fig3a", "fig3b", "fig4", "fig6")


class Comparison(Settings):
    """Which results a table or figure shows."""

    methods: tuple[str, ...] | None = key(None, "methods to show, in this order; null: as in Table 1")
    runs: tuple[str, ...] | None = key(None, "splits that the methods were trained on, as {data}_{split}; null: all")


class ResultTable(Comparison):
    """A table of results."""

    methods: tuple[str, ...] | None = key(
        None, "methods to show, in this order; null: all whose `tables` is null or includes this table"
    )
    columns: tuple[Literal["parameters", "operations", "training"], ...] = key(
        (),
        "cost columns. parameters: of the encoder; operations: of the encoder per clip, in matmuls and "
        "convolutions (a multiply-add counts as 2); training: wall time of all trainings of the method",
    )
    newer: bool = key(False, "also show published results of later work (config/published/newer.csv)")


class Hyperparameters(Settings):
    """A table of settings next to the published ones."""

    method: str = key(..., "method whose settings to show; a dash if it is not configured")
    data: str | None = key(None, "data set whose settings to show; null: the first")


class Figure(Settings):
    """Data of a figure."""

    data: str | None = key(None, "data set; null: the first")
    split: str | None = key(None, "split; null: the first of the data set")


class Fig1(Figure):
    """Figure 1: linear accuracy against training time."""

    methods: tuple[str, ...] | None = key(None, "methods; null: as in Table 1")


class Fig3(Figure):
    """Figures 3a and 3b: KNN accuracy against layer-wise decay and queue size."""

    method: str = key("stars", "base method; drawn with all methods that differ from it only in this setting")
    k: Count = key(10, "number of neighbours; must be in `knn.k`")


class Fig4(Figure):
    """Figure 4: t-SNE of test features, one panel per method."""

    methods: tuple[str, ...] | None = key(None, "methods, one panel each; null: as in Table 1")
    output: Literal["encoder", "projector", "predictor"] = key(
        "encoder", "output to draw; for a method without heads, the encoder's, with a note"
    )
    classes: Count = key(15, "number of action classes, spread evenly over the data set's")
    perplexity: Positive = key(30.0, "perplexity of t-SNE; lowered if there are too few clips")


class Fig6(Figure):
    """Figure 6: confusion matrix of the KNN protocol."""

    method: str | None = key(None, "method; null: the last of Table 1")
    k: Count = key(10, "number of neighbours; must be in `knn.k`")
    pairs: Count = key(20, "number of most confused pairs to list")


class Claims(Settings):
    """The paper's claims, tested on this configuration's results."""

    file: str = key("config/claims.yaml", "file of claims (docs/claims.md), relative to the working directory")
