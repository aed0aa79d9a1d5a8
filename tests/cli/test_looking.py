"""`status`, `problems` and `state`: what an administrator sees, and accepts."""

from __future__ import annotations

from cli_places import Desk, run_program
from nbvault_emulator.testing import Emulator

TOO_LARGE = {"kind": "oversize", "shape": "size-exceeds", "match": {"path": "/Clients/2024/a"}}


def test_status_before_the_first_session(desk: Desk) -> None:
    """Before the first session nothing is protected, and status says so with 0."""
    ended = desk.run("status")
    assert ended.code == 0
    assert "Nothing is known to be protected yet" in ended.out
    health = desk.run("status", "--json").json
    assert (health["sessions"], health["protected"], health["running"]) == ([], None, False)


def test_status_names_what_is_protected(desk: Desk) -> None:
    """After a session status names its head, also when the remote does not answer, and says that it does not."""
    head = desk.run("sync", "--json").report()["head"]
    health = desk.run("status", "--json").json
    assert (health["protected"]["head"], health["remote"]["head"], health["source"]) == (head, head, "state")
    assert health["sessions"][0]["status"] == "complete"
    assert health["local"]["objects"] > 0
    desk.emulator.stop()
    alone = desk.run("status")
    assert alone.code == 0
    assert head in alone.out
    assert "remote does not answer" in alone.out


def test_status_without_a_state_store(desk: Desk) -> None:
    """With the state store lost, status reads the vault's own records."""
    head = desk.run("sync", "--json").report()["head"]
    health = desk.run("status", "--json", NBVAULT_STATE__URL="sqlite:///new.db").json
    assert (health["source"], health["protected"]["head"]) == ("vault", head)


def test_status_shows_held_deletions(desk: Desk, emulator: Emulator) -> None:
    """Held deletions are in status, with the command that accepts them, until they are accepted."""
    desk.run("sync")
    emulator.delete("/Clients/2024")
    session = desk.run("sync", "--json").report()["session"]
    assert desk.run("status", "--json").json["held"] == {"session": session, "deletions": 2}
    assert f"nbvault sync --accept-deletions {session}" in desk.run("status").out


def test_an_acknowledged_problem_no_longer_makes_a_session_partial(desk: Desk, emulator: Emulator) -> None:
    """Accepting the only failure, by path, lets the next session end complete; it stays counted and is in the trail."""
    emulator.faults(TOO_LARGE)
    assert desk.run("sync").code == 3
    (problem,) = desk.run("problems", "list", "--json").json
    assert (problem["path"], problem["acknowledged_by"]) == ("/Clients/2024/a", "")
    done = desk.run("problems", "acknowledge", "/Workspace/Clients/2024/a", "--by", "dana", "--reason", "known")
    assert done.code == 0
    assert "dana" in done.out
    assert desk.run("problems", "list", "--json").json[0]["acknowledged_by"] == "dana"
    after = desk.run("sync", "--json")
    report = after.report()
    assert (after.code, report["status"], report["failed"]) == (0, "complete", 1)
    assert report["problems"][0]["acknowledged_by"] == "dana"


def test_an_acknowledgement_is_in_the_vault(desk: Desk, emulator: Emulator) -> None:
    """What was accepted on one machine, by id, holds on another that has only the remote, index and trail rebuilt."""
    emulator.faults(TOO_LARGE)
    problem = desk.run("sync", "--json").report()["problems"][0]
    assert desk.run("problems", "acknowledge", str(problem["id"]), "--by", "dana", "--json").code == 0
    other = Desk(desk.folder.parent / "other", emulator)
    rebuilt = other.run("state", "rebuild", "--json").json
    # The sync signs in to the Git server and to the workspace, syncs, and signs in once more to see who restored; the
    # acceptance is the fifth line.
    assert rebuilt == {"sessions": 1, "problems": 1, "audit": 5}
    assert other.run("problems", "list", "--json").json[0]["acknowledged_by"] == "dana"
    assert other.run("sync").code == 0


def test_an_unknown_problem_is_wrong_usage(desk: Desk) -> None:
    """What is no problem cannot be accepted: 7, and no commit on the meta branch."""
    desk.run("sync")
    before = [line for line in desk.refs().splitlines() if "lease" not in line]
    ended = desk.run("problems", "acknowledge", "/Clients/d", "--json")
    assert (ended.code, ended.json["exit_code"]) == (7, 7)
    assert [line for line in desk.refs().splitlines() if "lease" not in line] == before


def test_rebuilding_gives_the_same_index(desk: Desk) -> None:
    """state rebuild makes of the vault's records what the state store knew."""
    desk.run("sync")
    desk.run("sync", "--full")
    known = desk.run("status", "--json").json["sessions"]
    assert desk.run("state", "rebuild").code == 0
    again = desk.run("status", "--json").json["sessions"]
    assert [strip(session) for session in again] == [strip(session) for session in known]


def strip(session: dict[str, object]) -> dict[str, object]:
    """A session without what only its own process could time."""
    return {name: value for name, value in session.items() if name != "ended_at"}


def test_commands_say_when_the_vault_is_out_of_reach(desk: Desk) -> None:
    """Where the vault itself is needed, a remote that refuses the token ends with 6, a sentence and an object."""
    ended = desk.run("state", "rebuild", "--json", AZURE_DEVOPS_PAT="wrong")
    assert (ended.code, ended.json["exit_code"]) == (6, 6)


def test_config_is_taken_by_groups_and_their_commands(desk: Desk) -> None:
    """--config may stand before and after the name of a command in a group."""
    file = str(desk.folder / "nbvault.toml")
    for arguments in (["problems", "--config", file, "list"], ["problems", "list", "--config", file]):
        ended = run_program([*arguments, "--json"], desk.folder.parent, desk.variables)
        assert (ended.code, ended.json) == (0, [])
