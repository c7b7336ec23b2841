"""A whole Slurm on this machine: munged, slurmctld and a slurmd for each node on the loopback address, for as long as a
`with` block lasts.

Everything lies in one folder and runs as the user who starts it; nothing of an installed Slurm's configuration is read
or changed.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")
DAEMONS = {
    "munged": (
        "--foreground --key-file={0}/munge.key --socket={0}/munge.socket --pid-file={0}/munged.pid"
        " --seed-file={0}/munged.seed --force"
    ),
    "slurmctld": "-D -f {0}/slurm.conf",
    "slurmd": "-D -f {0}/slurm.conf -N {1}",
}
COMMANDS = ("sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo", "setpriv")
# what stands for GPUs: Slurm wants device files, each once
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random")
PATIENCE = 600.0  # seconds: what has not come by then hangs, on a slow and busy machine too
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
CONFIGURATION = """
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd_%n.pid
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
MinJobAge=3600
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0
KillWait=5
MessageTimeout=60
BatchStartTimeout=60
TCPTimeout=10
ReturnToService=1
JobRequeue=0
SlurmdParameters=config_overrides
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
"""
PARTITIONS = """
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE
PartitionName=gpu Nodes=ALL MaxTime=INFINITE
PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF
"""


def missing() -> list[str]:
    """Programs of Slurm and munge that this machine lacks."""
    return [name for name in (*DAEMONS, *COMMANDS) if _program(name) is None]


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *SBIN]))


def wait_for(happened: Callable[[], Found], what: str) -> Found:
    """Wait until `happened()` is true, and return it; AssertionError saying `what` did not come when patience is
    over.
    """
    end = time.monotonic() + PATIENCE
    while not (found := happened()):
        assert time.monotonic() < end, f"waited {PATIENCE:g} s in vain for {what}"
        time.sleep(0.1)
    return found


def processes(variable: str) -> list[Path]:
    """Folders in /proc of the processes that have `NAME=value` in the environment they were started with."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended
            if variable.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(folder)
    return found


@dataclass
class Cluster:
    """A running Slurm: its folder, the environment in which its commands find it, and its daemons."""

    folder: Path
    environment: dict[str, str]
    daemons: dict[str, subprocess.Popen] = field(default_factory=dict)

    def ask(self, *command: str) -> str:
        """Output of a Slurm command; CalledProcessError where it fails."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True, timeout=PATIENCE
        )
        return done.stdout.strip()

    def jobs(self, form: str = "%i", *options: str) -> list[str]:
        """A line a job that has not ended, as squeue's format says."""
        return self.ask("squeue", "--noheader", "--format", form, *options).splitlines()

    def job(self, number: str) -> dict[str, str]:
        """What Slurm knows of a job, by scontrol's names."""
        return dict(word.split("=", 1) for word in self.ask("scontrol", "show", "job", number).split() if "=" in word)

    def cancel_all(self) -> None:
        """Cancel what has not ended, and wait for its end."""
        if left := self.jobs():
            self.ask("scancel", *left)
            wait_for(lambda: not self.jobs(), "jobs to end")

    def start(self, name: str, node: str = "") -> None:
        """Start a daemon, slurmd with the node it is; it ends with this process, however that ends."""
        command = [
            "setpriv",
            "--pdeathsig",
            "TERM",
            str(_program(name)),
            *DAEMONS[name].format(self.folder, node).split(),
        ]
        with (self.folder / f"{name}{node}.log").open("ab") as log:
            self.daemons[name + node] = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self, name: str) -> None:
        """Stop a daemon and wait for its end."""
        self.daemons[name].terminate()
        self.daemons.pop(name).wait(timeout=PATIENCE)

    def wait_until_idle(self) -> None:
        """Wait until the nodes take jobs."""
        wait_for(
            lambda: {"idle", "mixed", "allocated"}.issuperset(self._states()),
            f"idle nodes; {self.folder}/*.log say why",
        )

    def _states(self) -> list[str]:
        assert all(daemon.poll() is None for daemon in self.daemons.values()), (
            f"a daemon ended: {self.folder}/*.log say why"
        )
        done = subprocess.run(
            ["sinfo", "-h", "-p", "gpu", "-o", "%T"], env=self.environment, capture_output=True, text=True, check=False
        )
        return done.stdout.split() or ["unknown"]


@contextmanager
def running(
    folder: Path, nodes: tuple[str, ...] = ("localhost",), cpus: int = 8, memory: int = 200_000, gpus: int = 4
) -> Iterator[Cluster]:
    """A cluster with partitions `cpu`, `gpu` and `urgent`, which preempts them. A node's GPUs, at most four, are in
    name only; memory in MB.
    """
    cluster = _prepare(folder, nodes, cpus, memory, gpus)
    try:
        cluster.start("munged")
        wait_for((folder / "munge.socket").exists, "munged")
        cluster.start("slurmctld")
        for node in nodes:
            cluster.start("slurmd", node)
        cluster.wait_until_idle()
        yield cluster
        cluster.cancel_all()
    finally:
        for name in reversed(list(cluster.daemons)):
            cluster.stop(name)
        # jobs outlive their daemons where a test went wrong
        for process in processes(f"SLURM_CONF={folder}/slurm.conf"):
            with suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)


def _prepare(folder: Path, nodes: tuple[str, ...], cpus: int, memory: int, gpus: int) -> Cluster:
    for name in ("state", "bin", *(f"spool/{node}" for node in nodes)):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)  # munged refuses a socket in a folder that others may write to
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    port, *ports = _free_ports(1 + len(nodes))
    text = CONFIGURATION.format(folder=folder, user=getpass.getuser(), port=port)
    # a hostname that is this machine's for all: what tells them apart is the port
    for node, own in zip(nodes, ports, strict=True):
        text += (
            f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={own} CPUs={cpus} RealMemory={memory}"
            f" Gres=gpu:{gpus}\n"
        )
    (folder / "slurm.conf").write_text(text + PARTITIONS)
    devices = [f"NodeName={node} Name=gpu File={device}\n" for node in nodes for device in DEVICES[:gpus]]
    (folder / "gres.conf").write_text("".join(devices))
    wrapper = folder / "bin/srun"  # the job step executor of Snakemake takes SLURM_CONF out of srun's environment
    wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {_program("srun")} "$@"\n')
    wrapper.chmod(0o755)
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"], *SBIN])
    return Cluster(folder, {**os.environ, "PATH": path, "SLURM_CONF": str(folder / "slurm.conf")})


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
