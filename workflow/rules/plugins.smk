# Protocols and tables of one's own: each a file found by its name and a block of the configuration (docs/extending.md).


rule plugin_protocol:
    input:
        train_features="results/{data}_{split}/{method}/features/{data}_train.npy",
        test_features="results/{data}_{split}/{method}/features/{data}_test.npy",
        table="results/{data}/clips/clips.csv",
        train="results/{data}/splits/{split}_train.npy",
        test="results/{data}/splits/{split}_test.npy",
    output:
        metrics="results/{data}_{split}/{method}/{own}/metrics.json",
        predictions="results/{data}_{split}/{method}/{own}/predictions.npz",
        record="results/{data}_{split}/{method}/{own}/record.json",
    log:
        "results/logs/{own}/{data}_{split}/{method}.log",
    benchmark:
        "results/benchmarks/{own}/{data}_{split}/{method}.tsv"
    wildcard_constraints:
        own=one_of(CONFIG.protocols),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=grows(4000),
        runtime=grows(60),
    params:
        settings=lambda wildcards: configuration.as_argument(plugin_results.protocol_settings(CONFIG, wildcards.own)),
        code=lambda wildcards: code_digest(f"stars.evaluation.plugin+plugins.protocols.{wildcards.own}"),
        clips=subpath(input.table, parent=True),
        features=subpath(input.train_features, parent=True),
        out=subpath(output.metrics, parent=True),
    message:
        "Protocol {wildcards.own}: {wildcards.data} {wildcards.split} {wildcards.method}"
    shell:
        "stars plugin-protocol --features {params.features} --target {wildcards.data} --clips {params.clips} --train {input.train}"
        " --test {input.test} --out {params.out} --settings {params.settings:q} > {log} 2>&1"


rule plugin_table:
    input:
        metrics=lambda wildcards: plugin_results.table(CONFIG, wildcards.name)[1].values(),
    output:
        csv="results/tables/{name}.csv",
        markdown="results/tables/{name}.md",
        latex="results/tables/{name}.tex",
        html="results/tables/{name}.html",
        record="results/tables/{name}.record.json",
    log:
        "results/logs/table/{name}.log",
    benchmark:
        "results/benchmarks/table/{name}.tsv"
    wildcard_constraints:
        name=one_of(CONFIG.tables),
    conda:
        DRAWING
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(10),
    params:
        settings=lambda wildcards: configuration.as_argument(plugin_results.table(CONFIG, wildcards.name)[0]),
        files=lambda wildcards: configuration.as_argument(plugin_results.table(CONFIG, wildcards.name)[1]),
        code=lambda wildcards: code_digest(f"stars.paper.plugin_table+plugins.tables.{wildcards.name}"),
        out=subpath(output.csv, parent=True),
    message:
        "Table {wildcards.name}"
    shell:
        "stars plugin-table --settings @<(printf %s {params.settings:q} ) --files @<(printf %s {params.files:q} ) --out {params.out} > {log} 2>&1"
