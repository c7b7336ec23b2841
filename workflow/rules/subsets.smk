# Parts of a split that a protocol learns from, as files.


rule subsets:
    input:
        train="results/{data}/splits/{split}_train.npy",
    output:
        expand("results/{{data}}/splits/semi/{{split}}/{{fraction}}_{subset}.npy", subset=range(CONFIG.semi.subsets)),
        record="results/{data}/splits/semi/{split}/{fraction}.record.json",
    log:
        "results/logs/subsets/{data}_{split}_{fraction}.log",
    benchmark:
        "results/benchmarks/subsets/{data}_{split}_{fraction}.tsv"
    conda:
        READING
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        settings=settings("subsets"),
        code=code_digest("stars.data.subsets"),
        out=subpath(output.record, parent=True),
    message:
        "Draw subsets: {wildcards.data} {wildcards.split} {wildcards.fraction}"
    shell:
        "stars subsets --train {input.train} --out {params.out} --settings {params.settings:q} > {log} 2>&1"


rule exemplars:
    input:
        table="results/{target}/clips/clips.csv",
        train="results/{target}/splits/{target_split}_train.npy",
    output:
        expand(
            "results/{{target}}/splits/few_shot/{{target_split}}/{{shots}}_{draw}.npy",
            draw=range(CONFIG.few_shot.draws),
        ),
        record="results/{target}/splits/few_shot/{target_split}/{shots}.record.json",
    log:
        "results/logs/exemplars/{target}_{target_split}_{shots}.log",
    benchmark:
        "results/benchmarks/exemplars/{target}_{target_split}_{shots}.tsv"
    conda:
        READING
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        settings=settings("exemplars"),
        code=code_digest("stars.data.subsets"),
        clips=subpath(input.table, parent=True),
        out=subpath(output.record, parent=True),
    message:
        "Draw exemplars: {wildcards.target} {wildcards.target_split} {wildcards.shots}"
    shell:
        "stars exemplars --clips {params.clips} --train {input.train} --out {params.out} --settings {params.settings:q} > {log} 2>&1"
