# Names that can be asked for: `snakemake table2`, `snakemake quickstart`; a plain `snakemake` makes those under `targets:`.

TARGETS = {
    "table1": expand("results/tables/table1.{kind}", kind=["csv", "md", "tex", "html"]),
    "table2": expand("results/tables/table2.{kind}", kind=["csv", "md", "tex", "html"]),
    "fig4": expand("results/figures/fig4.{kind}", kind=["svg", "png", "csv"]),
    "fig6": [
        *expand("results/figures/fig6.{kind}", kind=["svg", "png", "csv"]),
        "results/figures/fig6_pairs.csv",
    ],
    "curves": [f"{layout.run(data, split)}/curves.{kind}" for (data, split), kind in product(layout.runs(CONFIG), ["svg", "png", "csv"])],
}
TARGETS["quickstart"] = [file for files in TARGETS.values() for file in files]

# Every result of a protocol. Their jobs have these names already, so they are asked for by `targets:` alone.
TARGETS |= {protocol: layout.results(CONFIG, protocol) for protocol in ["linear", "knn", "finetune", "semi", "transfer", "few_shot"]}

for name in CONFIG.targets:
    if name not in TARGETS:
        raise WorkflowError(f"targets: no target {name}{recipes.nearest(name, TARGETS)}")
    if not TARGETS[name]:
        raise WorkflowError(
            f"targets: {name}: the configuration has nothing for it: give {name}.pairs, or data and methods with this protocol"
        )


localrules:
    all,
    table1,
    table2,
    fig4,
    fig6,
    curves,
    quickstart,


rule table1:
    input:
        TARGETS["table1"],


rule table2:
    input:
        TARGETS["table2"],


rule fig4:
    input:
        TARGETS["fig4"],


rule fig6:
    input:
        TARGETS["fig6"],


rule curves:
    input:
        TARGETS["curves"],


rule quickstart:
    input:
        TARGETS["quickstart"],
