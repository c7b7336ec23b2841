# The paper's tables and figures, with this run's numbers.

PUBLISHED = shipped.found("config/published")
FIG1, FIG4, FIG6 = (sources.figure(CONFIG, name) for name in ("fig1", "fig4", "fig6"))


rule table:
    input:
        metrics=drawn_from,
        published=f"{PUBLISHED}/table{{number}}.csv",
        headings=f"{PUBLISHED}/tables.yaml",
        newer=f"{PUBLISHED}/newer.csv",
    output:
        csv="results/tables/table{number}.csv",
        json="results/tables/table{number}.json",
        markdown="results/tables/table{number}.md",
        latex="results/tables/table{number}.tex",
        html=report(
            "results/tables/table{number}.html",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "Table {number}"},
        ),
        record="results/tables/table{number}.record.json",
    log:
        "results/logs/table/table{number}.log",
    benchmark:
        "results/benchmarks/table/table{number}.tsv"
    wildcard_constraints:
        number=one_of(map(str, sources.TABLES)),
    conda:
        DRAWING
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(10),
    params:
        settings=told,
        files=files,
        code=code_digest("stars.paper.hyperparameters"),
        published=subpath(input.published, parent=True),
        out=subpath(output.csv, parent=True),
    message:
        "Table {wildcards.number}"
    shell:
        "stars table --settings @<(printf %s {params.settings:q} ) --files @<(printf %s {params.files:q} ) --published {params.published} --out {params.out} > {log} 2>&1"


rule draw_fig1:
    input:
        results=list(FIG1.files.values()),
        published=f"{PUBLISHED}/table1.csv",
        headings=f"{PUBLISHED}/tables.yaml",
    output:
        svg=report(
            "results/figures/fig1.svg", caption="../report/fig1.rst", category="Figures", labels={"figure": "Figure 1"}
        ),
        png="results/figures/fig1.png",
        csv="results/figures/fig1.csv",
        record="results/figures/fig1.record.json",
    log:
        "results/logs/figure/fig1.log",
    benchmark:
        "results/benchmarks/figure/fig1.tsv"
    conda:
        DRAWING
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        settings=configuration.as_argument(FIG1.settings),
        files=configuration.as_argument(FIG1.files),
        code=code_digest("stars.paper.times"),
        published=subpath(input.published, parent=True),
        out=subpath(output.svg, parent=True),
    message:
        "Figure 1: accuracy against training time"
    shell:
        "stars figure fig1 --settings @<(printf %s {params.settings:q} ) --files @<(printf %s {params.files:q} ) --published {params.published} --out {params.out} > {log} 2>&1"


rule draw_sweep:
    input:
        metrics=drawn_from,
    output:
        svg=report(
            "results/figures/{sweep}.svg",
            caption="../report/sweep.rst",
            category="Figures",
            labels={"figure": "{sweep}"},
        ),
        png="results/figures/{sweep}.png",
        csv="results/figures/{sweep}.csv",
        record="results/figures/{sweep}.record.json",
    log:
        "results/logs/figure/{sweep}.log",
    benchmark:
        "results/benchmarks/figure/{sweep}.tsv"
    wildcard_constraints:
        sweep=one_of(sources.SWEEPS),
    conda:
        DRAWING
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(10),
    params:
        settings=told,
        files=files,
        code=code_digest("stars.paper.sweep"),
        out=subpath(output.svg, parent=True),
    message:
        "Figure 3: {wildcards.sweep}"
    shell:
        "stars figure {wildcards.sweep} --settings @<(printf %s {params.settings:q} ) --files @<(printf %s {params.files:q} ) --out {params.out} > {log} 2>&1"


rule draw_fig4:
    input:
        features=list(FIG4.files.values()),
        table=f"{layout.clips(FIG4_RUN[0])}/clips.csv",
        test=layout.split_rows(*FIG4_RUN, "test"),
    output:
        svg=report(
            "results/figures/fig4.svg", caption="../report/fig4.rst", category="Figures", labels={"figure": "Figure 4"}
        ),
        png="results/figures/fig4.png",
        csv="results/figures/fig4.csv",
        record="results/figures/fig4.record.json",
    log:
        "results/logs/figure/fig4.log",
    benchmark:
        "results/benchmarks/figure/fig4.tsv"
    conda:
        DRAWING
    threads: 1
    resources:
        mem_mb=grows(4000),
        runtime=grows(60),
    params:
        settings=configuration.as_argument(FIG4.settings),
        files=configuration.as_argument(FIG4.files),
        code=code_digest("stars.paper.tsne"),
        clips=subpath(input.table, parent=True),
        out=subpath(output.svg, parent=True),
    message:
        "Figure 4: t-SNE"
    shell:
        "stars figure fig4 --settings @<(printf %s {params.settings:q} ) --files @<(printf %s {params.files:q} ) --clips {params.clips} --test {input.test}"
        " --out {params.out} > {log} 2>&1"


rule draw_fig6:
    input:
        predictions=FIG6.files["predictions"],
        table=f"{layout.clips(FIG6_RUN[0])}/clips.csv",
    output:
        svg=report(
            "results/figures/fig6.svg", caption="../report/fig6.rst", category="Figures", labels={"figure": "Figure 6"}
        ),
        png="results/figures/fig6.png",
        csv="results/figures/fig6.csv",
        pairs="results/figures/fig6_pairs.csv",
        record="results/figures/fig6.record.json",
    log:
        "results/logs/figure/fig6.log",
    benchmark:
        "results/benchmarks/figure/fig6.tsv"
    conda:
        DRAWING
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(10),
    params:
        settings=configuration.as_argument(FIG6.settings),
        files=configuration.as_argument(FIG6.files),
        code=code_digest("stars.paper.confusion"),
        clips=subpath(input.table, parent=True),
        out=subpath(output.svg, parent=True),
    message:
        "Figure 6: confusion matrix"
    shell:
        "stars figure fig6 --settings @<(printf %s {params.settings:q} ) --files @<(printf %s {params.files:q} ) --clips {params.clips} --out {params.out} > {log} 2>&1"


rule draw_curves:
    input:
        curves=drawn_from,
    output:
        svg=report(
            "results/{data}_{split}/curves.svg",
            caption="../report/curves.rst",
            category="Figures",
            labels={"figure": "Curves {data} {split}"},
        ),
        png="results/{data}_{split}/curves.png",
        csv="results/{data}_{split}/curves.csv",
        record="results/{data}_{split}/curves.record.json",
    log:
        "results/logs/figure/curves_{data}_{split}.log",
    benchmark:
        "results/benchmarks/figure/curves_{data}_{split}.tsv"
    conda:
        DRAWING
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(10),
    params:
        settings=told,
        files=files,
        code=code_digest("stars.paper.curves"),
        out=subpath(output.svg, parent=True),
    message:
        "Training curves: {wildcards.data} {wildcards.split}"
    shell:
        "stars figure curves --settings @<(printf %s {params.settings:q} ) --files @<(printf %s {params.files:q} ) --out {params.out} > {log} 2>&1"
