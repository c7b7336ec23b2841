# Features, once a checkpoint; every evaluation reads these files.

EMBEDDED = {
    "encoder": "results/{data}_{split}/{method}/encoder.safetensors",
    "table": "results/{data}/clips/clips.csv",
    "frames": "results/{data}/clips/frames.npy",
    "offsets": "results/{data}/clips/offsets.npy",
    "train": "results/{data}/splits/{split}_train.npy",
    "test": "results/{data}/splits/{split}_test.npy",
}
FEATURES = {
    "train": "results/{data}_{split}/{method}/features/{data}_train.npy",
    "test": "results/{data}_{split}/{method}/features/{data}_test.npy",
    "record": "results/{data}_{split}/{method}/features/{data}.record.json",
}


rule embed:
    input:
        **EMBEDDED,
    output:
        **FEATURES,
    log:
        "results/logs/embed/{data}_{split}/{method}.log",
    benchmark:
        "results/benchmarks/embed/{data}_{split}/{method}.tsv"
    wildcard_constraints:
        method=one_of(methods_where(lambda method: method.kind != "joints" and "predictor" not in method.outputs)),
    conda:
        ENVIRONMENT
    threads: COMPUTE.threads
    resources:
        mem_mb=grows(16000),
        runtime=grows(240),
        gpu=GPU,
        device=COMPUTE.device,
    params:
        settings=settings("embed"),
        code=code_digest("stars.evaluation.features"),
        clips=subpath(input.table, parent=True),
        method=subpath(input.encoder, parent=True),
        features=subpath(output.train, parent=True),
        target="{data}",
    message:
        "Embed: {wildcards.data} {wildcards.split} {wildcards.method}"
    shell:
        "stars embed --clips {params.clips} --train {input.train} --test {input.test} --method {params.method}"
        " --out {params.features} --target {params.target} --device {resources.device} --threads {threads}"
        " --settings {params.settings:q} > {log} 2>&1"


use rule embed as embed_tuned with:
    input:
        **EMBEDDED,
        heads="results/{data}_{split}/{method}/heads.safetensors",
    output:
        **FEATURES,
        **of_heads(FEATURES),
    wildcard_constraints:
        method=one_of(methods_with_heads()),


# The same of another data set's clips, by an encoder that has not seen them.
ELSEWHERE = "results/{data}_{split}/{method}/features/{target}_{target_split}"
EMBEDDED_ELSEWHERE = {
    "encoder": "results/{data}_{split}/{method}/encoder.safetensors",
    "table": "results/{target}/clips/clips.csv",
    "frames": "results/{target}/clips/frames.npy",
    "offsets": "results/{target}/clips/offsets.npy",
    "train": "results/{target}/splits/{target_split}_train.npy",
    "test": "results/{target}/splits/{target_split}_test.npy",
}
FEATURES_ELSEWHERE = {"train": f"{ELSEWHERE}_train.npy", "test": f"{ELSEWHERE}_test.npy", "record": f"{ELSEWHERE}.record.json"}


use rule embed as embed_elsewhere with:
    input:
        **EMBEDDED_ELSEWHERE,
    output:
        **FEATURES_ELSEWHERE,
    log:
        "results/logs/embed/{data}_{split}/{method}_{target}_{target_split}.log",
    benchmark:
        "results/benchmarks/embed/{data}_{split}/{method}_{target}_{target_split}.tsv"
    params:
        settings=settings("embed"),
        code=code_digest("stars.evaluation.features"),
        clips=subpath(input.table, parent=True),
        method=subpath(input.encoder, parent=True),
        features=subpath(output.train, parent=True),
        target="{target}_{target_split}",
    message:
        "Embed another data set: {wildcards.data} {wildcards.split} {wildcards.method} on {wildcards.target} {wildcards.target_split}"


use rule embed_elsewhere as embed_elsewhere_tuned with:
    input:
        **EMBEDDED_ELSEWHERE,
        heads="results/{data}_{split}/{method}/heads.safetensors",
    output:
        **FEATURES_ELSEWHERE,
        **of_heads(FEATURES_ELSEWHERE),
    wildcard_constraints:
        method=one_of(methods_with_heads()),


# Joint positions in their place, for methods without an encoder.
rule joints:
    input:
        table="results/{data}/clips/clips.csv",
        frames="results/{data}/clips/frames.npy",
        offsets="results/{data}/clips/offsets.npy",
        train="results/{data}/splits/{split}_train.npy",
        test="results/{data}/splits/{split}_test.npy",
    output:
        **FEATURES,
    log:
        "results/logs/joints/{data}_{split}/{method}.log",
    benchmark:
        "results/benchmarks/joints/{data}_{split}/{method}.tsv"
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
        target="{data}",
    message:
        "Joint positions: {wildcards.data} {wildcards.split} {wildcards.method}"
    shell:
        "stars joints --clips {params.clips} --train {input.train} --test {input.test} --out {params.features} --target {params.target}"
        " --settings {params.settings:q} > {log} 2>&1"


use rule joints as joints_elsewhere with:
    input:
        table="results/{target}/clips/clips.csv",
        frames="results/{target}/clips/frames.npy",
        offsets="results/{target}/clips/offsets.npy",
        train="results/{target}/splits/{target_split}_train.npy",
        test="results/{target}/splits/{target_split}_test.npy",
    output:
        **FEATURES_ELSEWHERE,
    log:
        "results/logs/joints/{data}_{split}/{method}_{target}_{target_split}.log",
    benchmark:
        "results/benchmarks/joints/{data}_{split}/{method}_{target}_{target_split}.tsv"
    params:
        settings=settings("joints"),
        code=code_digest("stars.evaluation.joints"),
        clips=subpath(input.table, parent=True),
        features=subpath(output.train, parent=True),
        target="{target}_{target_split}",
    message:
        "Joint positions of another data set: {wildcards.data} {wildcards.split} {wildcards.method} on {wildcards.target} {wildcards.target_split}"
