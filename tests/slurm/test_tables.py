"""The workflow through a real Slurm makes what it makes without one."""

import re
from contextlib import closing

from cluster import PATIENCE, wait_for
from flow import LITERAL, Flow
from tiny import project


def test_tables_through_slurm_equal_the_local_ones_although_the_controller_restarts(cluster, finished, tmp_path):
    with closing(Flow(project(tmp_path / "slurm"), {}, cluster, snakemake=LITERAL)) as flow:
        snakemake = flow.start()
        log = flow.folder / "results/logs/slurm/rule_embed"
        wait_for(lambda: log.exists() or snakemake.poll() is not None, "the first features")
        cluster.stop("slurmctld")
        cluster.start("slurmctld")
        assert snakemake.wait(timeout=2 * PATIENCE) == 0, flow.said.read_text()
    local = Flow(finished, {})
    assert flow.results() == local.results() and "tables/table2.html" in flow.results() and not flow.leftovers()
    assert re.match(r"(\d+) of \1 jobs done, 0 under way, 0 failed", flow.status())
    submitted = [line.removeprefix("rule_").partition("_wildcards_") for line in cluster.jobs("%k", "--states=all")]
    names = {rule for rule, _, _ in submitted}
    assert {"ingest", "pretrain", "tune", "embed", "evaluate_knn", "evaluate_linear"} <= names and not names & {
        "split",
        "scratch",
        "table",
        "draw_curves",
    }
    assert ("pretrain", "_wildcards_", "demo_xsub_mamp") in submitted  # what squeue's %k shows a person
