# All protocols on one split: the page that docs/benchmarks.md is made of.


rule benchmark_page:
    input:
        results=lambda wildcards: list(page(wildcards).files.values()),
    output:
        markdown="results/{data}_{split}/benchmarks.md",
        csv="results/{data}_{split}/benchmarks.csv",
        json="results/{data}_{split}/benchmarks.json",
        latex="results/{data}_{split}/benchmarks.tex",
        html="results/{data}_{split}/benchmarks.html",
        record="results/{data}_{split}/benchmarks.record.json",
    log:
        "results/logs/benchmarks/{data}_{split}.log",
    benchmark:
        "results/benchmarks/benchmarks/{data}_{split}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(10),
    params:
        settings=lambda wildcards: configuration.as_argument(page(wildcards).settings),
        files=lambda wildcards: configuration.as_argument(page(wildcards).files),
        code=code_digest("stars.paper.benchmarks"),
        out=subpath(output.markdown, parent=True),
    message:
        "Benchmarks: {wildcards.data} {wildcards.split}"
    shell:
        "stars benchmarks --settings @<(printf %s {params.settings:q} ) --files @<(printf %s {params.files:q} ) --out {params.out} > {log} 2>&1"
