"""Settings and input files of the report page."""

from __future__ import annotations

from typing import Any

from stars.config import Config
from stars.config.paper import FIGURES, TABLES
from stars.errors import InputError
from stars.paper.sources import figures, tables
from stars.paper.sources.claims import claims
from stars.paper.sources.common import HYPERPARAMETERS, QUICKSTART, Drawing, methods, panels, runs, title, titles
from stars.paper.sources.departures import points
from stars.paper.sources.records import behind
from stars.pipeline import configuration, layout

CLAIMS = "results/claims/claims.json"
STORE = ("clips.csv", "frames.npy", "offsets.npy", "quality.json")


def shown(config: Config) -> list[str]:
    """Names of the tables and figures on the page, in the paper's order; the quickstart's if `targets` has none."""
    everything = ["claims", *(f"table{number}" for number in TABLES), *FIGURES, "curves"]
    for name in config.report.shows or ():
        if name not in (*everything, "all", "quickstart"):
            raise InputError(f"report.shows: no table or figure {name}{configuration.nearest(name, everything)}")
    asked = config.report.shows if config.report.shows is not None else config.targets
    named = {part for name in asked for part in {"all": everything[1:], "quickstart": QUICKSTART}.get(name, (name,))}
    return [name for name in everything if name in named] or list(QUICKSTART)


def report(config: Config) -> Drawing:
    """Tables and figures with their lineage, the explorer's methods and clips, and the quality of every data set."""
    names = shown(config)
    drawn = _drawn(config, names)
    explorers = [_explorer(config, data, split) for data, split in runs(config, config.table2.runs, "knn")]
    data = list(dict.fromkeys(data for data, _ in layout.runs(config)))
    files = {name: path for name, (path, _) in drawn.items()}
    if "claims" in drawn:
        files["forest"] = CLAIMS.replace(".json", ".svg")
    for explorer in explorers:
        files |= explorer.files
    for name in data:
        files |= {f"{name}/{file}": f"{layout.clips(name)}/{file}" for file in STORE}
        files[f"{name}/suspicious.csv"] = f"results/{name}/quality/suspicious.csv"
    sources = [*(source for _, reads in drawn.values() for source in reads), *files.values()]
    records = [*(_record(path) for path, _ in drawn.values()), *behind(config, sources)]
    settings: dict[str, Any] = {
        "shown": [{"name": name, "title": _title(config, name)} for name in drawn],
        "explorers": [explorer.settings for explorer in explorers],
        "data": [
            {"name": name, "dataset": configuration.dataset(config, name).model_dump(mode="json")} for name in data
        ],
        "clips": config.report.clips,
        "preset": config.preset,
        "departures": _departures(config, names),
    }
    return Drawing(settings, {**files, **{f"record {path}": path for path in dict.fromkeys(records)}})


def _drawn(config: Config, names: list[str]) -> dict[str, tuple[str, list[str]]]:
    """Name → the file that the page shows, and its inputs."""
    found = {}
    for name in names:
        if name == "claims":
            found[name] = CLAIMS, list(claims(config).files.values())
        elif name.startswith("table"):
            number = int(name.removeprefix("table"))
            reads = {} if number in HYPERPARAMETERS else tables.table(config, number).files
            found[name] = f"results/tables/{name}.json", list(reads.values())
        elif name == "curves":
            for run in figures.curve_runs(config):
                found[f"curves/{'_'.join(run)}"] = (
                    f"{layout.run(*run)}/curves.svg",
                    list(figures.curves(config, *run).files.values()),
                )
        else:
            found[name] = f"results/figures/{name}.svg", list(_figure(config, name).files.values())
    return found


def _figure(config: Config, name: str) -> Drawing:
    if name in figures.SWEEPS:
        return figures.sweep(config, name)
    return {"fig1": figures.fig1, "fig4": figures.fig4, "fig6": figures.fig6}[name](config)


def _record(path: str) -> str:
    if path == CLAIMS:
        return "results/claims/record.json"
    stem, _, _ = path.rpartition(".")
    return f"{stem}.record.json"


def _title(config: Config, name: str) -> str:
    words = {
        "claims": "The paper's claims",
        "fig1": "Figure 1: accuracy against training time",
        "fig3a": "Figure 3a: layer-wise decay",
        "fig3b": "Figure 3b: queue size",
        "fig4": "Figure 4: t-SNE of test features",
        "fig6": f"Figure 6: confusion matrix, KNN, K = {config.fig6.k}",
    }
    if name.startswith("curves/"):
        data, split = next(run for run in layout.every_run(config) if f"curves/{'_'.join(run)}" == name)
        return f"Training curves, {' '.join(titles(config, data, split).values())}"
    return words.get(name, f"Table {name.removeprefix('table')}")


def _explorer(config: Config, data: str, split: str) -> Drawing:
    """The first seed's maps, predictions and scores of every method on one split; Figure 6's method is shown first."""
    names = methods(config, config.report.methods, "knn", 2)
    files = {f"{data}_{split}/test": layout.split_rows(data, split, "test")}
    for name in names:
        folder, role = f"{layout.run(data, split)}/{name}", f"{data}_{split}/{name}"
        files |= {f"{role}/map": f"{folder}/map/map.csv", f"{role}/predictions": f"{folder}/knn/predictions.npz"}
        files[f"{role}/metrics"] = f"{folder}/knn/metrics.json"
    told = {
        "data": data,
        "split": split,
        "k": config.fig6.k,
        "methods": panels(config, data, names),
        **titles(config, data, split),
    }
    first = config.fig6.method if config.fig6.method in names else names[-1]
    return Drawing(told | {"first": first, "first_title": title(config, data, first)}, files)


def _departures(config: Config, names: list[str]) -> list[dict[str, Any]]:
    """Every setting of the shown tables that differs from the paper's, once."""
    found: dict[str, dict[str, Any]] = {}
    for number in (int(name.removeprefix("table")) for name in names if name.startswith("table")):
        if number in HYPERPARAMETERS:
            continue
        block = getattr(config, f"table{number}")
        columns = tables.COLUMNS[number](config, block.runs)
        rows = methods(config, block.methods, tables.PROTOCOLS[number], number)
        for point in points(
            config, tables.PROTOCOLS[number], rows, dict.fromkeys((*column.run, column.data) for column in columns)
        ):
            known = found.setdefault(f"{point['setting']} {point['ours']} {point['paper']}", {**point, "methods": []})
            known["methods"] += [who for who in point["methods"] if who not in known["methods"]]
    return sorted(found.values(), key=lambda point: point["setting"])
