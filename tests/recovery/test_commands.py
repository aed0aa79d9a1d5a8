"""`history`, `show` and `verify` as scripts see them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from recovery.places import ANN, BOB, HEAD, Desk


@pytest.fixture
def place(desk: Desk) -> Desk:
    """Two sessions; the configuration is in a file elsewhere."""
    desk.write("/a/x", "one\r\nno newline at the end", ANN)
    desk.sync()
    desk.move("/a/x", "/a/y")
    desk.write("/a/y", "two", BOB)
    desk.sync()
    keys = {name.removeprefix("NBVAULT_"): v for name, v in desk.environment().items() if name.startswith("NBVAULT_")}
    config = {section: {} for section in ("workspace", "vault")}
    for name, value in keys.items():
        section, key = name.lower().split("__")
        config[section][key] = value
    lines = [f"[{s}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in found.items()) for s, found in config.items()]
    (desk.folder / "other.toml").write_text("\n".join(lines).replace('"0.3"', "0.3"))
    return desk


def nbvault(desk: Desk, *arguments: str) -> tuple[int, bytes, str]:
    """Exit code, stdout and stderr of a command run elsewhere."""
    environment = {name: value for name, value in desk.environment().items() if not name.startswith("NBVAULT_")}
    command = [sys.executable, "-m", "nbvault.cli.main", *arguments]
    done = subprocess.run(command, capture_output=True, env=environment, cwd="/", check=False)
    return done.returncode, done.stdout, done.stderr.decode()


def test_the_three_commands_keep_the_interface(place: Desk) -> None:
    """JSON lists, bytes on stdout without a newline added, counts, and exit codes, wherever --config stands."""
    config = f"--config={place.folder / 'other.toml'}"
    code, out, _ = nbvault(place, "history", "/Clients/a/y", "--json", config)
    versions = json.loads(out)
    assert (code, [v["change"] for v in versions]) == (0, ["renamed", "added"])
    assert (versions[0]["path"], versions[0]["author_email"], versions[1]["path"]) == (
        "/Clients/a/y",
        BOB,
        "/Clients/a/x",
    )
    code, out, _ = nbvault(place, "history", config, "a/x")
    assert (code, len(out.splitlines())) == (0, 2)
    code, out, err = nbvault(place, "show", config, "/Clients/a/x", "--at", versions[1]["commit"])
    assert (code, out, err) == (0, (HEAD + "one\r\nno newline at the end").encode(), "")
    code, out, err = nbvault(place, "show", "/Clients/a/x", config)
    assert (code, out) == (0, (HEAD + "two").encode())
    assert "has moved to /Clients/a/y" in err
    code, out, _ = nbvault(place, "verify", "--json", config, "--full", "--sample", "100%")
    assert (code, json.loads(out)["same"], json.loads(out)["differences"]) == (0, 2, [])


def test_what_is_wrong_is_said_with_the_right_code(place: Desk) -> None:
    """Unknown paths and moments, an empty time, a share that is none: exit 7 and no traceback."""
    config = f"--config={place.folder / 'other.toml'}"
    for arguments, told in [
        (("history", "/Clients/a/z", config), "Near names: /Clients/a/y"),
        (("show", "/Clients/a/y", "--at", "2001-01-01", config), "no backup yet"),
        (("show", "/Clients/a/y", "--at", "", config), "--at is empty"),
        (("verify", "--sample", "0%", config), "is no share"),
        (("history", config), "PATH"),
    ]:
        code, out, err = nbvault(place, *arguments)
        assert (code, out) == (7, b""), arguments
        assert told in err
        assert "Traceback" not in err
    code, out, _ = nbvault(place, "history", "/Clients/a/z", "--json", config)
    assert (code, json.loads(out)["exit_code"]) == (7, 7)
