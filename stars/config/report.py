"""Settings of the report page."""

from __future__ import annotations

from stars.config.base import Count, Positive, Settings, key


class Report(Settings):
    """What the report page shows, and of how many clips."""

    shows: tuple[str, ...] | None = key(None, "tables and figures shown, by their targets' names; null: those of `targets`")
    methods: tuple[str, ...] | None = key(None, "methods in the explorer; null: those of Table 2")
    points: Count = key(2000, "most test clips in the explorer; of more, an even sample by name")
    clips: int = key(
        600,
        "clips that can be played, shared by all splits, first from different cells of the confusion matrix; 0: none",
        ge=0,
    )
    neighbours: Count = key(5, "nearest clips to show beside one, among those in the explorer")
    perplexity: Positive = key(30.0, "t-SNE's perplexity in the explorer; lowered when there are too few clips")
