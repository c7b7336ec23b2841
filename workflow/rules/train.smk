# A training with any backbone and objective, and a network taken out of one.


rule train:
    input:
        table="results/{data}/clips/clips.csv",
        frames="results/{data}/clips/frames.npy",
        offsets="results/{data}/clips/offsets.npy",
        train="results/{data}/splits/{split}_train.npy",
        start=start,
        heads=first_heads,
    output:
        encoder="results/{data}_{split}/{method}/encoder.safetensors",
        heads="results/{data}_{split}/{method}/heads.safetensors",
        settings="results/{data}_{split}/{method}/settings.yaml",
        curve="results/{data}_{split}/{method}/curve.csv",
        record="results/{data}_{split}/{method}/record.json",
    log:
        "results/logs/train/{data}_{split}/{method}.log",
    benchmark:
        "results/benchmarks/train/{data}_{split}/{method}.tsv"
    wildcard_constraints:
        method=one_of(methods_of("train")),
    priority: 1  # the longest jobs first
    conda:
        ENVIRONMENT
    threads: COMPUTE.threads
    resources:
        mem_mb=grows(12000),
        runtime=1440,
        gpu=gpus,
        gres=gpus_of_node,
        nodes=nodes,
        tasks=nodes,  # Slurm gives as many nodes as it has tasks for
        tasks_per_gpu=0,  # else the plugin takes `tasks` for it
        processes=processes,
        device=COMPUTE.device,
        compiled=COMPILED,
        work=CHECKPOINT.folder,
        checkpoint_seconds=str(CHECKPOINT.seconds),
        checkpoint_epochs=CHECKPOINT.epochs,
    params:
        settings=settings("train"),
        code=training_code,
        clips=subpath(input.table, parent=True),
        start=lambda wildcards, input: Path(input.start[0]).parent if input.start else "",
        method=subpath(output.encoder, parent=True),
    message:
        "Train: {wildcards.data} {wildcards.split} {wildcards.method}"
    shell:
        "stars train --clips {params.clips} --train {input.train} --parent {params.start} --heads {input.heads} --out {params.method}"
        " --work {resources.work:q} --checkpoint-seconds {resources.checkpoint_seconds} --checkpoint-epochs {resources.checkpoint_epochs} --compile {resources.compiled}"
        " --device {resources.device} --threads {threads} --gpus {resources.processes} --nodes {resources.nodes}"
        " --settings {params.settings:q} 2>&1 | tee {log}"


rule network:
    input:
        encoder=lambda wildcards: f"{parent(wildcards)}/encoder.safetensors",
        heads=lambda wildcards: f"{parent(wildcards)}/heads.safetensors",
    output:
        encoder="results/{data}_{split}/{method}/encoder.safetensors",
        settings="results/{data}_{split}/{method}/settings.yaml",
        curve="results/{data}_{split}/{method}/curve.csv",
        record="results/{data}_{split}/{method}/record.json",
    log:
        "results/logs/network/{data}_{split}/{method}.log",
    benchmark:
        "results/benchmarks/network/{data}_{split}/{method}.tsv"
    wildcard_constraints:
        method=one_of(methods_of("network")),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(10),
    params:
        settings=settings("network"),
        code=encoder_code("stars.training.network"),
        start=subpath(input.encoder, parent=True),
        method=subpath(output.encoder, parent=True),
    message:
        "Take a network: {wildcards.data} {wildcards.split} {wildcards.method}"
    shell:
        "stars network --method {params.start} --out {params.method} --settings {params.settings:q} > {log} 2>&1"
