"""Several nodes of one training: this command started once on each other node of a Slurm job, where it starts that node's processes."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from stars.errors import InputError

NUMBER = "STARS_NODE"  # of a node other than the first, for the command that is started there
GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"
SIOCGIFADDR = 0x8915  # Linux's request for the IPv4 address of a network interface: man 7 netdevice
LEFT_OUT = ("SLURM_", "SRUN_", "CUDA_VISIBLE_DEVICES")  # they say how this node's process was started; srun would take them as its options


def share(processes: int, nodes: int) -> int:
    """Processes on each node; InputError where they cannot be spread evenly."""
    if processes % nodes:
        raise InputError(f"--gpus {processes} cannot be spread evenly over --nodes {nodes}: change either")
    return processes // nodes


def number() -> int:
    """Which of the nodes this is, from 0; the first one's command starts the others'."""
    return int(os.environ.get(NUMBER, 0))


def first() -> str:
    """Address of the first node, as this one reaches it."""
    return os.environ["SLURM_LAUNCH_NODE_IPADDR"] if number() else "127.0.0.1"


def others(nodes: int) -> list[str]:
    """Names of the other nodes of the Slurm job that this runs in, so that with this one there are `nodes`; InputError where it has fewer."""
    job, own = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURMD_NODENAME")
    names: list[str] = []
    if job and own and shutil.which("srun"):
        names = _said("scontrol", "show", "hostnames", _said("squeue", "--noheader", f"--jobs={job}", "--format=%N")).split()
    found = [name for name in names if name != own]
    if len(found) < nodes - 1:
        here = f"this Slurm job has {len(names)}" if names else "this is no Slurm job"
        raise InputError(f"--nodes {nodes}: {here}: run `snakemake --profile slurm`, or set compute.nodes to 1")
    return found[: nodes - 1]


def start(arguments: Sequence[str], node: int, name: str, told: dict[str, str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `stars ARGUMENTS` on a node by its number and its name; srun, which ends with its exit code."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(LEFT_OUT) or key == "SLURM_CONF"}
    return subprocess.Popen(
        [*step(os.environ["SLURM_JOB_ID"], name), sys.executable, "-m", "stars", *arguments],
        env={**kept, **told, NUMBER: str(node)},
        process_group=0,  # a terminal's Ctrl-C would make srun end the step; the first node's processes stop all others with them
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )


def step(job: str, name: str) -> list[str]:
    """The srun of one task on a node of a job, beside the step that asks for it, with all that the job has there."""
    return ["srun", f"--jobid={job}", "--overlap", "--nodes=1", "--ntasks=1", f"--nodelist={name}", "--cpu-bind=none"]


def interface(host: str) -> dict[str, str]:
    """The setting by which gloo listens where `host` can reach it; by itself it takes the address of this machine's name, often a loopback one.

    Nothing where the environment has it, where `host` has no known IPv4 address, or outside of Linux.
    """
    if GLOO_INTERFACE in os.environ or not sys.platform.startswith("linux"):
        return {}
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))  # of UDP: sends nothing, but chooses the address to send from
        own = probe.getsockname()[0]
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # one without an address
                answer = fcntl.ioctl(probe, SIOCGIFADDR, struct.pack("256s", name.encode()))
                if socket.inet_ntoa(answer[20:24]) == own:
                    return {GLOO_INTERFACE: name}
    return {}


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{command[0]} does not answer, so the nodes of this job are unknown: {done.stderr.strip()}: run again")
    return done.stdout.strip()
