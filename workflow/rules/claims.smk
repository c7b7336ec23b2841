# The paper's claims, tested on this configuration's results (docs/claims.md).

CLAIMS = checked(sources.claims_if_any)


rule judge_claims:
    input:
        claims=CONFIG.claims.file,
        results=list(dict.fromkeys(CLAIMS.files.values())) if CLAIMS else [],
    output:
        csv="results/claims/claims.csv",
        json="results/claims/claims.json",
        markdown="results/claims/claims.md",
        latex="results/claims/claims.tex",
        html=report(
            "results/claims/claims.html", caption="../report/claims.rst", category="Tables", labels={"table": "Claims"}
        ),
        svg=report(
            "results/claims/claims.svg",
            caption="../report/claims.rst",
            category="Figures",
            labels={"figure": "Claims"},
        ),
        png="results/claims/claims.png",
        record="results/claims/record.json",
    log:
        "results/logs/claims/claims.log",
    benchmark:
        "results/benchmarks/claims/claims.tsv"
    conda:
        DRAWING
    threads: 1
    resources:
        mem_mb=grows(4000),
        runtime=grows(60),
    params:
        settings=configuration.as_argument(CLAIMS.settings) if CLAIMS else "",
        files=configuration.as_argument(CLAIMS.files) if CLAIMS else "",
        code=code_digest("stars.paper.claims.judge"),
        out=subpath(output.csv, parent=True),
    message:
        "Claims"
    shell:
        "stars claims --settings @<(printf %s {params.settings:q} ) --files @<(printf %s {params.files:q} ) --out {params.out} > {log} 2>&1"
