"""Clusters for each of pytest's processes, and pairs of project folders: one whose jobs go through one of them, one
for the same without it.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from cluster import Cluster, missing, running
from flow import Flow
from tiny import project, set_site, snakemake


def _with_nodes(folder: Path, *nodes: str) -> Iterator[Cluster]:
    if lacking := missing():
        pytest.skip(f"no {', '.join(lacking)} here: apt-get install slurm-wlm munge")
    with running(folder, nodes) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    yield from _with_nodes(tmp_path_factory.mktemp("cluster"), "localhost")


@pytest.fixture(scope="session")
def two_nodes(tmp_path_factory) -> Iterator[Cluster]:
    yield from _with_nodes(tmp_path_factory.mktemp("nodes"), "node1", "node2")


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    """A project folder with clips and splits, and nothing trained."""
    folder = project(tmp_path_factory.mktemp("clips") / "project")
    done = snakemake(folder, "results/demo/splits/xsub_train.npy")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def flows(request, clips, tmp_path):
    """Make (flow through Slurm, flow on this machine) with those clips; `site` edits the profile. Nothing runs on after
    the test.

    `through` names the cluster's fixture.
    """

    def make(changed: dict, through: str = "cluster", **site: object) -> tuple[Flow, Flow]:
        cluster = request.getfixturevalue(through)
        pair = Flow(project(tmp_path / "slurm"), changed, cluster), Flow(project(tmp_path / "here"), changed)
        for flow in pair:
            shutil.copytree(clips / "results/demo", flow.folder / "results/demo")
            shutil.copytree(clips / ".snakemake/metadata", flow.folder / ".snakemake/metadata")
        set_site(pair[0].folder, **site)
        for flow in pair:
            stack.enter_context(closing(flow))
        return pair

    with ExitStack() as stack:
        yield make
