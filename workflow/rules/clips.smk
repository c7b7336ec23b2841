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
        READING
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(30),
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
    wildcard_constraints:
        data=one_of(ingested_by("one")),
    conda:
        READING
    threads: COMPUTE.threads
    resources:
        mem_mb=grows(2000),
        runtime=grows(120),
    params:
        settings=settings("ingest"),
        code=code_digest("stars.ingest"),
        clips=subpath(output.frames, parent=True),
    message:
        "Read raw files: {wildcards.data}"
    shell:
        "stars ingest --raw {input.raw:q} --out {params.clips} --workers {threads} --settings {params.settings:q} > {log} 2>&1"


rule ingest_setup:
    input:
        raw=raw,
        missing_list=missing_list,
    output:
        frames=temp("results/{data}/clips/setups/{setup}/frames.npy"),
        offsets="results/{data}/clips/setups/{setup}/offsets.npy",
        table="results/{data}/clips/setups/{setup}/clips.csv",
        part="results/{data}/clips/setups/{setup}/part.json",
        record="results/{data}/clips/setups/{setup}/record.json",
    log:
        "results/logs/ingest/{data}_{setup}.log",
    benchmark:
        "results/benchmarks/ingest/{data}_{setup}.tsv"
    wildcard_constraints:
        data=one_of(ingested_by("setup")),
    conda:
        READING
    threads: COMPUTE.threads
    resources:
        mem_mb=grows(1000),
        runtime=grows(30),
    params:
        settings=settings("ingest"),
        code=code_digest("stars.ingest"),
        clips=subpath(output.frames, parent=True),
    message:
        "Read raw files of a setup: {wildcards.data} {wildcards.setup}"
    shell:
        "stars ingest --raw {input.raw:q} --out {params.clips} --setup {wildcards.setup} --workers {threads}"
        " --settings {params.settings:q} > {log} 2>&1"


rule join:
    input:
        frames=of_setups("frames.npy"),
        offsets=of_setups("offsets.npy"),
        tables=of_setups("clips.csv"),
        parts=of_setups("part.json"),
        raw=raw,
    output:
        frames="results/{data}/clips/frames.npy",
        offsets="results/{data}/clips/offsets.npy",
        table="results/{data}/clips/clips.csv",
        quality="results/{data}/clips/quality.json",
        record="results/{data}/clips/record.json",
    log:
        "results/logs/join/{data}.log",
    benchmark:
        "results/benchmarks/join/{data}.tsv"
    wildcard_constraints:
        data=one_of(ingested_by("setup")),
    conda:
        READING
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(30),
    params:
        settings=settings("join"),
        code=code_digest("stars.ingest"),
        clips=subpath(output.frames, parent=True),
        setups=lambda wildcards, input: [Path(part).parent for part in input.parts],
    message:
        "Join setups: {wildcards.data}"
    shell:
        "stars join --parts {params.setups} --raw {input.raw:q} --out {params.clips} --settings {params.settings:q} > {log} 2>&1"


rule split:
    input:
        table="results/{data}/clips/clips.csv",
        raw=split_list,
    output:
        train="results/{data}/splits/{split}_train.npy",
        test="results/{data}/splits/{split}_test.npy",
        record="results/{data}/splits/{split}.record.json",
    log:
        "results/logs/split/{data}_{split}.log",
    benchmark:
        "results/benchmarks/split/{data}_{split}.tsv"
    conda:
        READING
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        settings=settings("split"),
        code=code_digest("stars.data.splits"),
        clips=subpath(input.table, parent=True),
        splits=subpath(output.train, parent=True),
    message:
        "Split clips: {wildcards.data} {wildcards.split}"
    shell:
        "stars split --clips {params.clips} --out {params.splits} --raw {input.raw:q} --settings {params.settings:q} > {log} 2>&1"
