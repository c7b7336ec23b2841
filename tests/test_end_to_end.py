"""From raw files to tables and figures: everything that is promised is there, agrees with itself, and comes out the
same again.
"""

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
RESULTS = [(method, protocol) for method in METHODS for protocol in PROTOCOLS]
RESULTS += [("scratch", "finetune"), ("stars", "finetune"), ("stars", "semi/0.25"), ("stars", "transfer/other_xsub")]
FEW_SHOT = [("mamp", "few_shot/other_xsub"), ("stars", "few_shot/other_xsub")]
TRAINED = ("encoder.safetensors", "settings.yaml", "curve.csv", "record.json")
EVALUATED = ("metrics.json", "predictions.npz", "record.json")


@pytest.fixture(autouse=True)
def there(finished, monkeypatch):
    monkeypatch.chdir(finished)


def promised() -> set[str]:
    """Every file that docs and design name, for the tiny configuration."""
    files = {"demo_xsub/stars/heads.safetensors"} | {
        f"demo/quality/{name}" for name in ("index.html", "suspicious.csv", "record.json")
    }
    for data in ("demo", "other"):
        files |= {f"{data}/raw.zip", f"{data}/raw.zip.record.json"}
        files |= {
            f"{data}/clips/{name}" for name in ("frames.npy", "offsets.npy", "clips.csv", "quality.json", "record.json")
        }
        files |= {f"{data}/splits/xsub{end}" for end in ("_train.npy", "_test.npy", ".record.json")}
    files |= {f"demo/splits/semi/xsub/0.25{end}" for end in ("_0.npy", "_1.npy", ".record.json")}
    files |= {
        f"other/splits/few_shot/xsub/{shots}{end}" for shots in (1, 2) for end in ("_0.npy", "_1.npy", ".record.json")
    }
    files |= {"report/index.html", "report/record.json"}
    for method in METHODS:
        folder = f"demo_xsub/{method}"
        files |= {f"{folder}/map/map.csv", f"{folder}/map/record.json"}
        files |= {f"{folder}/{name}" for name in TRAINED}
        outputs = ("", "_projector", "_predictor") if method == "stars" else ("",)
        for target in ("demo",) if method == "scratch" else ("demo", "other_xsub"):
            files |= {
                f"{folder}/features/{target}_{part}{output}.npy" for part in ("train", "test") for output in outputs
            }
            files |= {f"{folder}/features/{target}.record.json"}
    for method, protocol in RESULTS + FEW_SHOT:
        names = (*EVALUATED, "curve.csv") if protocol != "knn" and "few_shot" not in protocol else EVALUATED
        files |= {f"demo_xsub/{method}/{protocol}/{name}" for name in names}
    files |= {
        f"tables/table{number}.{end}"
        for number in (1, 2)
        for end in ("csv", "json", "md", "tex", "html", "record.json")
    }
    drawn = ("figures/fig4", "figures/fig6", "demo_xsub/curves")
    return (
        files
        | {f"{stem}.{end}" for stem in drawn for end in ("svg", "png", "csv", "record.json")}
        | {"figures/fig6_pairs.csv"}
    )


def test_what_is_promised_is_there_and_nothing_else():
    found = {path.relative_to("results").as_posix() for path in Path("results").rglob("*") if path.is_file()}
    assert {file for file in found if not file.startswith(("logs/", "benchmarks/", "ledger/"))} == promised()
    assert len([file for file in found if file.startswith("ledger/")]) == len(RESULTS + FEW_SHOT)
    assert all((Path("results") / file).stat().st_size for file in promised())
    protocols = ("knn", "linear", "finetune", "semi", "transfer", "few_shot")
    for rule in ("ingest", "subsets", "exemplars", "pretrain", "tune", "embed", *protocols, "table", "figure"):
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


@pytest.mark.parametrize(("method", "protocol"), RESULTS + FEW_SHOT)
def test_metrics_are_those_of_the_predictions(method, protocol):
    data, kind = "other" if "other" in protocol else "demo", protocol.split("/")[0]
    store, test = ClipStore.open(f"results/{data}/clips"), np.load(f"results/{data}/splits/xsub_test.npy")
    if kind == "few_shot":  # novel actions alone
        test = test[np.isin(store.table["action"].to_numpy()[test], (3, 16))]
    metrics = json.loads((RUN / method / protocol / "metrics.json").read_text())
    with np.load(RUN / method / protocol / "predictions.npz") as predictions:
        assert predictions["name"].tolist() == [store.names[row] for row in test]  # every test clip once
        assert np.array_equal(predictions["label"], store.labels[test])
        runs = {
            "semi": ["predicted_subset0", "predicted_subset1"],
            "few_shot": ["predicted_shots1_draw0", "predicted_shots1_draw1"],
        }
        arrays = runs.get(kind, ["predicted"])
        right = np.mean([predictions[array] == predictions["label"] for array in arrays], axis=0)
        if kind == "knn":
            assert {"predicted_k1", "predicted_k5", "predicted_k10"} <= set(predictions.files)
    assert metrics["top1"] == pytest.approx(100 * right.mean(), abs=1e-4) and metrics["top1"] <= metrics["top5"] <= 100
    assert metrics["interval95"][0] <= metrics["top1"] <= metrics["interval95"][1]
    counts = {key: metrics[key] for key in ("protocol", "data", "train_clips", "test_clips", "classes", "runs")}
    learns = {"semi": 8, "few_shot": 2}.get(kind, len(np.load(f"results/{data}/splits/xsub_train.npy")))
    classes = 2 if kind == "few_shot" else 4
    assert counts == {
        "protocol": kind,
        "data": data,
        "train_clips": learns,
        "test_clips": len(test),
        "classes": classes,
        "runs": len(arrays),
    }
    assert len(metrics["per_class"]) == classes and set(metrics["per_class"]) <= set(store.class_names.values())
    heads = {"encoder", "projector", "predictor"} if method == "stars" and kind in ("knn", "few_shot") else {"encoder"}
    assert {result.get("output", "encoder") for result in metrics["results"]} == heads


@pytest.mark.parametrize(("number", "protocol", "printed"), [(1, "linear", 5), (2, "knn", 4)])
def test_tables_hold_our_rows_beside_the_published_ones(number, protocol, printed):
    with Path(f"results/tables/table{number}.csv").open() as file:
        cells = list(csv.DictReader(file))
    ours = {
        cell["recipe"]: float(cell["value"])
        for cell in cells
        if cell["origin"] == "this run" and cell["column"] == "demo_xsub"
    }
    assert ours == {
        method: json.loads((RUN / method / protocol / "metrics.json").read_text())["top1"] for method in METHODS
    }
    assert (
        sum(cell["origin"] == "published" and cell["recipe"] == "stars" and bool(cell["value"]) for cell in cells)
        == printed
    )
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
    assert {path.name for path in compared} >= {
        "encoder.safetensors",
        "heads.safetensors",
        "metrics.json",
        "predictions.npz",
        "curve.csv",
    }
    for path in compared:
        assert (tmp_path / "again" / path).read_bytes() == (RUN / path).read_bytes(), path
    stages(tmp_path / "other", 1)
    for path in (
        "mamp/encoder.safetensors",
        "stars/encoder.safetensors",
        "stars/features/demo_test.npy",
        "stars/curve.csv",
    ):
        assert (tmp_path / "other" / path).read_bytes() != (RUN / path).read_bytes(), path


def test_a_protocol_by_the_command_line_gives_the_workflow_s_bytes(tmp_path):
    told, device = (
        ("--config", CONFIG, "--recipe", "stars"),
        (
            "--device",
            "cpu",
            "--threads",
            "1",
            "--work",
            f"{tmp_path}/work",
        ),
    )
    encoder, clips = ("--encoder", f"{RUN}/stars/encoder.safetensors"), ("--clips", "results/other/clips")
    drawn, other = (
        ("--config", CONFIG),
        [f"--{part}=results/other/splits/xsub_{part}.npy" for part in ("train", "test")],
    )
    assert (
        main(
            [
                "finetune",
                *encoder,
                *STORE,
                *ROWS,
                *TEST,
                "--target",
                "demo",
                "--out",
                f"{tmp_path}/finetune",
                *told,
                *device,
            ]
        )
        == 0
    )
    assert main(["subsets", *ROWS, "--out", f"{tmp_path}/drawn", *drawn]) == 0
    subsets = ("--subsets", f"{tmp_path}/drawn")
    assert (
        main(
            ["semi", *encoder, *STORE, *TEST, *subsets, "--target", "demo", "--out", f"{tmp_path}/semi", *told, *device]
        )
        == 0
    )
    for shots in (1, 2):
        chosen = ("--data", "other", "--set", f"few_shot.shots=[{shots}]")
        assert main(["exemplars", *clips, other[0], "--out", f"{tmp_path}/drawn", *drawn, *chosen]) == 0
    features = ("--features", f"{RUN}/stars/features", "--target", "other_xsub", "--exemplars", f"{tmp_path}/drawn")
    assert main(["few-shot", *features, *clips, *other, "--out", f"{tmp_path}/few_shot", "--data", "other", *told]) == 0
    for folder, made in (("finetune", "finetune"), ("semi", "semi/0.25"), ("few_shot", "few_shot/other_xsub")):
        for name in ("metrics.json", "predictions.npz"):
            assert (tmp_path / folder / name).read_bytes() == (RUN / "stars" / made / name).read_bytes(), (folder, name)
