"""Mean and spread over seeds, and the effective rank of the test features, of every method in a run's folder.

snakemake --cores 2 --config 'seeds=[0,1,2]' && python benchmarks/seeds.py results/demo_xsub
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import torch

from stars.evaluation.statistics import mean_std
from stars.provenance.files import read_json, read_npy
from stars.training.collapse import effective_rank


def main(folder: Path) -> None:
    """A line a method: KNN at k = 1 and 10, linear, projector and predictor at k = 1 (percent), effective rank."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.glob("*/knn/metrics.json")):
        method = path.parents[1].name.partition("-seed")[0]
        for entry in read_json(path)["results"]:
            values[method][f"{entry['output']} k={entry['k']}"].append(entry["top1"])
        if (linear := path.parents[1] / "linear/metrics.json").is_file():  # some methods are shown by KNN alone
            values[method]["linear"].append(read_json(linear)["top1"])
        features = next(file for file in (path.parents[1] / "features").glob("*_test.npy"))
        values[method]["rank"].append(effective_rank(torch.from_numpy(read_npy(features))))
        if (record := path.parents[1] / "record.json").is_file():  # joint positions are trained by nobody
            values[method]["seconds"].append(read_json(record)["wall_seconds"])
    for method, found in values.items():
        print(method)
        for name, numbers in found.items():
            mean, spread = mean_std(numbers)
            shown = "" if spread is None else f" ± {spread:.1f}"
            print(f"  {name:14} {mean:6.1f}{shown:8} ({', '.join(f'{number:.1f}' for number in numbers)})")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
