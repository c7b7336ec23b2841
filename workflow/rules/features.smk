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
        method=one_of(methods_of("scratch") + methods_of("pretrain")),
    conda:
        ENVIRONMENT
    threads: COMPUTE.threads
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=GPU,
        device=COMPUTE.device,
    params:
        settings=settings("embed"),
        code=code_digest("stars.evaluation.features"),
        clips=subpath(input.table, parent=True),
        method=subpath(input.encoder, parent=True),
        features=subpath(output.train, parent=True),
    message:
        "Embed: {wildcards.data} {wildcards.split} {wildcards.method}"
    shell:
        "stars embed --clips {params.clips} --train {input.train} --test {input.test} --method {params.method}"
        " --out {params.features} --target {wildcards.data} --device {resources.device} --threads {threads}"
        " --settings {params.settings:q} > {log} 2>&1"


use rule embed as embed_tuned with:
    input:
        **EMBEDDED,
        heads="results/{data}_{split}/{method}/heads.safetensors",
    output:
        **FEATURES,
        **of_heads(FEATURES),
    wildcard_constraints:
        method=one_of(methods_of("tune")),
