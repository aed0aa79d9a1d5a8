"""The generated world: the same for a seed, real text, kept by --data."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.conftest import Client
from nbvault_emulator import notebooks
from nbvault_emulator.content import header_of
from nbvault_emulator.journal import Journal
from nbvault_emulator.plan import Plan
from nbvault_emulator.testing import Emulator
from nbvault_emulator.world import World


def _plan(**changes: int) -> Plan:
    return Plan(**{"notebooks": 3000, "years": 3, "engagements": 20, "seed": 7, "oversize": 0, **changes})


def test_same_seed_same_world() -> None:
    """The same flags give the same paths, ids and bytes; another seed gives others."""
    with Emulator(seed=3) as first, Emulator(seed=3, in_process=False) as second, Emulator(seed=4) as other:
        assert first.world() == second.world()
        assert first.world() != other.world()
        assert len(first.world()) == 200


def test_layout() -> None:
    """Years, engagements and NOTEBOOKS, evenly filled, below the chosen root; ids are unique."""
    with Emulator(notebooks=90, years=2, engagements=3, root="/A/B") as running:
        objects = running.world("/A/B", everything=True)
        counts = [len(running.world(each["path"])) for each in objects if each["path"].endswith("/NOTEBOOKS")]
        assert running.world("/", everything=True)[0]["path"] == "/A"
    assert len(counts) == 6
    assert sum(counts) == 90
    assert min(counts) >= 8
    assert len({each["object_id"] for each in objects}) == len(objects) == 90 + 2 + 6 + 6
    assert {each["path"].split("/")[3] for each in objects} == {"2024", "2025"}


def test_notebooks_are_real_text() -> None:
    """Each has its header, cells and no trailing newline; Python ones compile; sizes are as in life."""
    plan = _plan()
    languages: dict[str, int] = {}
    sizes = []
    for group in range(0, 60, 5):
        for planned in plan.members(group):
            source = plan.source(planned.number)
            sizes.append(len(source))
            languages[planned.language] = languages.get(planned.language, 0) + 1
            assert source.startswith(header_of(planned.language).encode() + b"\n")
            assert not source.endswith(b"\n")
            assert len(notebooks.split_cells(source, planned.language)) > 1
    assert 4_000 < statistics.median(sizes) < 16_000
    assert set(languages) == {"PYTHON", "SQL", "SCALA", "R"}
    assert languages["PYTHON"] > sum(languages.values()) / 2


def test_engagements_hold_near_duplicates() -> None:
    """Notebooks of one name in many engagements share most of their cells, and name their own client."""
    plan = _plan()
    first = [plan.source(next(plan.members(group)).number) for group in range(40)]
    assert len(set(first)) == 40
    cells = [set(notebooks.split_cells(source, "PYTHON")) for source in first]
    shared = [max(len(one & other) / len(one) for other in cells if other is not one) for one in cells]
    assert statistics.median(shared) > 0.5


def test_people() -> None:
    """A few people own each engagement; some times have no person; all lie in the past of the plan."""
    plan = _plan(years=5, engagements=300, notebooks=20_000)
    users = {user.user_id: user for user in plan.users()}
    assert len(users) == 50
    assert any(user.deleted for user in users.values())
    assert any(not user.has_emails for user in users.values())
    members = [planned for group in range(1500) for planned in plan.members(group)]
    assert len(members) == 20_000
    assert {member.interactive_user for member in members} <= {0, *users}
    assert 0.03 < sum(member.interactive_user == 0 for member in members) / len(members) < 0.07
    assert all(member.created_at <= member.modified_at for member in members)


def test_a_million_notebooks_cost_nothing_until_looked_at() -> None:
    """A plan of a million is made at once and answers for any of them."""
    plan = _plan(notebooks=1_000_000, years=5, engagements=300)
    world = World(plan)
    node = world.get("/Clients/2023/ENG-1700/NOTEBOOKS")
    assert len(world.children(node)) > 400
    assert plan.source(999_999)


def test_world_file(client_of: Callable[..., Client]) -> None:
    """A world file replaces the generated world, in its order, with content as text or in base64."""
    objects: list[dict[str, Any]] = [
        {"path": "/Clients", "object_type": "DIRECTORY"},
        {"path": "/Clients/a", "content": "x", "editor": "ana@x.org", "modified_at": 1_600_000_000_000},
        {"path": "/Clients/d/q", "object_type": "NOTEBOOK", "language": "SQL", "content_base64": "U0VMRUNU"},
        {"path": "/Clients/lib", "object_type": "LIBRARY"},
        {"path": "/Clients/empty", "object_type": "DIRECTORY"},
    ]
    with Emulator(world=objects) as running:
        client = client_of(running)
        assert client.names("/Clients") == ["a", "d", "lib", "empty"]
        assert client.source("/Clients/d/q") == b"SELECT"
        assert client.get("get-status", path="/Clients/a").json["modified_at"] == 1_600_000_000_000
        assert client.get("list", path="/Clients/empty").json == {}


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"path": "x"}', '{"path": "/a", "language": "COBOL"}'])
def test_malformed_world_files_name_their_line(line: str, tmp_path: Path) -> None:
    """A wrong line of a world file is named in the error."""
    from nbvault_emulator.options import EmulatorOptions
    from nbvault_emulator.server import run

    (tmp_path / "w.jsonl").write_text('{"path": "/Clients/ok"}\n' + line + "\n")
    with pytest.raises(ValueError, match=r"w\.jsonl, line 2"):
        run(EmulatorOptions(world=tmp_path / "w.jsonl"))


def test_data_keeps_the_world(tmp_path: Path) -> None:
    """Changes, ids, tokens and the repository are there again after a restart, whatever flags it gets."""
    with Emulator(data=tmp_path / "d", notebooks=50) as first:
        path = first.world()[0]["path"]
        first.edit(path, "edited\n", "ana@x.org")
        first.create("/Clients/new", b"\xff\x00", object_type="FILE")
        first.move("/Clients/2024", "/Clients/Archive/2024")
        first.delete("/Clients/2025/ENG-1004")
        first.faults({"kind": "hang"})
        before, tokens = first.world(everything=True), (first.workspace_token, first.git_token)
        created = first.create("/Clients/last")["object_id"]
    with Emulator(data=tmp_path / "d", notebooks=999, seed=5) as second:
        assert (second.workspace_token, second.git_token) == tokens
        second.delete("/Clients/last")
        assert second.world(everything=True) == before
        assert second.create("/Clients/last")["object_id"] == created + 1


@pytest.mark.parametrize("language", ["PYTHON", "SQL", "SCALA", "R"])
def test_a_notebook_with_nothing_in_it_has_its_header_line(language: str) -> None:
    """As on the real service: whoever makes one without a content gets something to export."""
    with Emulator(notebooks=0) as running:
        running.create("/Clients/bare", language=language)
        (bare,) = running.world("/Clients", content=True)
    assert bare["content"].endswith(" Databricks notebook source")


def test_refused_operations_leave_no_trace(tmp_path: Path) -> None:
    """What the world refuses is not in the journal, and moves no id on."""
    with Emulator(data=tmp_path / "d", notebooks=0) as running:
        running.create("/Clients/a", "x")
        for name, body in (("create", {"path": "/Clients/a"}), ("create", {"path": "/Clients/a/b", "content": "x"})):
            with pytest.raises(Exception, match="already exists"):
                running.call("POST", f"/{name}", body)
        running.create("/Clients/b", "x")
        before = running.world()
    with Emulator(data=tmp_path / "d") as running:
        assert running.world() == before


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    """A half-written last line, of a writer that was killed, is dropped and does not spoil the next."""
    path = tmp_path / "journal.jsonl"
    whole = json.dumps({"op": "create", "path": "/Clients/a", "at": 1}) + "\n"
    path.write_text(whole + '{"op": "cre')
    world = World(_plan(notebooks=0))
    journal = Journal(world, path, lambda _: None, now_ms=lambda: 5)
    journal.commit([{"op": "create", "path": "/Clients/b"}])
    journal.close()
    assert [json.loads(line)["path"] for line in path.read_text().splitlines()] == ["/Clients/a", "/Clients/b"]
    assert world.find("/Clients/a") is not None
