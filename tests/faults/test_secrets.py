"""No secret anywhere: two tokens that nobody else has, and everything that good and bad sessions leave behind."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from fault_places import Place, source

EDITED = "/Clients/2024/ENG-1001/NOTEBOOKS/00_ingest_ledger"
WRONG = "dapi-WRONG-6f1e0c9b7a5d4e3f2a1b0c9d8e7f6a5b"


def spellings(token: str) -> set[bytes]:
    """A token as it is, in every base64 in which it may stand, and quoted."""
    plain = token.encode()
    found = {plain, quote(token, safe="").encode()}
    for before in (b"", b":", b"x:", b"nbvault:", b"token:"):
        found.add(base64.b64encode(before + plain))
        # What of it is the same whatever stands before: whole groups of three bytes.
        for shift in range(3):
            found.add(base64.b64encode(plain[shift:])[: len(plain) * 4 // 3 - 8])
    return found


@pytest.fixture
def watched(served: Place, tmp_path: Path) -> Place:
    """A machine whose git writes down every command line and environment."""
    served.environment |= watching_git(tmp_path / "bin", tmp_path / "calls")
    return served


def watching_git(folder: Path, calls: Path) -> dict[str, str]:
    """A git first on PATH that records what it is given, but for the one place where a token may be."""
    folder.mkdir()
    script = folder / "git"
    script.write_text(
        "#!/bin/sh\n"
        f"{{ echo CALL; printf '%s\\n' \"$@\"; env | grep -v '^GIT_CONFIG_VALUE_'; }} >> {calls}\n"
        f'exec {shutil.which("git")} "$@"\n'
    )
    script.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def traces(place: Place, tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    """Every file that is left, and all objects of both repositories, unpacked."""
    for path in tmp_path.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
    for repo in (place.local, place.server):
        command = ["git", f"--git-dir={repo}", "cat-file", "--batch", "--batch-all-objects", "--buffer"]
        yield f"an object of {repo}", subprocess.run(command, check=True, capture_output=True).stdout


def test_no_secret_is_left_anywhere(
    watched: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """After a good session and six bad ones: no token in files, objects, processes, logs, output or reports."""
    place = watched
    caplog.set_level(logging.DEBUG)
    secrets = [place.environment["WORKSPACE_TOKEN"], place.environment["GIT_TOKEN"], WRONG]
    reports = []

    def sync(expected: int, *faults: dict[str, object], **environment: str) -> None:
        kept = dict(place.environment)
        place.environment |= environment
        place.emulator.faults(*faults)
        place.emulator.edit(EDITED, source(f"edited {len(reports)}"))
        reports.append(place.sync())
        place.environment = kept
        place.emulator.faults()
        assert reports[-1].exit_code == expected, reports[-1]

    sync(0)
    sync(6, WORKSPACE_TOKEN=WRONG)
    sync(6, GIT_TOKEN=WRONG)
    sync(1, {"kind": "push-rejected", "refs": "refs/heads/main"})
    sync(1, {"kind": "drop", "when": "before", "match": {"endpoint": "git"}})
    sync(1, {"kind": "status", "status": 500, "match": {"endpoint": "git-push-pack"}})
    sync(3, {"kind": "oversize", "match": {"path": EDITED}})
    shutil.rmtree(place.local)
    sync(0)

    said = io.StringIO()
    for report in reports:
        said.write(json.dumps(report.as_json()) + repr(report))
    output = capfd.readouterr()
    told = [("reports", said.getvalue().encode()), ("log", caplog.text.encode())]
    told += [("stdout", output.out.encode()), ("stderr", output.err.encode())]
    told += [("stages", "\n".join(place.screen.stages).encode()), ("settings", repr(place.settings()).encode())]
    assert (tmp_path / "calls").read_text().count("CALL\n") > 100
    found = {
        where
        for where, data in (*told, *traces(place, tmp_path))
        for secret in secrets
        for spelling in spellings(secret)
        if spelling in data
    }
    assert found == set()


def test_the_search_would_find_a_secret(place: Place, tmp_path: Path) -> None:
    """A token in a commit, in a blob, or in base64 in a file is found by the search above."""
    token = place.environment["GIT_TOKEN"]
    place.commit("main", {"leak.txt": f"x {token} y\n"})
    (tmp_path / "leak").write_bytes(base64.b64encode(f":{token}".encode()))
    hits = {where for where, data in traces(place, tmp_path) for spelling in spellings(token) if spelling in data}
    assert str(tmp_path / "leak") in hits
    assert f"an object of {place.server}" in hits
