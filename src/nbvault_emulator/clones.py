"""Clones for Git folders: the real git, over the network, with the caller's Git credential and sparse checkout."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

from nbvault_emulator.world import WorldError

_KEPT = 64


class Clone(NamedTuple):
    """What a clone has checked out: branch, commit, and the blob of each file in its working tree."""

    branch: str
    head: str
    files: list[tuple[str, str]]
    size_bytes: int


class Cloner:
    """Clones repositories; a checkout that was made before is not made again."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[str, str, str, tuple[str, ...] | None], Clone] = OrderedDict()

    async def clone(self, url: str, *, branch: str, patterns: list[str] | None, token: str) -> Clone:
        """Clone, check out as the cone patterns say, and throw it away.

        Args:
            branch: Empty for the server's default branch.

        Raises:
            WorldError: git fails; as the Repos API says it.
        """
        folder = Path(tempfile.mkdtemp(prefix="nbvault-emulator-clone-"))
        try:
            git = _Git(folder, token, url, sparse=patterns is not None)
            found, head = await git.tip(branch)
            key = (url, found, head, None if patterns is None else tuple(patterns))
            if head and key not in self._made:
                self._made[key] = await _cloned(git, folder, found, head, patterns)
                while len(self._made) > _KEPT:
                    self._made.popitem(last=False)
            return self._made[key] if head else Clone("", "", [], 0)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _cloned(git: _Git, folder: Path, branch: str, head: str, patterns: list[str] | None) -> Clone:
    await git.run("init", "--quiet", ".")
    await git.run("fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", head)
    if patterns is not None:
        await git.run("sparse-checkout", "set", "--stdin", stdin="".join(each + "\n" for each in patterns))
    await git.run("checkout", "--quiet", "-B", branch, head)
    listed = await git.run("ls-files", "-z", "--stage", "-t")
    files = [_entry(line) for line in listed.split("\0") if line.startswith("H ")]
    return Clone(branch, head, files, sum((folder / path).lstat().st_size for path, _ in files))


def _entry(line: str) -> tuple[str, str]:
    head, _, path = line.partition("\t")
    return path, head.split(" ")[2]


class _Git:
    """git in one folder, with the credential in its environment."""

    def __init__(self, folder: Path, token: str, url: str, *, sparse: bool) -> None:
        self._folder = folder
        self._url = url
        header = "Authorization: Basic " + base64.b64encode(f"git:{token}".encode()).decode()
        settings = {"http.extraHeader": header, "protocol.version": "2", "core.autocrlf": "false"}
        settings |= {"remote.origin.url": url, "remote.origin.promisor": "true"}
        settings |= {"core.sparseCheckout": "true", "core.sparseCheckoutCone": "true"} if sparse else {}
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_COUNT": str(len(settings)),
        }
        for number, (name, value) in enumerate(settings.items()):
            self._environment |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}

    async def tip(self, branch: str) -> tuple[str, str]:
        """A branch, or the one that HEAD of the remote names, and its commit; both empty in an empty repository."""
        wanted = f"refs/heads/{branch}" if branch else "HEAD"
        lines = [line.split("\t") for line in (await self.run("ls-remote", "--symref", self._url, wanted)).splitlines()]
        named = next((left[16:] for left, right in lines if left.startswith("ref: refs/heads/")), branch)
        head = next((left for left, right in lines if right == wanted and not left.startswith("ref:")), "")
        if branch and not head:
            raise _refusal("couldn't find remote ref")
        return (named, head) if head else ("", "")

    async def run(self, *arguments: str, stdin: str = "") -> str:
        """One command to its end, and what it printed."""
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            cwd=self._folder,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, complaint = await process.communicate(stdin.encode())
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise _refusal(complaint.decode("utf-8", "replace"))
        return output.decode("utf-8", "surrogateescape")


def _refusal(complaint: str) -> WorldError:
    if "Authentication failed" in complaint or "could not read" in complaint:
        message = (
            "Invalid Git provider credentials. Go to User Settings > Git Integration to ensure that: "
            "1. You have entered a username with your Git provider credentials. 2. The token has not expired."
        )
        return WorldError(403, "PERMISSION_DENIED", message)
    if "not found" in complaint or "couldn't find remote ref" in complaint:
        message = (
            "Remote repo not found. Please ensure that: 1. Your remote Git repo URL is valid. "
            "2. Your personal access token or app password has the correct repo access."
        )
        return WorldError(404, "RESOURCE_DOES_NOT_EXIST", message)
    reason = " ".join(complaint.split())[:300]
    return WorldError(400, "BAD_REQUEST", f"Failed to clone repo. Failure reason: {reason}")
