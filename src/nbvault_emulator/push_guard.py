"""Push protection: a pre-receive hook that reads every new blob of a push and refuses it where one holds a secret.

git starts this file by itself, with the new objects still in quarantine. What it found goes to the file that
NBVAULT_EMULATOR_FINDINGS names, in the words of the real service.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

MESSAGE = "VS403654: The push was rejected because it contains one or more secrets."
_HELP = (
    "Resolve the following secrets before pushing again. For help, see "
    "https://aka.ms/advancedsecurity/secret-scanning/push-protection."
)
# Two kinds whose form and number are public; their text says which checks it passes.
_KINDS = {
    "SEC101/176 : AzureContainerRegistryIdentifiableKey": re.compile(rb"[A-Za-z0-9+/]{42}\+ACR[A-D][A-Za-z0-9+/]{5}"),
    "SEC101/102 : AdoPat": re.compile(rb"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}"),
}


def main() -> int:
    """Judge the push on stdin; 1 refuses it."""
    tips = [line.split()[1] for line in sys.stdin if line.strip()]
    tips = [tip for tip in tips if tip.strip("0")]
    findings = _findings(tips) if tips else {}
    if not findings:
        return 0
    parts = [MESSAGE, "", _HELP, "", "Secrets:", ""]
    for commit, lines in findings.items():
        parts += [f"commit: {commit}", "paths:", *lines, ""]
    Path(os.environ["NBVAULT_EMULATOR_FINDINGS"]).write_text("\n".join(parts), encoding="utf-8")
    return 1


def _findings(tips: list[str]) -> dict[str, list[str]]:
    """Lines of the listing, by the commit that brought each secret."""
    fresh = _git("rev-list", "--objects", *tips, "--not", "--all").decode("utf-8", "replace")
    named = [line.partition(" ")[::2] for line in fresh.splitlines() if " " in line]
    found: dict[str, list[str]] = {}
    for blob, path in named:
        if _git("cat-file", "-t", blob).strip() != b"blob":
            continue
        for line in _secrets_in(_git("cat-file", "blob", blob), path):
            found.setdefault(_commit_of(blob, tips), []).append(line)
    return found


def _secrets_in(data: bytes, path: str) -> list[str]:
    found = []
    for kind, pattern in _KINDS.items():
        for match in pattern.finditer(data):
            line = data.count(b"\n", 0, match.start()) + 1
            column = match.start() - data.rfind(b"\n", 0, match.start())
            found.append(f"/{path}({line},{column}-{column + len(match[0])}) : {kind}.")
    return found


def _commit_of(blob: str, tips: list[str]) -> str:
    # Only a commit that brought it: one that has it removed against another parent names a path that it does not have.
    which = ("--reverse", "--diff-merges=first-parent", "--diff-filter=AM", f"--find-object={blob}")
    shown = _git("log", "--format=%H", *which, *tips, "--not", "--all")
    return next(iter(shown.decode().split()), tips[0])


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], capture_output=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
