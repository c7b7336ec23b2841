"""What a run would cost: the operations of the real model, Snakemake's own jobs, rates that are named."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from masked import MaskedMotion
from tiny import CONFIG, ROOT, asked, messages, project
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from stars.backbones.transformer import Network
from stars.cli import main
from stars.config import Model, Motion
from stars.errors import InputError
from stars.evaluation import knn, rescale
from stars.pipeline import configuration, layout
from stars.plan import besides, duration, fits, jobs, rates, summary, work
from stars.plan import encoder as encoder_formulas
from stars.plan.work import Size

SHAPE = Model(
    frames=16, segment=4, width=32, depth=2, heads=2, hidden=48, decoder_width=16, decoder_depth=3, decoder_hidden=24
)
PAPER = configuration.load_file(ROOT / "config/paper.yaml")


def attention(query, key, value, *others, out_shape=None, **more) -> int:
    return sdpa_flop_count(query, key, value)


def counted(run) -> int:
    """Operations that torch counts, without the embeddings and heads that the estimate leaves out."""
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # which torch's own table leaves out
    with FlopCounterMode(display=False, custom_mapping={fused: attention}) as counter:
        run()
    return sum(
        flops
        for name, found in counter.get_flop_counts().items()
        if re.search(r"blocks\.\d+$", name)
        for flops in found.values()
    )


def test_the_estimate_counts_what_torch_counts_in_the_transformer_blocks():
    encoder = Network(SHAPE, 25)
    assert counted(lambda: encoder(torch.randn(1, 16, 25, 3))) == encoder_formulas.encoder_flops(SHAPE, 25)
    model = MaskedMotion(SHAPE, Motion(), 25)
    expected = encoder_formulas.encoder_flops(SHAPE, 25, 1 - 0.9) + 3 * encoder_formulas.block_flops(100, 16, 24)
    assert counted(lambda: model(torch.randn(1, 16, 25, 3), torch.rand(1, 100))) == expected
    assert encoder_formulas.encoder_parameters(SHAPE, 25) == sum(value.numel() for value in encoder.parameters())
    assert encoder_formulas.encoder_parameters(Model(), 25) == 6_336_000
    assert encoder_formulas.encoder_flops(Model(), 25) / 1e9 == pytest.approx(14.05, abs=0.01)


def test_work_of_each_stage():
    size, full = Size(train=1000, test=100, bodies=1.5), encoder_formulas.encoder_flops(Model(), 25)
    blocks = configuration.method(PAPER, "ntu60", "stars").blocks

    def of(stage, **settings):
        return work.amount(stage, settings, encoder_formulas.Encoder.transformer(Model()), size).amount

    assert of("tune", tune=blocks["tune"]) == pytest.approx((1 + 2 * 4 / 8) * 1.5 * full * 1000 * 20)
    assert of("embed", outputs=["encoder"]) == 1.5 * full * 1100
    assert of("linear", linear=blocks["linear"]) == 1.5 * full * 1000 * 100
    assert of("linear", linear={**blocks["linear"], "cached_views": 4}) == 1.5 * full * 1000 * 4
    assert of("pretrain", pretrain=blocks["pretrain"]) == pytest.approx(
        3 * 2 * (0.976e9 + 8.78e9) * 1000 * 400, rel=0.01
    )
    assert [work.passes(name, options) for name, options in (("dino", {"local_views": 2}), ("moco", {}))] == [
        (4, 2),
        (1, 1),
    ]
    assert work.size_of(PAPER, "ntu60", "xsub") == Size(40091, 16487, pytest.approx(1 + 11 / 60))
    assert work.size_of(configuration.load({"data": {"pku1": {"dataset": "pku1", "raw": "x"}}}), "pku1", "xsub") is None


def test_work_of_comparing_features():
    assert besides.MARGIN == knn.MARGIN and set(besides.RESCALED) == set(rescale.RESCALED)
    encoder, size = encoder_formulas.Encoder.transformer(Model()), Size(40000, 10000, bodies=1.5, novel=(20000, 5000))

    def of(stage, size, block):
        return (
            besides.amounts(
                stage,
                {stage.replace("-", "_"): block, "novel": list(range(30)), "outputs": ["encoder", "projector"]},
                encoder,
                size,
            )["compare"]
            / 512
        )

    one = of("knn", size, {"outputs": ["encoder"], "k": [1, 10]})
    search = 10000 * (40000 + besides.CANDIDATE * 26)
    both = of("knn", size, {"outputs": ["encoder", "projector", "predictor"], "k": [1, 10]})
    whitened = of("knn", size, {"outputs": ["encoder", "whitened"], "k": [1, 10]})
    assert both - one == whitened - one == search
    assert one - search == besides.CLUSTERED * 10000**2
    drawn = sum(3 * 5000 * (n * 30 + besides.CANDIDATE * min(n + 16, n * 30)) for n in (1, 2))
    shots = {"outputs": ["encoder"], "shots": [1, 2], "draws": 3, "readings": ["exemplars"]}
    assert of("few-shot", size, shots) == drawn
    assert of("few-shot", size, {**shots, "readings": ["exemplars", "neighbours"]}) - drawn == besides.searched(
        5000, 20000, 2
    )
    assert work.size_of(PAPER, "ntu120", "xsub").novel == (22935, 34432)
    assert work.size_of(PAPER, "ntu60", "xsub").novel == (0, 0)
    assert besides.amounts("map", {"points": 16000}, encoder, size)["place"] == 10000 * 2.5**0.5


def test_features_without_an_encoder_are_counted():
    config, folder = configuration.load_file(ROOT / "config/config.yaml"), "results/demo_xsub"
    split = {"train": ("results/demo/splits/xsub_train.npy",), "test": ("results/demo/splits/xsub_test.npy",)}
    size = work.size_of(config, "demo", "xsub")
    knn_settings = {"knn": {"outputs": ["encoder"], "k": [1]}, "outputs": ["encoder"]}

    def of(stage, method, settings):
        return work.of(jobs.Job(stage, {"out": (f"{folder}/{method}/features",), **split}, settings), config)

    encoder = work.encoder_for(jobs.Job("knn", {"out": (f"{folder}/stars/knn",)}, {}), config)
    joints = of("joints", "raw_joints", {})
    assert {*joints.besides} == {"hash", "load"} and joints.disk == 4 * (32 * 2 * 25 * 3) * (size.train + size.test)
    per_number = {
        width: of("knn", method, knn_settings).besides["compare"] / width
        for method, width in (("raw_joints", 4800), ("stars_two_views", encoder.width), ("stars", encoder.width))
    }
    assert len(set(per_number.values())) == 1


def test_the_time_left_builds_no_network(monkeypatch):
    """Not even that of the members whose features are fused: Snakemake's process would import PyTorch."""
    monkeypatch.chdir(ROOT)
    config = configuration.load_file("config/config.yaml+config/compare/methods.yaml")
    monkeypatch.setattr(encoder_formulas.Encoder, "network", property(lambda encoder: pytest.fail("a network")))
    knn_settings = {"knn": {"outputs": ["encoder"], "k": [1]}, "outputs": ["encoder"]}
    machine, seconds = rates.load(Path("config/rates.csv"))["one core of an AMD EPYC"], {}
    for method in ("aimclr", "aimclr_3s", "stars_two_views", "stars"):
        folder, told = f"results/demo_xsub/{method}/knn", shlex.quote(json.dumps(knn_settings))
        rows = "--train results/demo/splits/xsub_train.npy --test results/demo/splits/xsub_test.npy"
        command = f"stars knn --out {folder} {rows} --settings {told}"
        seconds[method] = duration._seconds(command, None, config, machine)
    assert seconds["aimclr"] is seconds["aimclr_3s"] is None and min(seconds["stars"], seconds["stars_two_views"]) > 0


def test_memory_of_a_step_follows_its_batch_and_precision():
    encoder, size = encoder_formulas.Encoder.transformer(Model()), Size(1000, 100, bodies=1.5)
    kept = 4 * besides.FREE_NUMBERS * 8 * 2 * (120 // 4 * 25) * 256 * 8

    def of(stage, block, gpu, precision="fp32"):
        settings = {block: {"precision": precision, "optimiser": {"batch": 8}}}
        return besides.memory(stage, settings, encoder, size, gpu)

    for job in (("tune", "tune"), ("finetune", "finetune"), ("semi", "finetune")):
        assert of(*job, gpu=False) - of(*job, gpu=True) == kept
        assert of(*job, gpu=False, precision="bf16") - of(*job, gpu=True) == kept / 2


def test_a_printed_command_is_read_as_the_shell_would():
    settings = shlex.quote(json.dumps({"x": "it's"}))
    command = f"stars knn --features a --train r/t.npy --parts a b --raw  --settings {settings} > log 2>&1"
    text = f"Job 3: x\nShell command: {command}\nShell command: None\n"
    (job,) = jobs.parse(text)
    assert job == jobs.Job(
        "knn", {"features": ("a",), "train": ("r/t.npy",), "parts": ("a", "b"), "raw": ()}, {"x": "it's"}
    )


def test_a_plan_has_snakemake_s_jobs_and_says_what_is_assumed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project(tmp_path / "project"))
    assert main(["plan", "table2", "--config", "config/paper.yaml", "--tflops", "20"]) == 0
    said = capsys.readouterr().out
    lines = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line and line[0] != " "}
    assert (
        lines["ingest"][0] == "49" and lines["pretrain"][0] == "4" and "linear" not in lines and lines["knn"][0] == "12"
    )
    assert float(lines["pretrain"][2]) == pytest.approx(
        float(lines["pretrain"][1].replace(",", "")) * 1e15 / 20e12 / 3600, rel=0.01
    )
    assert "20 TFLOP/s are assumed, not measured" in said and "Raw files of NTU-120 are missing" in said
    assert not any((tmp_path / "project").rglob("results/*/*"))


def test_own_runs_go_before_the_file_s_machines(finished, monkeypatch):
    monkeypatch.chdir(finished)
    config = configuration.load_file(CONFIG)
    own = rates.own(config, finished / "results", gpu=False)
    record = json.loads((finished / "results/demo_xsub/mamp/record.json").read_text())
    per_clip = (
        2 * 3 * (encoder_formulas.encoder_flops(config.model, 25, 1 - 0.9) + encoder_formulas.block_flops(100, 16, 32))
    )
    clips = record["notes"]["train_clips"]
    assert own["pretrain", "fp32"] == pytest.approx(per_clip * clips * 2 / record["wall_seconds"])
    assert rates.own(config, finished / "results", gpu=True) == {}
    machine = rates.Machine("m", False, {"train": 1e9, "start": 3600.0}, ())
    job = jobs.Job(
        "pretrain",
        {"out": ("results/demo_xsub/mamp",), "train": ("results/demo/splits/xsub_train.npy",)},
        record["settings"],
    )
    (alone,), (with_own,) = (
        summary.stages([job], config, machine, known) for known in ({}, {("pretrain", "fp32"): per_clip * clips * 2})
    )
    assert alone.cpu_hours == pytest.approx(
        1 + per_clip * clips * 2 / 1e9 / 3600
    ) and with_own.cpu_hours == pytest.approx(1 + 1 / 3600)


def test_own_runs_count_where_their_model_and_clips_are_those_asked_about(finished, tmp_path, monkeypatch):
    """Each stage of a run is among them, stage 2 too; none of a model, a data set or a number of clips that is not
    the configuration's.
    """
    monkeypatch.chdir(finished)
    results = finished / "results"
    assert {stage for stage, _ in rates.own(configuration.load_file(CONFIG), results, gpu=False)} == {
        *rates.TRAINING.values()
    } - {"train"}
    for other in ("model.depth=3", "model.heads=4"):
        assert rates.own(configuration.load_file(CONFIG, [other]), results, gpu=False) == {}, other
    alone = {"data": {"toy": {"dataset": "demo", "simulate": {}}}, "transfer": {"pairs": []}, "few_shot": {"pairs": []}}
    assert rates.own(configuration.load(alone), results, gpu=False) == {}
    for name in ("mamp", "stars"):
        path = tmp_path / f"results/demo_xsub/{name}/record.json"
        path.parent.mkdir(parents=True)
        record = json.loads((results / f"demo_xsub/{name}/record.json").read_text())
        path.write_text(json.dumps({**record, "notes": {**record["notes"], "train_clips": 31}}))
    assert rates.own(configuration.load_file(CONFIG), tmp_path / "results", gpu=False) == {}


def test_own_runs_go_first_in_their_own_precision_alone(finished, tmp_path, monkeypatch):
    """A run in float32 says nothing of a plan in bf16, whose machine's rate is known; a run in bf16 does."""
    path = (results := tmp_path / "results") / "demo_xsub/mamp/record.json"
    path.parent.mkdir(parents=True)
    shutil.copy(finished / "results/demo_xsub/mamp/record.json", path)
    monkeypatch.chdir(finished)
    config = configuration.load_file(CONFIG)
    record = json.loads(path.read_text())
    settings = {**record["settings"], "pretrain": {**record["settings"]["pretrain"], "precision": "bf16"}}
    job = jobs.Job(
        "pretrain", {"out": ("results/demo_xsub/mamp",), "train": ("results/demo/splits/xsub_train.npy",)}, settings
    )
    machine, amount = rates.Machine("m", False, {"train": 1e9, "train bf16": 2e9}, ()), work.of(job, config).amount

    def hours() -> float | None:
        return summary.stages([job], config, machine, rates.own(config, results, gpu=False))[0].cpu_hours

    own = rates.own(config, results, gpu=False)
    assert list(own) == [("pretrain", "fp32")] and hours() == pytest.approx(amount / 2e9 / 3600)
    notes = {**record["notes"], "precision": "bf16"}  # what `auto` became, where that was asked for
    path.write_text(json.dumps({**record, "settings": settings, "notes": notes, "wall_seconds": 7.0}))
    own = rates.own(config, results, gpu=False)
    assert own == {
        ("pretrain", "bf16"): pytest.approx(
            amount / (7 + sum(leg["seconds"] for leg in record["notes"].get("earlier_runs", ())))
        )
    }
    assert hours() == pytest.approx(amount / own["pretrain", "bf16"] / 3600)
    job.settings["pretrain"]["precision"] = "auto"
    assert hours() == pytest.approx(amount / own["pretrain", "bf16"] / 3600)
    assert "own runs (used first): pretrain bf16 " in summary.report([], machine, own, [])


def test_the_rates_that_come_with_the_repository_are_whole():
    machines = rates.load(ROOT / "config/rates.csv")
    assert {machine.gpu for machine in machines.values()} == {False, True}
    for machine in machines.values():
        assert {"train", "encode", "read", "start"} <= set(machine.rates) <= set(rates.UNITS) and machine.sources


def test_the_paper_s_cost_is_counted_at_measured_rates_of_its_precision(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project(tmp_path / "project"))
    known = rates.load(ROOT / "config/rates.csv")["NVIDIA H200"]
    for changed, work_name in ((), "train"), (("--set", "pretrain.precision=bf16"), "train bf16"):
        assert main(["plan", "curves", "--config", str(ROOT / "config/paper.yaml"), *changed]) == 0
        said = capsys.readouterr().out
        row = next(line.split() for line in said.splitlines() if line.startswith("pretrain"))
        assert float(row[3]) == pytest.approx(
            float(row[2].replace(",", "")) * 1e15 / known.rates[work_name] / 3600, rel=0.01
        )
        assert (
            "Speeds of NVIDIA H200: train 26,590 GFLOP/s" in said
            and "train, encode, train bf16, encode bf16: functions of" in said
        )
    assert "Not counted" not in said
    path = tmp_path / "old.csv"
    path.write_text(
        f"{','.join(rates.FIELDS)}\nm,no,train,1,GFLOP/s,s\nm,no,encode,1,GFLOP/s,s\nm,no,read,1,files/s,s\n"
    )
    arguments = ["plan", "curves", "--config", str(ROOT / "config/paper.yaml"), "--rates", str(path), "--machine", "m"]
    assert main(arguments) == 0
    assert (
        "Not counted: start, train start, draw start, light, hash, load, cut, copy, compare, place. "
        in capsys.readouterr().out
    )
    slow = rates.Machine("m", False, {"train": 1e9}, ())
    assert slow.rate(work.Work("train", 1, precision="bf16")) == 1e9 and slow.rate(work.Work("encode", 1)) is None


@pytest.mark.parametrize(
    ("line", "message"), [("m,no,train,x,GFLOP/s,s", "line 2: rate must be"), ("m,no,fly,1,s,s", "line 2: the columns")]
)
def test_a_damaged_rates_file_is_named_with_its_line(tmp_path, line, message):
    path = tmp_path / "rates.csv"
    path.write_text(f"{','.join(rates.FIELDS)}\n{line}\n")
    with pytest.raises(InputError, match=message):
        rates.load(path)


@pytest.mark.parametrize("assumed", ["0", "-1", "nan"])
def test_no_rate_at_all_is_refused(capsys, assumed):
    assert main(["plan", "--tflops", assumed]) == 2
    assert capsys.readouterr().err == "stars: --tflops: give a number greater than 0\n"


def test_snakemake_s_refusal_is_passed_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project(tmp_path / "project"))
    assert main(["plan", "tabel2", "--config", CONFIG]) == 2
    assert "tabel2" in capsys.readouterr().err


def test_changes_say_what_is_made_why_and_how_long_in_ten_lines(own, monkeypatch, capsys):
    monkeypatch.chdir(own)

    def said(*arguments: str) -> list[str]:
        assert main(["changes", "--config", CONFIG, *arguments]) == 0
        return capsys.readouterr().out.splitlines()

    assert said() == ["nothing to do: every result is up to date"]
    *lines, last = said("--set", "tune.optimiser.lr=0.002", "--set", "fig6.pairs=5")
    assert last == (
        f"to run: snakemake --cores 2 --configfile {CONFIG} --config 'tune={{optimiser: {{lr: 0.002}}}}' 'fig6={{pairs: 5}}'"
    )
    jobs_, seconds = re.fullmatch(r"(\d+) jobs, about (\d\d:\d\d) if run one at a time", lines[0]).groups()
    assert len(lines) <= 10 and int(jobs_) > 10 and seconds != "00:00"
    assert any(line.startswith("  tune stars: tune.optimiser.lr 0.001 → 0.002 (about ") for line in lines)
    assert any(line.startswith("  figure fig6: pairs ") and " → 5 (about " in line for line in lines)
    assert "depends on results above" in lines[-1] and "embed" in lines[-1] and "pretrain" not in "".join(lines)
    first, *_, last = said("--set", "tune.last_exponent=0", "--set", "tune.tuned_blocks=null", "table2")  # no strings
    done = asked(own, "--dry-run", *shlex.split(last)[5:])
    assert shlex.split(last)[-2:] == ["--", "table2"] and done.returncode == 0, done.stdout + done.stderr
    assert len(messages(done.stdout)) == int(first.split()[0])
    shutil.rmtree("results/demo_xsub/mamp/knn")
    Path("results/tables/table2.csv").unlink()  # which needs it
    assert any(line.startswith("  knn mamp: not made yet") for line in said())


def test_the_most_clips_of_a_split_are_those_that_simulated_files_come_to(finished):
    config = configuration.load_file(finished / CONFIG)
    for data, split in layout.every_run(config):
        rows = [len(np.load(finished / layout.split_rows(data, split, side))) for side in ("train", "test")]
        quality = json.loads((finished / layout.clips(data) / "quality.json").read_text())
        # in which the sensor saw nobody
        subjects = [int(re.search(r"P(\d+)", clip["name"])[1]) for clip in quality["dropped"]]
        unread = [sum(subject % 2 == side for subject in subjects) for side in (1, 0)]  # odd subjects train
        assert list(fits.most(config, data, split)[:2]) == list(np.add(rows, unread))
    told = {"demo": {"dataset": "ntu60", "raw": "a"}, "own": {"dataset": "demo", "raw": "b"}}
    config = configuration.load({"data": told})
    assert fits.most(config, "demo", "xsub")[:2] == (40091, 16487) and fits.most(config, "own", "xsub") is None


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (
            {"knn": {"k": [1, 10, 33]}},
            "knn.k asks for 33 neighbours, but demo_xsub has at most 32 training clips: lower knn.k",
        ),
        (
            {"few_shot": {"shots": [1, 99]}},
            "few_shot.shots asks for 99 neighbours, but other_xsub has at most 8 training clips of the novel",
        ),
        (
            {"pretrain": {"optimiser": {"batch": 1}}},
            "methods.mamp on demo_xsub: pretrain.optimiser.batch is 1, and there are at most 32",
        ),
        ({"data": {"demo": {"simulate": {"clips": 1}}}}, "split xsub of data.demo would have no t"),
    ],
)
def test_what_clips_do_not_do_for_is_said_before_any_job(blocks, expected):
    config = configuration.load(configuration.merge(configuration.read_yaml(ROOT / "tests" / CONFIG), {**blocks}))
    with pytest.raises(InputError, match=re.escape(expected)):
        fits.lines(config)


def test_a_batch_that_is_larger_than_the_training_clips_is_said_and_stops_nothing():
    given = configuration.merge(
        configuration.read_yaml(ROOT / "tests" / CONFIG), {"tune": {"optimiser": {"batch": 64}}}
    )
    assert fits.lines(configuration.load(given)) == [
        "tune.optimiser.batch is 64 (stars), more than the 32 training clips of demo_xsub: each step uses all of them"
    ]
