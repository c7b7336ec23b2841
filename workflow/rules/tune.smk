# Stage 2.


rule tune:
    input:
        table="results/{data}/clips/clips.csv",
        frames="results/{data}/clips/frames.npy",
        offsets="results/{data}/clips/offsets.npy",
        train="results/{data}/splits/{split}_train.npy",
        encoder=lambda wildcards: f"{parent(wildcards)}/encoder.safetensors",
        heads=first_heads,
    output:
        encoder="results/{data}_{split}/{method}/encoder.safetensors",
        heads="results/{data}_{split}/{method}/heads.safetensors",
        settings="results/{data}_{split}/{method}/settings.yaml",
        curve="results/{data}_{split}/{method}/curve.csv",
        record="results/{data}_{split}/{method}/record.json",
    log:
        "results/logs/tune/{data}_{split}/{method}.log",
    benchmark:
        "results/benchmarks/tune/{data}_{split}/{method}.tsv"
    wildcard_constraints:
        method=one_of(methods_of("tune")),
    priority: 1  # the longest jobs first
    conda:
        ENVIRONMENT
    threads: COMPUTE.threads
    resources:
        mem_mb=grows(12000),
        runtime=720,
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
        settings=settings("tune"),
        code=tuning_code,
        clips=subpath(input.table, parent=True),
        method=subpath(output.encoder, parent=True),
    message:
        "Stage 2, contrastive tuning: {wildcards.data} {wildcards.split} {wildcards.method}"
    shell:
        "stars tune --clips {params.clips} --train {input.train} --parent {input.encoder} --heads {input.heads} --out {params.method}"
        " --work {resources.work:q} --checkpoint-seconds {resources.checkpoint_seconds} --checkpoint-epochs {resources.checkpoint_epochs} --compile {resources.compiled}"
        " --device {resources.device} --threads {threads} --gpus {resources.processes} --nodes {resources.nodes}"
        " --settings {params.settings:q} 2>&1 | tee {log}"
