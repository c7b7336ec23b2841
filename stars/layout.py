"""Where results lie (docs/files.md), and which of them the paper's tables and figures are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

from stars import recipes
from stars.config import Config, Fig4, Fig6

PAPER_DATA = ("ntu60", "ntu120", "pku1", "pku2")  # descriptions whose complete data the paper reports on
TABLES = {1: "linear", 2: "knn"}


@dataclass(frozen=True)
class Drawing:
    """What a table or figure is told: settings of its stage, and role → file of what it reads."""

    settings: dict[str, Any]
    files: dict[str, str]


def clips(data: str) -> str:
    """Folder of a clip store."""
    return f"results/{data}/clips"


def run(data: str, split: str) -> str:
    """Folder of everything trained on one split of one data set."""
    return f"results/{data}_{split}"


def runs(config: Config, protocol: str | None = None) -> list[tuple[str, str]]:
    """Every (data, split) of a configuration that has results of its own, of this protocol or of any."""
    wanted = {data: bool(block.protocols) if protocol is None else protocol in block.protocols for data, block in config.data.items()}
    return [(data, split) for data, block in config.data.items() if wanted[data] for split in block.splits]


def evaluated(config: Config, protocol: str) -> tuple[str, ...]:
    """Methods that are evaluated by a protocol."""
    return tuple(name for name, recipe in config.methods.items() if recipe.protocols is None or protocol in recipe.protocols)


def results(config: Config, protocol: str) -> list[str]:
    """metrics.json of every result of a protocol: data sets or pairs of them, methods, seeds, variants."""
    if protocol in ("transfer", "few_shot"):
        across = recipes.pairs(config, protocol)
        variants = [(run(pair.source, pair.source_split), f"/{pair.target}_{pair.target_split}") for pair in across]
    else:
        ends = [f"/{fraction:g}" for fraction in config.semi.fractions] if protocol == "semi" else [""]
        variants = [(run(data, split), end) for (data, split), end in product(runs(config, protocol), ends)]
    tags = [recipes.tag(config, name, seed) for name, seed in product(evaluated(config, protocol), config.seeds)]
    return [f"{folder}/{method}/{protocol}{end}/metrics.json" for (folder, end), method in product(variants, tags)]


def titles(config: Config, data: str, split: str) -> dict[str, str]:
    """Names of a data set and its split in tables and figures."""
    described = recipes.dataset(config, data)
    return {"data_title": described.title, "split_title": described.splits[split].title}


def title(config: Config, data: str, name: str) -> str:
    """A method's name in tables and figures."""
    return recipes.method(config, data, name).title


def table(config: Config, number: int) -> Drawing:
    """Table 1 (linear) or 2 (KNN): every run, method and seed of the configuration."""
    told, files = [], {}
    methods = (config.table1 if number == 1 else config.table2).methods or evaluated(config, TABLES[number])
    for (data, split), name, seed in product(runs(config, TABLES[number]), methods, config.seeds):
        of_paper = config.data[data].dataset in PAPER_DATA
        counts = recipes.dataset(config, data).splits[split].counts if of_paper else None
        told.append(
            {"method": name, "title": title(config, data, name), "data": data, "split": split, "seed": seed, "counts": counts}
            | titles(config, data, split)
        )
        files[f"{data}_{split}/{name}/{seed}"] = f"{run(data, split)}/{recipes.tag(config, name, seed)}/{TABLES[number]}/metrics.json"
    notes = [note for data in dict(runs(config, TABLES[number])) for note in departures(config, data, number)]
    return Drawing({"number": number, "runs": told, "notes": list(dict.fromkeys(notes))}, files)


def departures(config: Config, data: str, number: int) -> list[str]:
    """What a reader must know before comparing this run's rows with the paper's: settings that make them another experiment."""
    blocks = {name: recipes.method(config, data, name).blocks for name in config.methods}
    plain, said = Config(), []
    if any(block["model"] != plain.model.model_dump(mode="json") for block in blocks.values()):
        said.append("The encoder or decoder has another size than the paper's.")
    if any(block["pretrain"]["motion"]["temperature"] <= 0 for block in blocks.values()):
        said.append("Stage 1 masks uniformly, not by motion (Eq. 2).")
    views = {block["linear"]["cached_views"] for block in blocks.values()} - {0}
    if number == 1 and views:
        said.append(f"The linear probe trains on {max(views)} stored crops of each clip instead of a fresh one in every epoch.")
    return [f"{recipes.dataset(config, data).title}: {note}" for note in said]


def chosen(config: Config, figure: Fig4 | Fig6) -> tuple[str, str]:
    """The (data, split) that a figure draws."""
    data = figure.data or next(iter(config.data))
    return data, figure.split or config.data[data].splits[0]


def fig4(config: Config) -> Drawing:
    """t-SNE of the first seed's test features."""
    data, split = chosen(config, config.fig4)
    names = config.fig4.methods or tuple(config.methods)
    panels = [{"method": name, "title": title(config, data, name)} for name in names]
    files = {name: f"{run(data, split)}/{name}/features/{data}_test.npy" for name in names}
    drawn = {"classes": config.fig4.classes, "perplexity": config.fig4.perplexity}
    return Drawing({"seed": config.seeds[0], "panels": panels, **drawn, **titles(config, data, split)}, files)


def fig6(config: Config) -> Drawing:
    """Confusion matrix of the first seed's KNN predictions."""
    data, split = chosen(config, config.fig6)
    name = config.fig6.method or list(config.methods)[-1]
    settings = {"title": title(config, data, name), "k": config.fig6.k, "pairs": config.fig6.pairs, **titles(config, data, split)}
    return Drawing(settings, {"predictions": f"{run(data, split)}/{name}/knn/predictions.npz"})


def curves(config: Config, data: str, split: str) -> Drawing:
    """Training curves of every trained method, first seed."""
    trained = [name for name in config.methods if recipes.method(config, data, name).kind != "scratch"]
    panels = [{"method": name, "title": title(config, data, name)} for name in trained]
    return Drawing({"panels": panels, **titles(config, data, split)}, {name: f"{run(data, split)}/{name}/curve.csv" for name in trained})
