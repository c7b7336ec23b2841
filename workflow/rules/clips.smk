# Raw files -> clips -> splits. Raw files that are not there are simulated, or asked for in one line.


rule simulate:
    output:
        raw="results/{data}/raw.zip",
        record="results/{data}/raw.zip.record.json",
    log:
        "results/logs/simulate/{data}.log",
    benchmark:
        "results/benchmarks/simulate/{data}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        settings=settings("simulate"),
        code=code_digest("stars.data.simulate"),
    message:
        "Simulate raw files: {wildcards.data}"
    shell:
        "stars simulate --out {output.raw} --settings {params.settings:q} > {log} 2>&1"


rule ingest:
    input:
        raw=raw,
        missing_list=missing_list,
    output:
        frames="results/{data}/clips/frames.npy",
        offsets="results/{data}/clips/offsets.npy",
        table="results/{data}/clips/clips.csv",
        quality="results/{data}/clips/quality.json",
        record="results/{data}/clips/record.json",
    log:
        "results/logs/ingest/{data}.log",
    benchmark:
        "results/benchmarks/ingest/{data}.tsv"
    conda:
        ENVIRONMENT
    threads: COMPUTE.threads
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        settings=settings("ingest"),
        code=code_digest("stars.ingest"),
        clips=subpath(output.frames, parent=True),
    message:
        "Read raw files: {wildcards.data}"
    shell:
        "stars ingest --raw {input.raw:q} --out {params.clips} --workers {threads} --settings {params.settings:q} > {log} 2>&1"


rule split:
    input:
        table="results/{data}/clips/clips.csv",
    output:
        train="results/{data}/splits/{split}_train.npy",
        test="results/{data}/splits/{split}_test.npy",
        record="results/{data}/splits/{split}.record.json",
    log:
        "results/logs/split/{data}_{split}.log",
    benchmark:
        "results/benchmarks/split/{data}_{split}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("split"),
        code=code_digest("stars.data.splits"),
        clips=subpath(input.table, parent=True),
        splits=subpath(output.train, parent=True),
    message:
        "Split clips: {wildcards.data} {wildcards.split}"
    shell:
        "stars split --clips {params.clips} --out {params.splits} --settings {params.settings:q} > {log} 2>&1"
