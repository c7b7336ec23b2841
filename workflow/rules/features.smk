# Features, once a checkpoint; every evaluation reads these files. A set of outputs, here or of another data set, is a rule: its files are.


def split_files(data, split):
    """A data set's clips and the two sides of a split."""
    clips, splits = f"results/{data}/clips", f"results/{data}/splits/{split}"
    store = {"table": f"{clips}/clips.csv", "frames": f"{clips}/frames.npy", "offsets": f"{clips}/offsets.npy"}
    return {**store, "train": f"{splits}_train.npy", "test": f"{splits}_test.npy"}


def feature_files(target):
    """Features of one data set by a method, and their record."""
    stem = f"results/{{data}}_{{split}}/{{method}}/features/{target}"
    return {"train": f"{stem}_train.npy", "test": f"{stem}_test.npy", "record": f"{stem}.record.json"}


HERE, ELSEWHERE = split_files("{data}", "{split}"), split_files("{target}", "{target_split}")
FEATURES, FEATURES_ELSEWHERE = feature_files("{data}"), feature_files("{target}_{target_split}")
WHERE = {
    "": (HERE, FEATURES, "{data}", "{method}", ": {wildcards.data} {wildcards.split} {wildcards.method}"),
    "_elsewhere": (
        ELSEWHERE,
        FEATURES_ELSEWHERE,
        "{target}_{target_split}",
        "{method}_{target}_{target_split}",
        " another data set: {wildcards.data} {wildcards.split} {wildcards.method} on {wildcards.target} {wildcards.target_split}",
    ),
}

# How a rule is called by its outputs; one with other heads needs its own line in the Slurm profile.
SUFFIXES = {("encoder",): "", ("encoder", "projector", "predictor"): "_tuned"}

for (place, (given, made, named, log_name, words)), outputs in product(WHERE.items(), OUTPUTS):

    rule:
        name:
            f"embed{place}{SUFFIXES.get(outputs, '_with_' + '_'.join(outputs[1:]))}"
        input:
            **given,
            **({"heads": "results/{data}_{split}/{method}/heads.safetensors"} if outputs[1:] else {}),
            encoder="results/{data}_{split}/{method}/encoder.safetensors",
        output:
            **made,
            **of_heads(made, outputs),
        log:
            f"results/logs/embed/{{data}}_{{split}}/{log_name}.log",
        benchmark:
            f"results/benchmarks/embed/{{data}}_{{split}}/{log_name}.tsv"
        wildcard_constraints:
            method=one_of(embedded(outputs)),
        conda:
            ENVIRONMENT
        threads: COMPUTE.threads
        resources:
            mem_mb=grows(12000),
            runtime=grows(240),
            gpu=GPU,
            device=COMPUTE.device,
        params:
            settings=settings("embed"),
            code=encoder_code("stars.evaluation.features"),
            clips=subpath(input.table, parent=True),
            method=subpath(input.encoder, parent=True),
            features=subpath(output.train, parent=True),
            target=named,
        message:
            f"Embed{words}"
        shell:
            "stars embed --clips {params.clips} --train {input.train} --test {input.test} --method {params.method}"
            " --out {params.features} --target {params.target} --device {resources.device} --threads {threads}"
            " --settings {params.settings:q} > {log} 2>&1"


# In their place: joint positions, for methods without an encoder; features of several methods added, for an ensemble.
for place, (given, made, named, log_name, words) in WHERE.items():

    rule:
        name:
            f"joints{place}"
        input:
            **given,
        output:
            **made,
        log:
            f"results/logs/joints/{{data}}_{{split}}/{log_name}.log",
        benchmark:
            f"results/benchmarks/joints/{{data}}_{{split}}/{log_name}.tsv"
        wildcard_constraints:
            method=one_of(methods_of("joints")),
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=grows(8000),
            runtime=grows(30),
        params:
            settings=settings("joints"),
            code=code_digest("stars.evaluation.joints"),
            clips=subpath(input.table, parent=True),
            features=subpath(output.train, parent=True),
            target=named,
        message:
            f"Joint positions{words.replace(' another', ' of another')}"
        shell:
            "stars joints --clips {params.clips} --train {input.train} --test {input.test} --out {params.features} --target {params.target}"
            " --settings {params.settings:q} > {log} 2>&1"

    rule:
        name:
            f"ensemble{place}"
        input:
            members=members(f"features/{named}_train.npy"),
            members_test=members(f"features/{named}_test.npy"),
            table=given["table"],
            train=given["train"],
            test=given["test"],
        output:
            **made,
        log:
            f"results/logs/ensemble/{{data}}_{{split}}/{log_name}.log",
        benchmark:
            f"results/benchmarks/ensemble/{{data}}_{{split}}/{log_name}.tsv"
        wildcard_constraints:
            method=one_of(methods_of("ensemble")),
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=grows(8000),
            runtime=grows(30),
        params:
            settings=settings("ensemble"),
            code=code_digest("stars.evaluation.ensemble"),
            clips=subpath(input.table, parent=True),
            members=lambda wildcards, input: [str(Path(file).parent) for file in input.members],
            features=subpath(output.train, parent=True),
            target=named,
        message:
            f"Add features{words.replace(' another', ' of another')}"
        shell:
            "stars ensemble --members {params.members} --clips {params.clips} --train {input.train} --test {input.test} --out {params.features}"
            " --target {params.target} --settings {params.settings:q} > {log} 2>&1"
