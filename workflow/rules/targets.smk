# Names that can be asked for: `snakemake table2`, `snakemake knn`; `snakemake all` is everything but single protocols. A plain
# `snakemake` makes those under `targets:`.

TARGETS = {
    f"table{number}": expand(
        "results/tables/table{number}.{kind}", number=number, kind=["csv", "json", "md", "tex", "html"]
    )
    for number in sources.TABLES
}
TARGETS |= {
    name: expand("results/figures/{name}.{kind}", name=name, kind=["svg", "png", "csv"]) for name in sources.FIGURES
}
TARGETS["fig6"].append("results/figures/fig6_pairs.csv")
TARGETS["curves"] = [
    f"{layout.run(data, split)}/curves.{kind}"
    for (data, split), kind in product(sources.curve_runs(CONFIG), ["svg", "png", "csv"])
]
TARGETS["comparison"] = [
    f"{layout.run(data, split)}/comparison.{kind}"
    for (data, split), kind in product(sources.comparison_runs(CONFIG), ["csv", "json", "md", "tex", "html"])
]
TARGETS["quality"] = expand("results/{data}/quality/index.html", data=CONFIG.data)
TARGETS["report"] = ["results/report/index.html"]
TARGETS |= {
    name: expand("results/tables/{name}.{kind}", name=name, kind=["csv", "md", "tex", "html"]) for name in CONFIG.tables
}
TARGETS["all"] = [file for files in TARGETS.values() for file in files]
TARGETS["quickstart"] = [file for name in (*sources.QUICKSTART, "report") for file in TARGETS[name]]
TARGETS["quickstart"] += expand(
    "results/{data}/quality/index.html", data=dict.fromkeys(data for data, _ in layout.runs(CONFIG))
)
TARGETS["claims"] = expand("results/claims/claims.{kind}", kind=["csv", "json", "md", "tex", "html", "svg", "png"])

# Every result of a protocol.
TARGETS |= {protocol: layout.results(CONFIG, protocol) for protocol in configuration.PROTOCOLS}
TARGETS |= {protocol: plugin_results.results(CONFIG, protocol) for protocol in CONFIG.protocols}

assert TARGETS.keys() == {*configuration.targets(CONFIG)}  # against which the configuration was checked
for name in CONFIG.targets:
    if not TARGETS[name]:
        nothing_for(name)

for name in TARGETS:

    rule:
        name:
            name
        input:
            TARGETS[name] or partial(nothing_for, name),
        localrule: True


# Whatever else is asked for and is no path: a misspelt target. A workflow that takes this one as a module has names of its own.
if workflow.modifier.is_main_snakefile():

    rule unknown_target:
        input:
            misspelt,
        output:
            "{name}",
        wildcard_constraints:
            name=r"(?!(?:%s)$)\w+" % one_of(block.raw for block in CONFIG.data.values() if block.raw),
        localrule: True
