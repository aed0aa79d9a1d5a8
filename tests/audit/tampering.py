"""What somebody who may push to the vault can do to its meta branch, with plain git."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from flow.places import git


def rewrite(
    server: Path,
    change: Callable[[list[bytes]], list[bytes]],
    *,
    parents: str = "on top",
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Give the meta branch a tip in which the trail is changed: on top of what is there, or instead of it.

    Args:
        files: Other files of the tip, by path.
    """
    listed = git(server, "ls-tree", "-r", "nbvault/meta").decode().splitlines()
    path = next(line for line in listed if "records/audit-" in line).split("\t")[1]
    lines = change(git(server, "show", f"nbvault/meta:{path}").splitlines(keepends=True))
    for name, content in {path: b"".join(lines), **(files or {})}.items():
        blob = git(server, "hash-object", "-w", "--stdin", stdin=content).decode().strip()
        kept = [line for line in listed if line.split("\t")[1] != name]
        listed = [*kept, f"100644 blob {blob}\t{name}"]
    index = {"GIT_INDEX_FILE": str(server / "tampering")}

    def run(*command: str, stdin: str = "") -> str:
        done = subprocess.run(
            ["git", "-C", str(server), "-c", "user.name=m", "-c", "user.email=m@x", *command],
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **index},
        )
        return done.stdout.strip()

    run("read-tree", "--empty")
    run("update-index", "--index-info", stdin="\n".join([*listed, ""]))
    tree = run("write-tree")
    message = git(server, "log", "-1", "--format=%B", "nbvault/meta").decode()
    old = git(server, "log", "-1", "--format=%P", "nbvault/meta").decode().split()
    tip = git(server, "rev-parse", "nbvault/meta").decode().strip()
    above = {"on top": [tip, old[1]], "instead": old}[parents]
    commit = run("commit-tree", tree, *(word for parent in above for word in ("-p", parent)), stdin=message)
    git(server, "update-ref", "refs/heads/nbvault/meta", commit)


def edited(lines: list[bytes]) -> list[bytes]:
    """The first event ended otherwise."""
    return [lines[0].replace(b'"ok"', b'"refused"'), *lines[1:]]
