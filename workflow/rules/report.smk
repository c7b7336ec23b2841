# One page with everything: tables, figures, lineage, and an explorer of features and clips.

REPORT = checked(sources.report)


rule map:
    input:
        features="results/{data}_{split}/{method}/features/{data}_test.npy",
        table="results/{data}/clips/clips.csv",
        train="results/{data}/splits/{split}_train.npy",
        test="results/{data}/splits/{split}_test.npy",
    output:
        map="results/{data}_{split}/{method}/map/map.csv",
        record="results/{data}_{split}/{method}/map/record.json",
    log:
        "results/logs/map/{data}_{split}/{method}.log",
    benchmark:
        "results/benchmarks/map/{data}_{split}/{method}.tsv"
    conda:
        DRAWING
    threads: 1
    resources:
        mem_mb=grows(6000),
        runtime=grows(30),
    params:
        settings=settings("map"),
        code=code_digest("stars.evaluation.feature_map"),
        clips=subpath(input.table, parent=True),
        features=subpath(input.features, parent=True),
        out=subpath(output.map, parent=True),
    message:
        "Map: {wildcards.data} {wildcards.split} {wildcards.method}"
    shell:
        "stars map --features {params.features} --target {wildcards.data} --clips {params.clips} --train {input.train} --test {input.test}"
        " --out {params.out} --settings {params.settings:q} > {log} 2>&1"


rule report_page:
    input:
        list(REPORT.files.values()),
    output:
        page=report(
            "results/report/index.html", caption="../report/page.rst", category="Report", labels={"page": "Report"}
        ),
        record="results/report/record.json",
    log:
        "results/logs/report.log",
    benchmark:
        "results/benchmarks/report.tsv"
    conda:
        DRAWING
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        settings=configuration.as_argument(REPORT.settings),
        files=configuration.as_argument(REPORT.files),
        code=code_digest("stars.report.page"),
        out=subpath(output.page, parent=True),
    message:
        "Report"
    shell:
        "stars report --settings @<(printf %s {params.settings:q} ) --files @<(printf %s {params.files:q} ) --out {params.out} > {log} 2>&1"
