"""Signatures of manifests by OpenSSH (`ssh-keygen -Y`). Never stores or creates keys."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from stars.errors import InputError, given
from stars.provenance.lineage import MANIFEST, SIGNATURE

NAMESPACE = "stars-results"  # prevents reuse of signatures of other data


def sign(manifest: str, key: Path) -> bytes:
    """Sign a manifest with a private key, or with an agent's key by its public key; InputError on failure."""
    given(key, "your key, such as ~/.ssh/id_ed25519")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / MANIFEST
        file.write_text(manifest, encoding="utf-8")
        done = _ssh("sign", "-f", str(key), "-n", NAMESPACE, str(file))
        if done.returncode:
            raise InputError(f"--sign {key}: ssh-keygen could not sign: {_said(done)}")
        return (Path(folder) / SIGNATURE).read_bytes()


def check(results: Path, signers: Path | None) -> tuple[bool, str]:
    """Whether the signature is valid, and its description in words.

    Args:
        signers: allowed signers, a file in ssh-keygen's ALLOWED SIGNERS format; None: any key, which is only named.
    """
    manifest, signature = results / MANIFEST, results / SIGNATURE
    if not signature.is_file():
        return signers is None, "not signed"
    if signers is None:
        done = _ssh("check-novalidate", "-n", NAMESPACE, "-s", str(signature), stdin=manifest)
        if done.returncode:
            return False, f"its signature is not of this manifest ({_said(done)})"
        key = re.search(r"SHA256:\S+", done.stdout)
        return True, f"signed with the key {key[0] if key else '?'}; its owner is not checked (give --signers)"
    given(signers, "a file of allowed signers (man ssh-keygen)")
    found = _ssh("find-principals", "-f", str(signers), "-s", str(signature))
    who = found.stdout.split()[0] if found.returncode == 0 and found.stdout.split() else ""
    if not who:
        return False, f"signed by nobody in {signers}"
    done = _ssh("verify", "-f", str(signers), "-I", who, "-n", NAMESPACE, "-s", str(signature), stdin=manifest)
    return done.returncode == 0, (
        f"signed by {who}" if done.returncode == 0 else f"its signature by {who} is not of this manifest"
    )


def _ssh(command: str, *words: str, stdin: Path | None = None) -> subprocess.CompletedProcess[str]:
    if shutil.which("ssh-keygen") is None:
        raise InputError("signatures need ssh-keygen, which is not installed: install OpenSSH's client")
    text = stdin.read_text(encoding="utf-8") if stdin else ""
    return subprocess.run(
        ["ssh-keygen", "-Y", command, *words], input=text, capture_output=True, text=True, check=False
    )


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stderr or done.stdout).split())
