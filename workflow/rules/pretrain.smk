# Stage 1, and the random initialisation that it is compared with.


rule scratch:
    input:
        table="results/{data}/clips/clips.csv",
        frames="results/{data}/clips/frames.npy",
        offsets="results/{data}/clips/offsets.npy",
    output:
        encoder="results/{data}_{split}/{method}/encoder.safetensors",
        settings="results/{data}_{split}/{method}/settings.yaml",
        curve="results/{data}_{split}/{method}/curve.csv",
        record="results/{data}_{split}/{method}/record.json",
    log:
        "results/logs/scratch/{data}_{split}/{method}.log",
    benchmark:
        "results/benchmarks/scratch/{data}_{split}/{method}.tsv"
    wildcard_constraints:
        method=one_of(methods_of("scratch")),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=grows(10),
    params:
        settings=settings("scratch"),
        code=encoder_code("stars.training.scratch"),
        clips=subpath(input.table, parent=True),
        method=subpath(output.encoder, parent=True),
    message:
        "Initialise: {wildcards.data} {wildcards.split} {wildcards.method}"
    shell:
        "stars scratch --clips {params.clips} --out {params.method} --settings {params.settings:q} > {log} 2>&1"


rule pretrain:
    input:
        table="results/{data}/clips/clips.csv",
        frames="results/{data}/clips/frames.npy",
        offsets="results/{data}/clips/offsets.npy",
        train="results/{data}/splits/{split}_train.npy",
    output:
        encoder="results/{data}_{split}/{method}/encoder.safetensors",
        settings="results/{data}_{split}/{method}/settings.yaml",
        curve="results/{data}_{split}/{method}/curve.csv",
        record="results/{data}_{split}/{method}/record.json",
    log:
        "results/logs/pretrain/{data}_{split}/{method}.log",
    benchmark:
        "results/benchmarks/pretrain/{data}_{split}/{method}.tsv"
    wildcard_constraints:
        method=one_of(methods_of("pretrain")),
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
        settings=settings("pretrain"),
        code=code_digest("stars.training.pretrain"),
        clips=subpath(input.table, parent=True),
        method=subpath(output.encoder, parent=True),
    message:
        "Stage 1, masked motion prediction: {wildcards.data} {wildcards.split} {wildcards.method}"
    shell:
        "stars pretrain --clips {params.clips} --train {input.train} --out {params.method}"
        " --work {resources.work:q} --checkpoint-seconds {resources.checkpoint_seconds} --checkpoint-epochs {resources.checkpoint_epochs} --compile {resources.compiled}"
        " --device {resources.device} --threads {threads} --gpus {resources.processes} --nodes {resources.nodes}"
        " --settings {params.settings:q} 2>&1 | tee {log}"
