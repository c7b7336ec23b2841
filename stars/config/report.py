"""Settings of the report page."""

from __future__ import annotations

from stars.config.base import Count, Positive, Settings, key


class Report(Settings):
    """What the report page shows."""

    shows: tuple[str, ...] | None = key(None, "tables and figures to show, by target name; null: those of `targets`")
    methods: tuple[str, ...] | None = key(None, "methods in the explorer; null: those of Table 2")
    points: Count = key(2000, "maximum number of test clips in the explorer; more are sampled evenly by name")
    clips: int = key(
        600,
        "number of playable clips over all splits, first from different cells of the confusion matrix; 0: none",
        ge=0,
    )
    neighbours: Count = key(5, "nearest clips to show next to a clip, among those in the explorer")
    perplexity: Positive = key(30.0, "perplexity of t-SNE in the explorer; lowered if there are too few clips")
