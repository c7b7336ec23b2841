# Raw skeleton files -> clips -> encoders -> evaluations -> the paper's tables and figures.
#
#   snakemake --cores 2                                         the demo, on simulated raw files
#   snakemake --cores 2 --configfile config/utd_mhad.yaml       real data
#   snakemake --cores 2 table5                                  one table or figure: table1 … table11 fig1 fig3a fig3b fig4 fig6 curves comparison quality report
#   snakemake --cores 2 all                                     everything
#   snakemake --cores 2 knn                                     every result of a protocol: linear knn finetune semi transfer few_shot
#   snakemake --cores 2 --configfile config/utd_mhad.yaml -- table2      a target after --configfile or --config stands behind --
#
# WHAT is made stands in config/, WHERE it runs in workflow/profiles/.

from snakemake.utils import min_version

from stars import shipped

min_version("9.0")


report: "workflow/report/workflow.rst"


if not workflow.configfiles:

    configfile: shipped.found("config/config.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/jobs.smk"
include: "workflow/rules/targets.smk"


rule targets:
    default_target: True
    input:
        [file for name in CONFIG.targets for file in TARGETS[name]],


include: "workflow/rules/clips.smk"
include: "workflow/rules/inspect.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/tune.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/subsets.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/finetune.smk"
include: "workflow/rules/paper.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/plugins.smk"
include: "workflow/rules/comparison.smk"
include: "workflow/rules/claims.smk"
