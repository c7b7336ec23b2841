"""From raw files to tables and figures: everything that is promised is there, agrees with itself, and comes out the same again."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tiny import CONFIG

from stars.cli import main
from stars.data.store import ClipStore
from stars.training.weights import load_encoder

RUN = Path("results/demo_xsub")
STORE = ("--clips", "results/demo/clips")
ROWS = ("--train", "results/demo/splits/xsub_train.npy")
TEST = ("--test", "results/demo/splits/xsub_test.npy")
METHODS, PROTOCOLS = ("scratch", "mamp", "stars"), ("knn", "linear")
TRAINED = ("encoder.safetensors", "settings.yaml", "curve.csv", "record.json")
EVALUATED = ("metrics.json", "predictions.npz", "record.json")


@pytest.fixture(autouse=True)
def there(finished, monkeypatch):
    monkeypatch.chdir(finished)


def promised() -> set[str]:
    """Every file that docs and design name, for the tiny configuration."""
    files = {"demo/raw.zip", "demo/raw.zip.record.json", "demo_xsub/stars/heads.safetensors"}
    files |= {f"demo/clips/{name}" for name in ("frames.npy", "offsets.npy", "clips.csv", "quality.json", "record.json")}
    files |= {f"demo/splits/xsub{end}" for end in ("_train.npy", "_test.npy", ".record.json")}
    for method in METHODS:
        folder = f"demo_xsub/{method}"
        files |= {f"{folder}/{name}" for name in TRAINED} | {f"{folder}/{protocol}/{name}" for protocol in PROTOCOLS for name in EVALUATED}
        files |= {f"{folder}/linear/curve.csv", f"{folder}/features/demo.record.json"}
        outputs = ("", "_projector", "_predictor") if method == "stars" else ("",)
        files |= {f"{folder}/features/demo_{part}{output}.npy" for part in ("train", "test") for output in outputs}
    files |= {f"tables/table{number}.{end}" for number in (1, 2) for end in ("csv", "md", "tex", "html", "record.json")}
    drawn = ("figures/fig4", "figures/fig6", "demo_xsub/curves")
    return files | {f"{stem}.{end}" for stem in drawn for end in ("svg", "png", "csv", "record.json")} | {"figures/fig6_pairs.csv"}


def test_what_is_promised_is_there_and_nothing_else():
    found = {path.relative_to("results").as_posix() for path in Path("results").rglob("*") if path.is_file()}
    assert {file for file in found if not file.startswith(("logs/", "benchmarks/"))} == promised()
    assert all((Path("results") / file).stat().st_size for file in promised())
    for rule in ("ingest", "pretrain", "tune", "embed", "knn", "linear", "table", "figure"):
        assert list(Path("results/logs", rule).rglob("*.log")) and list(Path("results/benchmarks", rule).rglob("*.tsv"))


def test_clips_splits_and_features_belong_together():
    store = ClipStore.open("results/demo/clips")
    train, test = np.load(ROWS[1]), np.load(TEST[1])
    assert sorted([*train, *test]) == list(range(len(store)))
    odd = store.table["subject"].to_numpy() % 2 == 1
    assert odd[train].all() and not odd[test].any()
    quality = json.loads(Path("results/demo/clips/quality.json").read_text())
    assert quality["kept"] == len(store) and quality["read"] - len(quality["dropped"]) == len(store)
    for method in METHODS:
        assert np.load(RUN / method / "features/demo_test.npy").shape == (
            len(test),
            load_encoder(RUN / method / "encoder.safetensors").shape.width,
        )


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("method", METHODS)
def test_metrics_are_those_of_the_predictions(method, protocol):
    store, test = ClipStore.open("results/demo/clips"), np.load(TEST[1])
    metrics = json.loads((RUN / method / protocol / "metrics.json").read_text())
    with np.load(RUN / method / protocol / "predictions.npz") as predictions:
        assert predictions["name"].tolist() == [store.names[row] for row in test]  # every test clip once
        assert np.array_equal(predictions["label"], store.labels[test])
        right = predictions["predicted"] == predictions["label"]
        if protocol == "knn":
            assert {"predicted_k1", "predicted_k5", "predicted_k10"} <= set(predictions.files)
    assert metrics["top1"] == pytest.approx(100 * right.mean(), abs=1e-4) and metrics["top1"] <= metrics["top5"] <= 100
    assert metrics["interval95"][0] <= metrics["top1"] <= metrics["interval95"][1]
    counts = {key: metrics[key] for key in ("protocol", "data", "train_clips", "test_clips", "classes")}
    assert counts == {"protocol": protocol, "data": "demo", "train_clips": len(store) - len(test), "test_clips": len(test), "classes": 4}
    assert set(metrics["per_class"]) == set(store.class_names.values())
    heads = {"encoder", "projector", "predictor"} if (method, protocol) == ("stars", "knn") else {"encoder"}
    assert {result.get("output", "encoder") for result in metrics["results"]} == heads


@pytest.mark.parametrize(("number", "protocol", "printed"), [(1, "linear", 5), (2, "knn", 4)])
def test_tables_hold_our_rows_beside_the_published_ones(number, protocol, printed):
    with Path(f"results/tables/table{number}.csv").open() as file:
        cells = list(csv.DictReader(file))
    ours = {cell["recipe"]: float(cell["value"]) for cell in cells if cell["origin"] == "this run" and cell["column"] == "demo_xsub"}
    assert ours == {method: json.loads((RUN / method / protocol / "metrics.json").read_text())["top1"] for method in METHODS}
    assert sum(cell["origin"] == "published" and cell["recipe"] == "stars" and bool(cell["value"]) for cell in cells) == printed
    assert not [
        cell for cell in cells if cell["origin"] == "difference" and cell["value"]
    ]  # simulated data is not compared with the paper's


def stages(out: Path, seed: int, protocol: tuple[str, ...] = PROTOCOLS) -> None:
    """Both stages and their evaluation by the command line, into another folder."""
    told = ("--config", CONFIG, "--set", f"seeds=[{seed}]")
    device = ("--device", "cpu", "--threads", "1")
    work = ("--work", str(out / "work"))
    both = (*STORE, *ROWS, *TEST, "--target", "demo", "--features", f"{out}/stars/features")
    assert main(["pretrain", *STORE, *ROWS, "--out", f"{out}/mamp", "--recipe", "mamp", *told, *device, *work]) == 0
    parent = ("--parent", f"{out}/mamp/encoder.safetensors")
    assert main(["tune", *STORE, *ROWS, *parent, "--out", f"{out}/stars", *told, *device, *work]) == 0
    features = ("--method", f"{out}/stars", "--out", f"{out}/stars/features", "--target", "demo")
    assert main(["embed", *STORE, *ROWS, *TEST, *features, *told, *device]) == 0
    assert main(["knn", *both, "--out", f"{out}/stars/knn", *told]) == 0
    assert main(["linear", *both, "--method", f"{out}/stars", "--out", f"{out}/stars/linear", *told, *device]) == 0


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    stages(tmp_path / "again", 0)
    results = [path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file()]
    compared = [path for path in results if not path.name.endswith("record.json")]  # records hold times
    assert {path.name for path in compared} >= {"encoder.safetensors", "heads.safetensors", "metrics.json", "predictions.npz", "curve.csv"}
    for path in compared:
        assert (tmp_path / "again" / path).read_bytes() == (RUN / path).read_bytes(), path
    stages(tmp_path / "other", 1)
    for path in ("mamp/encoder.safetensors", "stars/encoder.safetensors", "stars/features/demo_test.npy", "stars/curve.csv"):
        assert (tmp_path / "other" / path).read_bytes() != (RUN / path).read_bytes(), path
