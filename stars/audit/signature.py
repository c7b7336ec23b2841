"""A manifest signed by OpenSSH (`ssh-keygen -Y`): who vouches for an archive. No key is kept or made here."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from stars.errors import InputError, given
from stars.provenance.lineage import MANIFEST, SIGNATURE

NAMESPACE = "stars-results"  # so that a signature of something else is none of a manifest


def sign(manifest: str, key: Path) -> bytes:
    """The signature of a manifest by a private key, or by the public one of a key that an agent holds; InputError where that fails."""
    given(key, "a key of yours, as ~/.ssh/id_ed25519")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / MANIFEST
        file.write_text(manifest, encoding="utf-8")
        done = _ssh("sign", "-f", str(key), "-n", NAMESPACE, str(file))
        if done.returncode:
            raise InputError(f"--sign {key}: ssh-keygen could not sign: {_said(done)}")
        return (Path(folder) / SIGNATURE).read_bytes()


def check(results: Path, signers: Path | None) -> tuple[bool, str]:
    """Whether the signature is good, and what it says in words.

    Args:
        signers: who may sign, a file of the form of ssh-keygen's ALLOWED SIGNERS; None: any key, which is then only named.
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
    return done.returncode == 0, f"signed by {who}" if done.returncode == 0 else f"its signature by {who} is not of this manifest"


def _ssh(command: str, *words: str, stdin: Path | None = None) -> subprocess.CompletedProcess[str]:
    if shutil.which("ssh-keygen") is None:
        raise InputError("signatures need ssh-keygen, which is not installed: install OpenSSH's client")
    text = stdin.read_text(encoding="utf-8") if stdin else ""
    return subprocess.run(["ssh-keygen", "-Y", command, *words], input=text, capture_output=True, text=True, check=False)


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stderr or done.stdout).split())
