# A page that shows whether the clips are what they should be.


rule inspect:
    input:
        table="results/{data}/clips/clips.csv",
        frames="results/{data}/clips/frames.npy",
        offsets="results/{data}/clips/offsets.npy",
        quality="results/{data}/clips/quality.json",
        splits=sides_of_splits,
    output:
        page=report(
            "results/{data}/quality/index.html",
            caption="../report/quality.rst",
            category="Data",
            labels={"data": "{data}"},
        ),
        suspicious="results/{data}/quality/suspicious.csv",
        record="results/{data}/quality/record.json",
    log:
        "results/logs/inspect/{data}.log",
    benchmark:
        "results/benchmarks/inspect/{data}.tsv"
    conda:
        DRAWING
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=grows(30),
    params:
        settings=settings("inspect"),
        code=code_digest("stars.inspect.page"),
        clips=subpath(input.table, parent=True),
        splits=lambda wildcards: f"results/{wildcards.data}/splits",
        out=subpath(output.page, parent=True),
    message:
        "Quality page: {wildcards.data}"
    shell:
        "stars inspect {wildcards.data} --clips {params.clips} --splits {params.splits} --out {params.out}"
        " --settings {params.settings:q} > {log} 2>&1"
