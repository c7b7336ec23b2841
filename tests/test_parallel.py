"""Two processes against one: the same losses and weights; checkpoints that go from one number of processes to
another; ways to end.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file
from test_strategies import STRATEGIES
from test_training import NNCLR, TUNE, Bench, write_clips

from stars import objectives
from stars.cli import main, nodes
from stars.cli.launch import free_port
from stars.config import Augment, TrainOptimiser, TuneOptimiser
from stars.config.train import TrainBase
from stars.errors import InputError, Interrupted
from stars.pipeline import configuration
from stars.training import parallel, run, train
from stars.training.plan import Plan

TWENTY = TuneOptimiser(epochs=20, warmup_epochs=2, batch=14, lr=1e-3, min_lr=0.0)
CASES = {
    "mamp": ("pretrain", {}),
    "mamp_present": ("pretrain", {"bodies": "present"}),
    "stars": ("tune", {}),
    "stars_drawn": ("tune", {"nnclr": NNCLR.model_copy(update={"nearest": 3, "norm_clips": 4})}),
    "stars_views": ("tune", {"nnclr": NNCLR.model_copy(update={"views": 2, "exclude_self": True})}),
    "moco": ("tune", STRATEGIES["moco"]),
    "dino_flip": ("tune", STRATEGIES["dino"] | {"augment": Augment(flip=0.5)}),
}

GRU = {"name": "encoder", "backbone": "bi_gru", "model": {"hidden": 4, "depth": 2, "frames": 16, "input_norm": False}}
HICO = {
    "name": "encoder",
    "backbone": "hico",
    "model": {"hidden": 8, "heads": 2, "granularities": 2, "frames": 16, "dropout": 0.0},
}
HI_TRS_SIZES = {
    "width": 4,
    "heads": 2,
    "head_width": 4,
    "depth": 1,
    "window": 3,
    "stride": 3,
    "places": 8,
    "frames": 16,
    "dropout": 0.0,
}
HI_TRS = {"name": "encoder", "backbone": "hi_trs", "model": HI_TRS_SIZES}
TRAININGS = {  # one of each family that processes can share
    "gru": ("skeletonclr", GRU, {"queue": 16, "dimension": 8}),
    "hico": ("hico", HICO, {"queue": 16, "dimension": 8}),
    "hi_trs": ("hi_trs", HI_TRS, {}),
    "predict_cluster": ("predict_cluster", GRU, {}),
    "ms2l": ("ms2l", GRU | {"model": GRU["model"] | {"pool": "mean"}}, {"hidden": 8, "dimension": 4}),
}
CASES |= dict.fromkeys(TRAININGS, ("train", {}))


def trained(bench: Bench, out: Path, case: str) -> None:
    """One of these; every view is a plain crop."""
    objective, network, options = TRAININGS[case]
    optimiser = TrainOptimiser.model_validate(TWENTY.model_dump() | {"kind": "adamw", "weight_decay": 0.0})
    views = {name: ["crop"] for name in objectives.find(objective).views}
    told = TrainBase(objective=objective, options=options, views=views, optimiser=optimiser)
    train.train(
        bench.clips, bench.train, out, train.TrainStage(seed=0, train=told, networks=[network]), bench.checkpoint
    )


def watched(loop, losses: list, stop_at: int):
    """A stage's training loop, its losses kept with all their digits; at a step the process that is last is told to
    stop.

    AdamW moves what has no gradient, such as a bias before a batch normalisation, by the sign of its rounding; a large
    ε stops that, so that what is compared is the arithmetic.
    """

    def train(job, plan, work):
        loss, calls = job.loss, iter(range(1, 10**6))

        def counted(*arguments):
            if next(calls) == stop_at and parallel.rank() == parallel.count() - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return loss(*arguments)

        job.loss = counted
        for group in job.optimiser.param_groups:
            group["eps"] = 1e-3
        curve = loop(job, plan, work)
        losses.extend(row["loss"] for row in curve.rows)
        return curve

    return train


def one_process(bench: Bench, name: str, cases: tuple[str, ...], stop_at: int) -> None:
    """Train the cases; their losses stand beside their outputs."""
    for case in cases:
        stage, options = CASES[case]
        losses: list[float] = []
        parent = {"parent": bench.folder / "parent"} if stage == "tune" else {}
        with mock.patch.object(run, "train", watched(run.train, losses, stop_at)):
            if stage == "train":
                trained(bench, bench.folder / name / case, case)
            else:
                bench.stage(stage, f"{name}/{case}", optimiser=TWENTY, **options, **parent)
        if parallel.rank() == 0:
            (bench.folder / name / case / "losses.json").write_text(json.dumps(losses))


def one_of_several(environment: dict[str, str], *arguments) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    with parallel.group("cpu"):
        try:
            one_process(*arguments)
        except Interrupted:
            sys.exit(75)


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    folder = tmp_path_factory.mktemp("ranks")
    bench = Bench(folder, write_clips(folder))
    (folder / "parent").symlink_to(bench.parent())
    return bench


def processes(bench: Bench, number: int, name: str, *cases: str, stop_at: int = 0) -> list[int | None]:
    """Exit codes of so many processes that train the cases together, started from a server that has torch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "stars.training.pretrain", "stars.training.tune"])
    common, started = {"WORLD_SIZE": str(number), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}, []
    for rank in map(str, range(number)):
        environment = {**common, "RANK": rank, "LOCAL_RANK": rank}
        started.append(context.Process(target=one_of_several, args=(environment, bench, name, cases, stop_at)))
        started[-1].start()
    for process in started:
        process.join(120)
    return [process.exitcode for process in started]


def assert_near(bench: Bench, one: str, two: str, *cases: str) -> None:
    """Losses to 1e-5, weights likewise."""
    for case in cases:
        losses = [json.loads((bench.folder / name / case / "losses.json").read_text()) for name in (one, two)]
        assert len(losses[0]) == 20 and losses[1] == pytest.approx(losses[0], abs=1e-5), case
        ours, theirs = (load_file(bench.folder / name / case / "encoder.safetensors") for name in (one, two))
        # the projector's batch normalisation undoes the final norm's scale and shift: in stage 2 they hold rounding
        for tensor in ours:
            near = 1e-3 if CASES[case][0] == "tune" and tensor.startswith("norm.") else 1e-5
            torch.testing.assert_close(theirs[tensor], ours[tensor], atol=near, rtol=0)


@pytest.fixture(scope="module")
def alone(bench) -> str:
    one_process(bench, "alone", tuple(CASES), 0)
    return "alone"


def test_two_processes_compute_what_one_does(bench, alone):
    assert processes(bench, 2, "together", *CASES) == [0, 0]
    assert_near(bench, alone, "together", *CASES)
    notes = json.loads((bench.folder / "together/stars/record.json").read_text())["notes"]
    assert (notes["processes"], notes["effective_batch"]) == (2, 14)


@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_a_training_goes_on_with_another_number_of_processes(bench, alone, first, then):
    """The signal reaches one process; all stop after the same step."""
    name = f"from{first}to{then}"
    assert processes(bench, first, name, "stars", stop_at=7) == [75] * first
    assert processes(bench, then, name, "stars") == [0] * then
    assert_near(bench, alone, name, "stars")
    notes = json.loads((bench.folder / name / "stars/record.json").read_text())["notes"]
    assert [leg["until_step"] for leg in notes["earlier_runs"]] == [7] and notes["processes"] == then


def command(bench: Bench, out: str, epochs: float, *options: str, by: tuple[str, ...] = ("-m", "stars")) -> list[str]:
    """Stage 2 of so many epochs, saving as often as it can."""
    tuned = TUNE.model_copy(update={"optimiser": TUNE.optimiser.model_copy(update={"epochs": epochs})})
    paths = {"clips": bench.clips, "train": bench.train, "parent": bench.folder / "parent", "out": bench.folder / out}
    told = {
        "work": bench.folder / f"{out}.work",
        "settings": json.dumps({"seed": 0, "tune": tuned.model_dump(mode="json")}),
    }
    given = [word for name, value in {**paths, **told}.items() for word in (f"--{name}", str(value))]
    return [
        sys.executable,
        *by,
        "tune",
        *given,
        "--device",
        "cpu",
        "--threads",
        "2",
        "--checkpoint-seconds",
        "0.01",
        *options,
    ]


def start(words: list[str]) -> subprocess.Popen:
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True)


# seconds after which a test takes a process for hung: a busy machine needs minutes for what takes seconds
PATIENCE = 300


def under_way(bench: Bench, out: str) -> None:
    """Wait for a checkpoint."""
    deadline = time.monotonic() + PATIENCE
    while not list((bench.folder / f"{out}.work").glob("*/last.ckpt")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ranks_of(launcher: int) -> list[int]:
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return [int(child) for child in children]


def gone(process: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{process}").exists() and Path(f"/proc/{process}/stat").read_text().split()[2] != "Z":
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_signal_to_the_command_saves_and_its_exit_code_asks_to_run_it_again(bench):
    run = start(command(bench, "stopped", 1e5, "--gpus", "2"))
    under_way(bench, "stopped")
    run.send_signal(signal.SIGTERM)
    said = run.communicate(timeout=PATIENCE)[1]
    assert run.returncode == 75
    assert said.count("stars: tune: stopped after step") == 1 and "Traceback" not in said


def test_a_killed_command_leaves_no_process_behind(bench):
    run = start(command(bench, "killed", 1e5, "--gpus", "2"))
    under_way(bench, "killed")
    ranks = ranks_of(run.pid)
    run.kill()
    run.wait()
    assert len(ranks) == 2 and all(map(gone, ranks))


def test_a_process_that_dies_ends_the_others_with_a_line_that_says_so(bench):
    run = start(command(bench, "broken", 1e5, "--gpus", "2"))
    under_way(bench, "broken")
    os.kill(ranks_of(run.pid)[1], signal.SIGKILL)
    said = run.communicate(timeout=PATIENCE)[1]
    assert run.returncode == 1
    assert (
        "stars: a training process failed" in said.splitlines()[-1]
        and "process 1 with code -9" in said.splitlines()[-1]
    )


def test_torchrun_works_too(bench):
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "stars")
    done = subprocess.run(
        command(bench, "torchrun", 2, by=torchrun), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((bench.folder / "torchrun/record.json").read_text())["notes"]["processes"] == 2


SRUN = """#!/bin/sh
echo "$*" >> {0}/asked
while [ "${{1#--}}" != "$1" ]; do shift; done
SLURMD_NODENAME=node2 SLURM_LAUNCH_NODE_IPADDR=127.0.0.1 exec "$@"
"""


@pytest.fixture
def two_nodes(tmp_path, monkeypatch) -> Path:
    """Job 7 of a stand-in for Slurm that has two nodes, this machine both of them; what srun was asked for."""
    for name, script in {
        "srun": SRUN.format(tmp_path),
        "squeue": "#!/bin/sh\necho node[1-2]\n",
        "scontrol": "#!/bin/sh\necho node1\necho node2\n",
    }.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    for name, value in {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "7",
        "SLURMD_NODENAME": "node1",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "asked"


def test_two_nodes_make_the_bytes_of_one_with_two_processes(bench, two_nodes):
    for number, threads in (("1", "2"), ("2", "1")):  # of a node: one for each process, since the bytes depend on it
        done = start(command(bench, f"nodes{number}", 2, "--gpus", "2", "--nodes", number, "--threads", threads))
        assert done.wait(timeout=PATIENCE) == 0, done.stderr.read()
    one, two = ((bench.folder / f"nodes{number}/encoder.safetensors").read_bytes() for number in (1, 2))
    assert one == two
    notes = [json.loads((bench.folder / f"nodes{number}/record.json").read_text())["notes"] for number in (1, 2)]
    assert [(each["processes"], each["nodes"], len(each.get("hardware_of_nodes", []))) for each in notes] == [
        (2, 1, 0),
        (2, 2, 2),
    ]
    asked = two_nodes.read_text().splitlines()
    assert len(asked) == 1
    assert (
        asked[0].startswith("--jobid=7 --overlap --nodes=1 --ntasks=1 --nodelist=node2 --cpu-bind=none ")
        and " -m stars tune " in asked[0]
    )


def of_two_nodes(launcher: int) -> list[int]:
    """The first process, what runs on the other node, and its process."""
    first, other = ranks_of(launcher)
    return [first, other, *ranks_of(other)]


def test_a_signal_to_the_first_node_s_command_stops_both(bench, two_nodes):
    run = start(command(bench, "stopped_nodes", 1e5, "--gpus", "2", "--nodes", "2"))
    under_way(bench, "stopped_nodes")
    everything = of_two_nodes(run.pid)
    run.send_signal(signal.SIGTERM)
    said = run.communicate(timeout=PATIENCE)[1]
    assert run.returncode == 75 and len(everything) == 3 and all(map(gone, everything))
    assert said.count("stars: tune: stopped after step") == 1 and "Traceback" not in said


def test_a_killed_command_leaves_no_process_on_any_node(bench, two_nodes):
    run = start(command(bench, "killed_nodes", 1e5, "--gpus", "2", "--nodes", "2"))
    under_way(bench, "killed_nodes")
    everything = of_two_nodes(run.pid)
    run.kill()
    run.wait()
    assert len(everything) == 3 and all(map(gone, everything))


def test_a_process_that_dies_on_another_node_ends_all_with_a_line_that_names_the_node(bench, two_nodes):
    run = start(command(bench, "broken_nodes", 1e5, "--gpus", "2", "--nodes", "2"))
    under_way(bench, "broken_nodes")
    everything = of_two_nodes(run.pid)
    os.kill(everything[-1], signal.SIGKILL)
    said = run.communicate(timeout=PATIENCE)[1]
    assert run.returncode == 1 and all(map(gone, everything))
    assert (
        "stars: a training process failed" in said.splitlines()[-1]
        and "node node2 with code 1" in said.splitlines()[-1]
    )
    assert "process 1 with code -9" in said  # what the other node's command said of its own


@pytest.mark.parametrize(
    ("asked", "missing", "line"),
    [
        (
            ("2", "2"),
            "SLURM_JOB_ID",
            "--nodes 2: this is not a Slurm job: run `snakemake --profile slurm`, or set compute.nodes to 1",
        ),
        (("3", "3"), "", "--nodes 3: this Slurm job has 2: run `snakemake --profile slurm`, or set compute.nodes to 1"),
        (("3", "2"), "", "--gpus 3 is not a multiple of --nodes 2: change either"),
        (("1", "2"), "", "--gpus 1 is not a multiple of --nodes 2: change either"),
    ],
    ids=["no Slurm", "too few nodes", "three on two", "one on two"],
)
def test_nodes_that_there_are_not_are_one_line(bench, two_nodes, monkeypatch, capsys, asked, missing, line):
    monkeypatch.delenv(missing, raising=False)
    gpus, number = asked
    assert main(command(bench, "refused", 2, "--gpus", gpus, "--nodes", number)[3:]) == 2
    assert capsys.readouterr().err == f"stars: {line}\n"


def test_gloo_listens_where_the_other_node_can_reach_it(monkeypatch):
    monkeypatch.delenv(nodes.GLOO_INTERFACE, raising=False)
    assert nodes.interface("127.0.0.1") == {nodes.GLOO_INTERFACE: "lo"} and nodes.interface("node.invalid") == {}
    monkeypatch.setenv(nodes.GLOO_INTERFACE, "eth7")
    assert nodes.interface("127.0.0.1") == {}


def test_a_batch_that_cannot_be_shared_evenly_is_refused(monkeypatch):
    monkeypatch.setattr(parallel, "count", lambda: 3)
    with pytest.raises(
        InputError, match="tune: 3 GPUs cannot share a batch of 14 clips evenly: change gpus or the batch"
    ):
        Plan.of(0, "tune", 100, TWENTY)


def test_more_processes_than_gpus_are_refused(bench, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "99")
    monkeypatch.setenv("LOCAL_RANK", "0")
    seen = torch.cuda.device_count()
    assert main(command(bench, "refused", 2, "--device", "auto")[3:]) == 2
    assert (
        capsys.readouterr().err
        == f"stars: 99 processes need a GPU each, but torch sees {seen}: request fewer processes or more GPUs\n"
    )


def test_a_configuration_whose_batches_cannot_be_shared_is_refused_before_any_job():
    with pytest.raises(
        InputError, match=r"methods\.stars\w* on data\.demo: 3 GPUs cannot share tune\.optimiser\.batch \(64\) evenly"
    ):
        configuration.load_file("config/config.yaml", ["methods.stars.gpus=3"])
    config = configuration.load_file("config/config.yaml", ["compute.gpus=2", "methods.stars.gpus=4"])
    assert [configuration.method(config, "demo", name).gpus for name in ("mamp", "stars", "stars_two_views")] == [
        2,
        4,
        4,
    ]


def test_a_configuration_spreads_gpus_evenly_over_nodes_but_for_methods_of_one():
    with pytest.raises(
        InputError, match=r"methods\.mamp on data\.demo: its gpus \(1\) is not a multiple of compute\.nodes \(2\)"
    ):
        configuration.load_file("config/config.yaml", ["compute.nodes=2"])
    config = configuration.load_file(
        "config/config.yaml", ["compute.gpus=4", "compute.nodes=2", "methods.stars.gpus=1"]
    )
    assert [configuration.method(config, "demo", name).nodes for name in ("mamp", "stars", "stars_two_views")] == [
        2,
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("network", "refused"),
    [
        (HICO, False),
        (HICO | {"model": HICO["model"] | {"dropout": 0.1}}, True),
        ({"name": "encoder", "backbone": "st_gcn", "model": {"channels": 2, "width": 8}}, True),
    ],
    ids=["plain", "dropout", "batch norm"],
)
def test_what_processes_cannot_share_is_one_line(monkeypatch, network, refused):
    objective = "hico" if network["backbone"] == "hico" else "skeletonclr"
    told = TrainBase(objective=objective, options={"queue": 16, "dimension": 8}, optimiser=TWENTY.model_dump())
    model = train.new(train.TrainStage(seed=0, train=told, networks=[network], parents=(0, 0, 0, 1, 2)), 5, 2)
    monkeypatch.setattr(parallel, "count", lambda: 2)
    with (
        pytest.raises(InputError, match=r"train: .* which several GPUs do not support: set gpus to 1")
        if refused
        else nullcontext()
    ):
        run._check_processes(model, "train")
