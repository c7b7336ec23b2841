# All protocols on one split: the page that docs/comparison.md is made of.


rule comparison_page:
    input:
        results=lambda wildcards: list(page(wildcards).files.values()),
    output:
        markdown="results/{data}_{split}/comparison.md",
        csv="results/{data}_{split}/comparison.csv",
        json="results/{data}_{split}/comparison.json",
        latex="results/{data}_{split}/comparison.tex",
        html="results/{data}_{split}/comparison.html",
        record="results/{data}_{split}/comparison.record.json",
    log:
        "results/logs/comparison/{data}_{split}.log",
    benchmark:
        "results/benchmarks/comparison/{data}_{split}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(10),
    params:
        settings=lambda wildcards: configuration.as_argument(page(wildcards).settings),
        files=lambda wildcards: configuration.as_argument(page(wildcards).files),
        code=code_digest("stars.paper.comparison"),
        out=subpath(output.markdown, parent=True),
    message:
        "Comparison: {wildcards.data} {wildcards.split}"
    shell:
        "stars comparison --settings @<(printf %s {params.settings:q} ) --files @<(printf %s {params.files:q} ) --out {params.out} > {log} 2>&1"
