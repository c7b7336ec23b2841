# Shared by all stages: the checked configuration, the settings of a stage as params, the runs there are.

import functools
import re
import sys
from functools import partial
from itertools import product
from pathlib import Path

from stars import shipped
from stars.paper import sources
from stars.pipeline import layout
from stars.pipeline import plugin_results
from stars.pipeline import configuration
from stars.config.reading import nearest
from stars.data.dataset import obtain
from stars.errors import InputError
from stars.cli import terminal
from stars.plan import fits
from stars.provenance import code, stale

TERMINAL = terminal.install(logger, workflow)

# `stars` is this installation's, whatever else is on the PATH; under --use-conda it is the environment's. After Ctrl-C a log still gets what
# a training says while it saves; the terminal gets it only with Snakemake's own words. A prefix takes the place of Snakemake's own `set`.
in_conda = any(method.name == "CONDA" for method in workflow.deployment_settings.deployment_method)
own_path = "" if in_conda else f'PATH="{Path(sys.executable).parent}:$PATH"; '
unheard = " > /dev/null" if TERMINAL else ""
# Of a command that is killed bash writes the whole line, settings and all; what the command itself says goes to its log.
silent = "exec 2> /dev/null; " if TERMINAL else ""
shell.prefix(f'set -euo pipefail; {silent}{own_path}tee() {{{{ command tee -i "$@"{unheard}; }}}}; ')

try:
    given = functools.reduce(configuration.merge, map(configuration.read_yaml, workflow.configfiles), {})
    added = " ".join(["--config", *workflow.config_settings.config]) if workflow.config_settings.config else ""
    # Snakemake makes strings of numbers inside a block of --config, and drops the quotes of strings
    words = workflow.config_settings.config_args or []
    above = configuration.merge(config, configuration.overriding(words, "--config"))
    CONFIG = configuration.load_over(given, above, ", ".join(map(str, workflow.configfiles)), added)
except InputError as error:
    raise WorkflowError(str(error)) from None
if TERMINAL:
    TERMINAL.config = CONFIG


def checked(of_configuration):
    """What a function makes of the configuration; its InputError as one line, before any job."""
    try:
        return of_configuration(CONFIG)
    except InputError as error:
        raise WorkflowError(str(error)) from None


ENVIRONMENT = "../../envs/stars.yaml"  # what trains, encodes and evaluates
READING, DRAWING = "../../envs/read.yaml", "../../envs/draw.yaml"  # families without torch
FIG4_RUN, FIG6_RUN = sources.place(CONFIG, CONFIG.fig4), sources.place(CONFIG, CONFIG.fig6)
# Where jobs run and how often they save: given as resources, since they change no result.
COMPUTE, CHECKPOINT = CONFIG.compute, CONFIG.checkpoint
GPU = int(COMPUTE.device != "cpu")
COMPILED = "yes" if COMPUTE.compile else "no"


KINDS = ("scratch", "pretrain", "tune", "train", "network", "ensemble", "joints")


def one_of(names):
    """Wildcard constraint: exactly these names."""
    return "|".join(map(re.escape, names)) or "(?!)"


def methods_where(holds):
    """Folders of all methods of which `holds` is true, one a seed."""
    data = next(iter(CONFIG.data))
    names = [name for name in CONFIG.methods if holds(configuration.method(CONFIG, data, name))]
    return [configuration.tag(CONFIG, name, seed) for name, seed in product(names, CONFIG.seeds)]


def methods_of(kind):
    """Folders of all methods of a kind (scratch, pretrain, tune, train, network, ensemble, joints)."""
    return methods_where(lambda method: method.kind == kind)


def with_encoder():
    """Folders of all methods with an encoder of their own."""
    return methods_where(lambda method: method.kind not in ("joints", "ensemble"))


def embedded(outputs):
    """Folders of all methods with an encoder whose compared outputs are these."""
    return methods_where(lambda method: method.kind not in ("joints", "ensemble") and method.outputs == outputs)


# Every set of outputs that methods have: the encoder's alone, or with those of heads.
OUTPUTS = sorted(
    {configuration.method(CONFIG, next(iter(CONFIG.data)), name).outputs for name in CONFIG.methods} | {("encoder",)}
)


def settings(stage, variant=""):
    """Params function: the settings of `stage` for a job, one line of JSON, nothing that the stage does not read."""

    def for_job(wildcards):
        data = wildcards.get("target") or wildcards.data
        split, folder = wildcards.get("split", ""), wildcards.get("method", "")
        told = variant or wildcards.get("fraction") or wildcards.get("shots", "")
        return configuration.as_argument(configuration.stage_settings(CONFIG, stage, data, folder, split, told))

    return for_job


def code_digest(modules):
    """Digest of a stage's own source, or a constant where the configuration says that code changes only warn."""
    policy = CONFIG.code_changes or ("warn" if modules.split("+")[0] in stale.KEPT else "rebuild")
    return code.digest_of(modules) if policy == "rebuild" else "not compared"


def of_method(wildcards):
    """The method of a job, resolved for its data set."""
    return configuration.method(CONFIG, wildcards.data, configuration.untag(CONFIG, wildcards.method)[0])


def tuning_code(wildcards):
    """Params function: digest of stage 2's source, with that of the method's loss and backbone."""
    method = of_method(wildcards)
    return code_digest(code.of_tuning(method.blocks["tune"]["strategy"], method.backbone))


def training_code(wildcards):
    """Params function: digest of the source of a training, with that of its objective and backbones."""
    method = of_method(wildcards)
    return code_digest(
        code.of_training(method.blocks["train"]["objective"], [one["backbone"] for one in method.networks.values()])
    )


def encoder_code(stage):
    """Params function: digest of a stage's source, with that of the encoder's backbone."""
    return lambda wildcards: code_digest(code.of_backbone(stage, of_method(wildcards).backbone))


def folder_of(wildcards, name):
    """Folder of another method trained on the same split with the same seed."""
    return f"{layout.run(wildcards.data, wildcards.split)}/{configuration.tag(CONFIG, name, configuration.untag(CONFIG, wildcards.method)[1])}"


def parent(wildcards):
    """Folder of the method whose networks a method starts from, or is one of."""
    return folder_of(wildcards, of_method(wildcards).parent)


def start(wildcards):
    """Files of the networks that a training starts from; none where they are new."""
    method = of_method(wildcards)
    names = ["encoder.safetensors", *(["heads.safetensors"] if len(method.networks) > 1 else [])]
    return [f"{parent(wildcards)}/{name}" for name in names] if method.parent else []


def members(file):
    """Input function: that file of every member of an ensemble."""

    def for_job(wildcards):
        folders = [folder_of(wildcards, member) for member in of_method(wildcards).members]
        return [f"{folder}/{file.format(**wildcards)}" for folder in folders]

    return for_job


def first_heads(wildcards):
    """Heads that a method starts from, of the method it names, trained with the same seed; none where it names none."""
    heads = of_method(wildcards).heads
    return f"{folder_of(wildcards, heads)}/heads.safetensors" if heads else []


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
        return [
            f"{layout.clips(wildcards.data)}/setups/{setup}/{file}"
            for setup in sorted(configuration.dataset(CONFIG, wildcards.data).setups)
        ]

    return for_job


def split_list(wildcards):
    """The raw files, where the split is by a list that lies among them."""
    return raw(wildcards) if configuration.dataset(CONFIG, wildcards.data).splits[wildcards.split].list_file else []


def sides_of_splits(wildcards):
    """Training and test rows of every split of a data set that is used."""
    names = CONFIG.data[wildcards.data].splits
    return [f"results/{wildcards.data}/splits/{split}_{side}.npy" for split, side in product(names, ["train", "test"])]


def of_heads(features, outputs):
    """Feature files of heads beside those of the encoder."""
    return {
        f"{part}_{head}": features[part].replace(".npy", f"_{head}.npy")
        for part in ("train", "test")
        for head in outputs[1:]
    }


def head_features(features):
    """Input function: those files that the method has."""

    def for_job(wildcards):
        return [file.format(**wildcards) for file in of_heads(features, of_method(wildcards).outputs).values()]

    return for_job


def processes(wildcards):
    """Processes that share the batches of a method's training, one a GPU."""
    return of_method(wildcards).gpus


def nodes(wildcards):
    """Nodes of a Slurm cluster that they run on."""
    return of_method(wildcards).nodes


def gpus(wildcards):
    """GPUs of a method's training, where they are asked for as a total: on several nodes that could be spread unevenly."""
    return GPU and (processes(wildcards) if nodes(wildcards) == 1 else 0)


def gpus_of_node(wildcards):
    """What Slurm is asked for on each of several nodes, as its option --gres says it."""
    return f"gpu:{processes(wildcards) // nodes(wildcards)}" if GPU and nodes(wildcards) > 1 else ""


def drawing(wildcards):
    """What the table or figure of a job is told, and the files it reads."""
    if "number" in wildcards.keys():
        return sources.table(CONFIG, int(wildcards.number))
    if "sweep" in wildcards.keys():
        return sources.figure(CONFIG, wildcards.sweep)
    return sources.curves(CONFIG, wildcards.data, wildcards.split)


def drawn_from(wildcards):
    """Files that a table or figure reads."""
    return list(drawing(wildcards).files.values())


def told(wildcards):
    """Params function: settings of a table or figure."""
    return configuration.as_argument(drawing(wildcards).settings)


def files(wildcards):
    """Params function: role and path of what a table or figure reads."""
    return configuration.as_argument(drawing(wildcards).files)


def nothing_for(name, wildcards=None):
    """Input function of a target that the configuration has nothing for."""
    raise WorkflowError(
        f"targets: {name}: the configuration has nothing for it: "
        + (
            f"give {name}.pairs"
            if name in ("transfer", "few_shot")
            else f"give data and methods whose `protocols` have {name}"
        )
    )


def misspelt(wildcards):
    """Input function of what is no target."""
    raise WorkflowError(f"no target {wildcards.name}{nearest(wildcards.name, TARGETS)}")


def page(wildcards):
    """What the page of a split is told, and the files it reads."""
    return sources.comparison(CONFIG, wildcards.data, wildcards.split)


wildcard_constraints:
    data=one_of(CONFIG.data),
    split="[a-z0-9]+",
    method=one_of([folder for kind in KINDS for folder in methods_of(kind)]),
    part="train|test",
    setup="[0-9]+",
    target=one_of(CONFIG.data),
    target_split="[a-z0-9]+",
    fraction=one_of(f"{fraction:g}" for fraction in CONFIG.semi.fractions),
    shots=one_of(map(str, CONFIG.few_shot.shots)),


for data, block in CONFIG.data.items():
    if block.raw and not Path(block.raw).exists() and not stale.read_already(Path(layout.clips(data)), block.raw):
        described = configuration.dataset(CONFIG, data)
        raise WorkflowError(f"{described.title}: no raw files at {block.raw}: {obtain(described.home, data)}")

kept = list(stale.warnings(Path("results")))
more = [f"and {len(kept) - 3} more results of earlier versions: stars audit names them"] if len(kept) > 4 else kept[3:]
for line in (*checked(fits.lines), *kept[:3], *more):
    logger.warning(line)
