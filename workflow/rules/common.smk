# Shared by all stages: the checked configuration, the settings of a stage as params, the runs there are.

import functools
import re
import sys
from itertools import product
from pathlib import Path

from stars import drawings, layout, own, recipes
from stars.data.dataset import obtain
from stars.errors import InputError
from stars.provenance import code, stale

# `stars` is this installation's, whatever else is on the PATH; under --use-conda it is the environment's.
if not any(method.name == "CONDA" for method in workflow.deployment_settings.deployment_method):
    shell.prefix(f'set -euo pipefail; PATH="{Path(sys.executable).parent}:$PATH"; ')  # a prefix takes the place of Snakemake's own `set`

try:
    given = functools.reduce(recipes.merge, map(recipes.read_yaml, workflow.configfiles), {})
    added = " ".join(["--config", *workflow.config_settings.config]) if workflow.config_settings.config else ""
    CONFIG = recipes.load_over(given, config, ", ".join(map(str, workflow.configfiles)), added)
except InputError as error:
    raise WorkflowError(str(error)) from None

ENVIRONMENT = "../../envs/stars.yaml"  # what trains, encodes and evaluates
READING, DRAWING = "../../envs/read.yaml", "../../envs/draw.yaml"  # families without torch
FIG4_RUN, FIG6_RUN = drawings.place(CONFIG, CONFIG.fig4), drawings.place(CONFIG, CONFIG.fig6)
# Where jobs run and how often they save: given as resources, since they change no result.
COMPUTE, CHECKPOINT = CONFIG.compute, CONFIG.checkpoint
GPU = int(COMPUTE.device != "cpu")
COMPILED = "yes" if COMPUTE.compile else "no"


def one_of(names):
    """Wildcard constraint: exactly these names."""
    return "|".join(map(re.escape, names)) or "(?!)"


def methods_where(holds):
    """Folders of all methods of which `holds` is true, one a seed."""
    data = next(iter(CONFIG.data))
    names = [name for name in CONFIG.methods if holds(recipes.method(CONFIG, data, name))]
    return [recipes.tag(CONFIG, name, seed) for name, seed in product(names, CONFIG.seeds)]


def methods_of(kind):
    """Folders of all methods of a kind (scratch, pretrain, tune, joints)."""
    return methods_where(lambda method: method.kind == kind)


def methods_with_heads():
    """Folders of all methods whose projector and predictor are embedded beside the encoder."""
    return methods_where(lambda method: "predictor" in method.outputs)


def settings(stage):
    """Params function: the settings of `stage` for a job, one line of JSON, nothing that the stage does not read."""

    def for_job(wildcards):
        data = wildcards.get("target") or wildcards.data
        split, folder = wildcards.get("split", ""), wildcards.get("method", "")
        variant = wildcards.get("fraction") or wildcards.get("shots", "")
        return recipes.as_argument(recipes.stage_settings(CONFIG, stage, data, folder, split, variant))

    return for_job


def code_digest(modules):
    """Digest of a stage's own source, or a constant where the configuration says that code changes only warn."""
    policy = CONFIG.code_changes or ("warn" if modules.split("+")[0] in stale.KEPT else "rebuild")
    return code.digest_of(modules) if policy == "rebuild" else "not compared"


def tuning_code(wildcards):
    """Params function: digest of stage 2's source, with that of the method's loss."""
    name, _ = recipes.untag(CONFIG, wildcards.method)
    return code_digest(code.of_tuning(recipes.method(CONFIG, wildcards.data, name).blocks["tune"]["strategy"]))


def parent(wildcards):
    """Folder of the method whose encoder a tuned method starts from, trained with the same seed."""
    name, seed = recipes.untag(CONFIG, wildcards.method)
    start = recipes.method(CONFIG, wildcards.data, name).parent
    return f"results/{wildcards.data}_{wildcards.split}/{recipes.tag(CONFIG, start, seed)}"


def first_heads(wildcards):
    """Heads that a tuned method starts from, of the method it names, trained with the same seed; none where it names none."""
    name, seed = recipes.untag(CONFIG, wildcards.method)
    start = recipes.method(CONFIG, wildcards.data, name).heads
    return f"{layout.run(wildcards.data, wildcards.split)}/{recipes.tag(CONFIG, start, seed)}/heads.safetensors" if start else []


def raw(wildcards):
    """The configured raw files, or the simulated ones."""
    return CONFIG.data[wildcards.data].raw or f"results/{wildcards.data}/raw.zip"


def missing_list(wildcards):
    """The authors' list of missing samples, where one is configured."""
    return CONFIG.data[wildcards.data].ingest.missing_list or []


def ingested_by(jobs):
    """Data sets whose raw files are read so: by one job, or by one a setup."""
    return [data for data, block in CONFIG.data.items() if block.ingest_jobs == jobs]


def of_setups(file):
    """Input function: that file of every setup's part of a clip store, in the order of the setups."""

    def for_job(wildcards):
        return [f"{layout.clips(wildcards.data)}/setups/{setup}/{file}" for setup in sorted(recipes.dataset(CONFIG, wildcards.data).setups)]

    return for_job


def split_list(wildcards):
    """The raw files, where the split is by a list that lies among them."""
    return raw(wildcards) if recipes.dataset(CONFIG, wildcards.data).splits[wildcards.split].list_file else []


def sides_of_splits(wildcards):
    """Training and test rows of every split of a data set that is used."""
    names = CONFIG.data[wildcards.data].splits
    return [f"results/{wildcards.data}/splits/{split}_{side}.npy" for split, side in product(names, ["train", "test"])]


def of_heads(features):
    """Feature files of the projector and the predictor beside those of the encoder."""
    return {
        f"{part}_{head}": features[part].replace(".npy", f"_{head}.npy")
        for part in ("train", "test")
        for head in ("projector", "predictor")
    }


def head_features(features):
    """Input function: those files where the method has such heads."""

    def for_job(wildcards):
        files = of_heads(features).values() if wildcards.method in methods_with_heads() else []
        return [file.format(**wildcards) for file in files]

    return for_job


def processes(wildcards):
    """Processes that share the batches of a method's training, one a GPU."""
    return recipes.method(CONFIG, wildcards.data, recipes.untag(CONFIG, wildcards.method)[0]).gpus


def gpus(wildcards):
    """GPUs of a method's training."""
    return GPU and processes(wildcards)


def drawing(wildcards):
    """What the table or figure of a job is told, and the files it reads."""
    if "number" in wildcards.keys():
        return drawings.table(CONFIG, int(wildcards.number))
    if "sweep" in wildcards.keys():
        return drawings.figure(CONFIG, wildcards.sweep)
    return drawings.curves(CONFIG, wildcards.data, wildcards.split)


def drawn_from(wildcards):
    """Files that a table or figure reads."""
    return list(drawing(wildcards).files.values())


def told(wildcards):
    """Params function: settings of a table or figure."""
    return recipes.as_argument(drawing(wildcards).settings)


def files(wildcards):
    """Params function: role and path of what a table or figure reads."""
    return recipes.as_argument(drawing(wildcards).files)


def page(wildcards):
    """What the page of a split is told, and the files it reads."""
    return drawings.benchmarks(CONFIG, wildcards.data, wildcards.split)


wildcard_constraints:
    data=one_of(CONFIG.data),
    split="[a-z0-9]+",
    method=one_of([folder for kind in ("scratch", "pretrain", "tune", "joints") for folder in methods_of(kind)]),
    part="train|test",
    setup="[0-9]+",
    target=one_of(CONFIG.data),
    target_split="[a-z0-9]+",
    fraction=one_of(f"{fraction:g}" for fraction in CONFIG.semi.fractions),
    shots=one_of(map(str, CONFIG.few_shot.shots)),


for data, block in CONFIG.data.items():
    if block.raw and not Path(block.raw).exists() and not stale.read_already(Path(layout.clips(data)), block.raw):
        described = recipes.dataset(CONFIG, data)
        raise WorkflowError(f"{described.title}: no raw files at {block.raw}: {obtain(described.home, data)}")

for line in stale.warnings(Path("results")):
    logger.warning(line)
