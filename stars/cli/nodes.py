"""Several nodes of one training: starts this command once on each other node of a Slurm job, where it starts that
node's processes.
"""

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
# they describe how this process was started; srun would read them as options
LEFT_OUT = ("SLURM_", "SRUN_", "CUDA_VISIBLE_DEVICES")


def share(processes: int, nodes: int) -> int:
    """Processes per node; InputError if they cannot be spread evenly."""
    if processes % nodes:
        raise InputError(f"--gpus {processes} is not a multiple of --nodes {nodes}: change either")
    return processes // nodes


def number() -> int:
    """Number of this node, from 0; the command on the first node starts those on the others."""
    return int(os.environ.get(NUMBER, 0))


def first() -> str:
    """Address at which this node reaches the first one."""
    return os.environ["SLURM_LAUNCH_NODE_IPADDR"] if number() else "127.0.0.1"


def others(nodes: int) -> list[str]:
    """Names of the other `nodes` - 1 nodes of this Slurm job; InputError if it has fewer nodes."""
    job, own = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURMD_NODENAME")
    names: list[str] = []
    if job and own and shutil.which("srun"):
        names = _said(
            "scontrol", "show", "hostnames", _said("squeue", "--noheader", f"--jobs={job}", "--format=%N")
        ).split()
    found = [name for name in names if name != own]
    if len(found) < nodes - 1:
        here = f"this Slurm job has {len(names)}" if names else "this is not a Slurm job"
        raise InputError(f"--nodes {nodes}: {here}: run `snakemake --profile slurm`, or set compute.nodes to 1")
    return found[: nodes - 1]


def start(
    arguments: Sequence[str], node: int, name: str, told: dict[str, str], stderr: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start `stars ARGUMENTS` on node number `node`, called `name`; returns the srun process, which ends with the
    same exit code.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith(LEFT_OUT) or key == "SLURM_CONF"}
    return subprocess.Popen(
        [*step(os.environ["SLURM_JOB_ID"], name), sys.executable, "-m", "stars", *arguments],
        env={**kept, **told, NUMBER: str(node)},
        # a terminal's Ctrl-C would make srun end the step; the first node's processes stop all others with them
        process_group=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )


def step(job: str, name: str) -> list[str]:
    """srun's arguments for one task on a node of a job, next to the calling step, with all resources that the job
    has there.
    """
    return ["srun", f"--jobid={job}", "--overlap", "--nodes=1", "--ntasks=1", f"--nodelist={name}", "--cpu-bind=none"]


def interface(host: str) -> dict[str, str]:
    """The variable that makes gloo listen where `host` can reach it; by default it uses the address of this machine's
    name, often loopback.

    Empty if the environment sets it, if `host` has no known IPv4 address, or outside of Linux.
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
        raise InputError(f"{command[0]} failed, so the nodes of this job are unknown: {done.stderr.strip()}: run again")
    return done.stdout.strip()
