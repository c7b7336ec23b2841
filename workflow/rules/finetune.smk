# Protocols that train the whole encoder on labels: fine-tuning, the same on another data set (transfer), and on part of the labels.


rule evaluate_finetune:
    input:
        encoder="results/{data}_{split}/{method}/encoder.safetensors",
        table="results/{data}/clips/clips.csv",
        frames="results/{data}/clips/frames.npy",
        offsets="results/{data}/clips/offsets.npy",
        train="results/{data}/splits/{split}_train.npy",
        test="results/{data}/splits/{split}_test.npy",
    output:
        metrics="results/{data}_{split}/{method}/finetune/metrics.json",
        predictions="results/{data}_{split}/{method}/finetune/predictions.npz",
        curve="results/{data}_{split}/{method}/finetune/curve.csv",
        record="results/{data}_{split}/{method}/finetune/record.json",
    log:
        "results/logs/finetune/{data}_{split}/{method}.log",
    benchmark:
        "results/benchmarks/finetune/{data}_{split}/{method}.tsv"
    wildcard_constraints:
        method=one_of(with_encoder()),
    conda:
        ENVIRONMENT
    threads: COMPUTE.threads
    resources:
        mem_mb=grows(16000),
        runtime=1440,
        gpu=GPU,
        device=COMPUTE.device,
        compiled=COMPILED,
        work=CHECKPOINT.folder,
        checkpoint_seconds=str(CHECKPOINT.seconds),
        checkpoint_epochs=CHECKPOINT.epochs,
    params:
        settings=settings("finetune"),
        code=encoder_code("stars.evaluation.finetune"),
        clips=subpath(input.table, parent=True),
        target="{data}",
        out=subpath(output.metrics, parent=True),
    message:
        "Fine-tune: {wildcards.data} {wildcards.split} {wildcards.method}"
    shell:
        "stars finetune --encoder {input.encoder} --clips {params.clips} --train {input.train} --test {input.test} --target {params.target}"
        " --out {params.out} --work {resources.work:q}"
        " --checkpoint-seconds {resources.checkpoint_seconds} --checkpoint-epochs {resources.checkpoint_epochs} --compile {resources.compiled}"
        " --device {resources.device} --threads {threads} --settings {params.settings:q} 2>&1 | tee {log}"


use rule evaluate_finetune as evaluate_transfer with:
    input:
        encoder="results/{data}_{split}/{method}/encoder.safetensors",
        table="results/{target}/clips/clips.csv",
        frames="results/{target}/clips/frames.npy",
        offsets="results/{target}/clips/offsets.npy",
        train="results/{target}/splits/{target_split}_train.npy",
        test="results/{target}/splits/{target_split}_test.npy",
    output:
        metrics="results/{data}_{split}/{method}/transfer/{target}_{target_split}/metrics.json",
        predictions="results/{data}_{split}/{method}/transfer/{target}_{target_split}/predictions.npz",
        curve="results/{data}_{split}/{method}/transfer/{target}_{target_split}/curve.csv",
        record="results/{data}_{split}/{method}/transfer/{target}_{target_split}/record.json",
    log:
        "results/logs/transfer/{data}_{split}/{method}_{target}_{target_split}.log",
    benchmark:
        "results/benchmarks/transfer/{data}_{split}/{method}_{target}_{target_split}.tsv"
    params:
        settings=settings("transfer"),
        code=encoder_code("stars.evaluation.finetune"),
        clips=subpath(input.table, parent=True),
        target="{target}",
        out=subpath(output.metrics, parent=True),
    message:
        "Transfer: {wildcards.data} {wildcards.split} {wildcards.method} on {wildcards.target} {wildcards.target_split}"


rule evaluate_semi:
    input:
        encoder="results/{data}_{split}/{method}/encoder.safetensors",
        table="results/{data}/clips/clips.csv",
        frames="results/{data}/clips/frames.npy",
        offsets="results/{data}/clips/offsets.npy",
        subsets=expand(
            "results/{{data}}/splits/semi/{{split}}/{{fraction}}_{subset}.npy", subset=range(CONFIG.semi.subsets)
        ),
        test="results/{data}/splits/{split}_test.npy",
    output:
        metrics="results/{data}_{split}/{method}/semi/{fraction}/metrics.json",
        predictions="results/{data}_{split}/{method}/semi/{fraction}/predictions.npz",
        curve="results/{data}_{split}/{method}/semi/{fraction}/curve.csv",
        record="results/{data}_{split}/{method}/semi/{fraction}/record.json",
    log:
        "results/logs/semi/{data}_{split}/{method}_{fraction}.log",
    benchmark:
        "results/benchmarks/semi/{data}_{split}/{method}_{fraction}.tsv"
    conda:
        ENVIRONMENT
    threads: COMPUTE.threads
    resources:
        mem_mb=grows(16000),
        runtime=1440,
        gpu=GPU,
        device=COMPUTE.device,
        compiled=COMPILED,
        work=CHECKPOINT.folder,
        checkpoint_seconds=str(CHECKPOINT.seconds),
        checkpoint_epochs=CHECKPOINT.epochs,
    params:
        settings=settings("semi"),
        code=encoder_code("stars.evaluation.semi"),
        clips=subpath(input.table, parent=True),
        subsets=lambda wildcards, input: Path(input.subsets[0]).parent,
        out=subpath(output.metrics, parent=True),
    message:
        "Semi-supervised: {wildcards.data} {wildcards.split} {wildcards.method} {wildcards.fraction}"
    shell:
        "stars semi --encoder {input.encoder} --clips {params.clips} --subsets {params.subsets} --test {input.test} --target {wildcards.data}"
        " --out {params.out} --work {resources.work:q}"
        " --checkpoint-seconds {resources.checkpoint_seconds} --checkpoint-epochs {resources.checkpoint_epochs} --compile {resources.compiled}"
        " --device {resources.device} --threads {threads} --settings {params.settings:q} 2>&1 | tee {log}"
