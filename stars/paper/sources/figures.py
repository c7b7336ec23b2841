"""Settings and input files of each figure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from stars.config import Config
from stars.paper.sources.common import Drawing, counts, has_curve, methods, panels, place, runs, title, titles
from stars.paper.sources.departures import differences
from stars.paper.sources.hyperparameters import flat
from stars.pipeline import configuration, layout

# the varied setting, and its axis label
SWEEPS = {"fig3a": ("tune.layer_decay", "layer-wise decay, α"), "fig3b": ("tune.nnclr.queue", "queue size")}


def fig1(config: Config) -> Drawing:
    """Accuracy against training time: the linear protocol, and the records of all trainings behind each encoder that
    was trained.
    """
    data, split = place(config, config.fig1)
    files, told = {}, []
    chosen = config.fig1.methods
    if chosen is None:
        linear = layout.evaluated(config, "linear")
        chosen = tuple(name for name in methods(config, config.table1.methods) if name in linear)
    for name in chosen:
        trained = configuration.trainings(config, data, name)
        if not trained:
            continue
        told.append({"method": name, "title": title(config, data, name), "trainings": trained})
        for seed in config.seeds:
            files[f"{name}/{seed}"] = f"{layout.method(config, data, split, name, seed)}/linear/metrics.json"
            for one in trained:
                files[f"record/{one}/{seed}"] = f"{layout.method(config, data, split, one, seed)}/record.json"
    settings = {
        "methods": told,
        "seeds": list(config.seeds),
        "column": f"{data}_{split}",
        "counts": counts(config, data, split),
    }
    return Drawing({**settings, **titles(config, data, split)}, files)


def sweep(config: Config, name: str) -> Drawing:
    """KNN accuracy of the methods that differ from `fig3.method` only in one setting, in the order of its values."""
    data, split = place(config, config.fig3)
    setting, words = SWEEPS[name]
    points = sorted(varied(config, data, config.fig3.method, setting), key=lambda point: point["value"])
    files = {
        f"{point['method']}/{seed}": f"{layout.method(config, data, split, point['method'], seed)}/knn/metrics.json"
        for point, seed in product(points, config.seeds)
    }
    settings = {"name": name, "setting": words, "points": points, "seeds": list(config.seeds), "k": config.fig3.k}
    return Drawing({**settings, **titles(config, data, split)}, files)


def varied(config: Config, data: str, base: str, setting: str) -> Iterator[dict[str, Any]]:
    """`base` and the methods that differ from it only in `setting`, with their values; none if `base` is not configured
    or lacks the setting.
    """
    if base not in config.methods or setting not in dict(flat(configuration.method(config, data, base).blocks)):
        return
    plain = configuration.method(config, data, base)
    for name in config.methods:
        own = configuration.method(config, data, name)
        alike = (own.kind, own.parent, own.heads) == (plain.kind, plain.parent, plain.heads)
        if name == base or (alike and set(differences(own.blocks, plain.blocks)) == {setting}):
            yield {"method": name, "title": own.title, "value": dict(flat(own.blocks))[setting], "base": name == base}


def fig4(config: Config) -> Drawing:
    """t-SNE of the first seed's test features."""
    data, split = place(config, config.fig4)
    names = methods(config, config.fig4.methods)
    told, files = [], {}
    for name in names:
        own = configuration.method(config, data, name)
        output = config.fig4.output if config.fig4.output in own.outputs else "encoder"
        told.append({"method": name, "title": own.title, "output": output})
        ending = "" if output == "encoder" else f"_{output}"
        files[name] = f"{layout.run(data, split)}/{name}/features/{data}_test{ending}.npy"
    drawn = {"classes": config.fig4.classes, "perplexity": config.fig4.perplexity}
    return Drawing({"seed": config.seeds[0], "panels": told, **drawn, **titles(config, data, split)}, files)


def fig6(config: Config) -> Drawing:
    """Confusion matrix of the first seed's KNN predictions."""
    data, split = place(config, config.fig6)
    name = config.fig6.method or methods(config, None, "knn")[-1]
    told = {
        "title": title(config, data, name),
        "k": config.fig6.k,
        "pairs": config.fig6.pairs,
        **titles(config, data, split),
    }
    return Drawing(told, {"predictions": f"{layout.run(data, split)}/{name}/knn/predictions.npz"})


def curves(config: Config, data: str, split: str) -> Drawing:
    """Training curves of every trained method's first seed."""
    names = [name for name in methods(config, config.curves.methods) if has_curve(config, data, name)]
    files = {name: f"{layout.run(data, split)}/{name}/curve.csv" for name in names}
    return Drawing({"panels": panels(config, data, names), **titles(config, data, split)}, files)


def curve_runs(config: Config) -> list[tuple[str, str]]:
    """The (data, split) with training curves: those in `curves.runs`, or all of the linear protocol."""
    return runs(config, config.curves.runs, "linear")
