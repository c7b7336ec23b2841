# Protocols, all of one shape: features or weights in; metrics.json, predictions and a record out.


rule evaluate_knn:
    input:
        train_features="results/{data}_{split}/{method}/features/{data}_train.npy",
        test_features="results/{data}_{split}/{method}/features/{data}_test.npy",
        heads=head_features(FEATURES),
        table="results/{data}/clips/clips.csv",
        train="results/{data}/splits/{split}_train.npy",
        test="results/{data}/splits/{split}_test.npy",
    output:
        metrics="results/{data}_{split}/{method}/knn/metrics.json",
        predictions="results/{data}_{split}/{method}/knn/predictions.npz",
        record="results/{data}_{split}/{method}/knn/record.json",
    log:
        "results/logs/knn/{data}_{split}/{method}.log",
    benchmark:
        "results/benchmarks/knn/{data}_{split}/{method}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=grows(4000),
        runtime=grows(30),
    params:
        settings=settings("knn"),
        code=code_digest("stars.evaluation.knn"),
        clips=subpath(input.table, parent=True),
        features=subpath(input.train_features, parent=True),
        out=subpath(output.metrics, parent=True),
    message:
        "KNN: {wildcards.data} {wildcards.split} {wildcards.method}"
    shell:
        "stars knn --features {params.features} --target {wildcards.data} --clips {params.clips} --train {input.train} --test {input.test}"
        " --out {params.out} --settings {params.settings:q} > {log} 2>&1"


rule evaluate_linear:
    input:
        encoder="results/{data}_{split}/{method}/encoder.safetensors",
        test_features="results/{data}_{split}/{method}/features/{data}_test.npy",
        table="results/{data}/clips/clips.csv",
        frames="results/{data}/clips/frames.npy",
        offsets="results/{data}/clips/offsets.npy",
        train="results/{data}/splits/{split}_train.npy",
        test="results/{data}/splits/{split}_test.npy",
    output:
        metrics="results/{data}_{split}/{method}/linear/metrics.json",
        predictions="results/{data}_{split}/{method}/linear/predictions.npz",
        curve="results/{data}_{split}/{method}/linear/curve.csv",
        record="results/{data}_{split}/{method}/linear/record.json",
    log:
        "results/logs/linear/{data}_{split}/{method}.log",
    benchmark:
        "results/benchmarks/linear/{data}_{split}/{method}.tsv"
    wildcard_constraints:
        method=one_of(with_encoder()),
    conda:
        ENVIRONMENT
    threads: COMPUTE.threads
    resources:
        mem_mb=grows(12000),
        runtime=720,
        gpu=GPU,
        device=COMPUTE.device,
        work=CHECKPOINT.folder,
        checkpoint_seconds=str(CHECKPOINT.seconds),
        checkpoint_epochs=CHECKPOINT.epochs,
    params:
        settings=settings("linear"),
        code=encoder_code("stars.evaluation.linear"),
        clips=subpath(input.table, parent=True),
        method=subpath(input.encoder, parent=True),
        features=subpath(input.test_features, parent=True),
        out=subpath(output.metrics, parent=True),
    message:
        "Linear probe: {wildcards.data} {wildcards.split} {wildcards.method}"
    shell:
        "stars linear --method {params.method} --clips {params.clips} --train {input.train} --test {input.test} --features {params.features}"
        " --target {wildcards.data} --out {params.out} --work {resources.work:q}"
        " --checkpoint-seconds {resources.checkpoint_seconds} --checkpoint-epochs {resources.checkpoint_epochs}"
        " --device {resources.device} --threads {threads} --settings {params.settings:q} 2>&1 | tee {log}"


rule evaluate_few_shot:
    input:
        train_features="results/{data}_{split}/{method}/features/{target}_{target_split}_train.npy",
        test_features="results/{data}_{split}/{method}/features/{target}_{target_split}_test.npy",
        heads=head_features(FEATURES_ELSEWHERE),
        table="results/{target}/clips/clips.csv",
        train="results/{target}/splits/{target_split}_train.npy",
        test="results/{target}/splits/{target_split}_test.npy",
        exemplars=(
            expand(
                "results/{{target}}/splits/few_shot/{{target_split}}/{shots}_{draw}.npy",
                shots=CONFIG.few_shot.shots,
                draw=range(CONFIG.few_shot.draws),
            )
            if "exemplars" in CONFIG.few_shot.readings
            else []
        ),
    output:
        metrics="results/{data}_{split}/{method}/few_shot/{target}_{target_split}/metrics.json",
        predictions="results/{data}_{split}/{method}/few_shot/{target}_{target_split}/predictions.npz",
        record="results/{data}_{split}/{method}/few_shot/{target}_{target_split}/record.json",
    log:
        "results/logs/few_shot/{data}_{split}/{method}_{target}_{target_split}.log",
    benchmark:
        "results/benchmarks/few_shot/{data}_{split}/{method}_{target}_{target_split}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=grows(4000),
        runtime=grows(30),
    params:
        settings=settings("few_shot"),
        code=code_digest("stars.evaluation.few_shot"),
        clips=subpath(input.table, parent=True),
        features=subpath(input.train_features, parent=True),
        exemplars=lambda wildcards, input: Path(input.exemplars[0]).parent if input.exemplars else "",
        out=subpath(output.metrics, parent=True),
    message:
        "Few-shot: {wildcards.data} {wildcards.split} {wildcards.method} on {wildcards.target} {wildcards.target_split}"
    shell:
        "stars few-shot --features {params.features} --target {wildcards.target}_{wildcards.target_split} --clips {params.clips}"
        " --train {input.train} --test {input.test} --exemplars {params.exemplars} --out {params.out}"
        " --settings {params.settings:q} > {log} 2>&1"


# Of an ensemble: its members' classifiers, whose scores are added.
for protocol in ("linear", "finetune"):

    rule:
        name:
            f"{protocol}_of_ensemble"
        input:
            members=members(f"{protocol}/predictions.npz"),
            table="results/{data}/clips/clips.csv",
            train="results/{data}/splits/{split}_train.npy",
            test="results/{data}/splits/{split}_test.npy",
        output:
            metrics=f"results/{{data}}_{{split}}/{{method}}/{protocol}/metrics.json",
            predictions=f"results/{{data}}_{{split}}/{{method}}/{protocol}/predictions.npz",
            record=f"results/{{data}}_{{split}}/{{method}}/{protocol}/record.json",
        log:
            f"results/logs/{protocol}/{{data}}_{{split}}/{{method}}.log",
        benchmark:
            f"results/benchmarks/{protocol}/{{data}}_{{split}}/{{method}}.tsv"
        wildcard_constraints:
            method=one_of(methods_of("ensemble")),
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=grows(2000),
            runtime=grows(10),
        params:
            settings=settings("ensemble_scores", protocol),
            code=code_digest("stars.evaluation.ensemble"),
            clips=subpath(input.table, parent=True),
            members=lambda wildcards, input: [str(Path(file).parent) for file in input.members],
            out=subpath(output.metrics, parent=True),
        message:
            f"Add scores ({protocol}): {{wildcards.data}} {{wildcards.split}} {{wildcards.method}}"
        shell:
            "stars ensemble-scores --members {params.members} --clips {params.clips} --train {input.train} --test {input.test}"
            " --out {params.out} --target {wildcards.data} --settings {params.settings:q} > {log} 2>&1"
