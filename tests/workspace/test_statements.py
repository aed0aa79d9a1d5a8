"""The SQL statement execution API over the emulator's audit table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone

import pytest

from nbvault.clock import SystemClock
from nbvault.errors import ConfigurationError
from nbvault.workspace.audit_events import Act
from nbvault.workspace.audit_table import audited_acts, may_read, page_query
from nbvault.workspace.statements import ResultTooLarge, StatementFailed, Statements
from nbvault_emulator.statements import FAILURES
from nbvault_emulator.testing import Emulator
from workspace_places import FakeAuth, client_of

NOW = datetime.now(timezone.utc)
TABLE, WORKSPACE = "system.access.audit", "4242424242424242"


class Hasty(SystemClock):
    """A clock on which nobody waits, and every look at it takes ten seconds."""

    passed = 0.0

    def monotonic(self) -> float:
        self.passed += 10
        return self.passed

    async def sleep(self, seconds: float) -> None:
        pass


DAY = timedelta(days=1)


@asynccontextmanager
async def warehouse(emulator: Emulator, name: str = "warehouse1") -> AsyncIterator[Statements]:
    async with client_of(FakeAuth(emulator.workspace_url, [emulator.workspace_token])) as client:
        yield Statements(client, name, clock=Hasty())


async def acts(emulator: Emulator, *, name: str = "warehouse1", workspace: str = WORKSPACE) -> list[Act]:
    async with warehouse(emulator, name) as statements:
        return await audited_acts(statements, TABLE, workspace, NOW - DAY, NOW + DAY)


async def test_a_result_in_chunks() -> None:
    """Every row comes, also from a result of many chunks, out of order and with doubles."""
    with Emulator(notebooks=3, years=1, engagements=1) as emulator:
        emulator.audit(chunk=7, twice=0.5)
        paths = [f"/Clients/n{n}" for n in range(40)]
        for path in paths:
            emulator.create(path, "# x", editor="ann@x")
        emulator.move(paths[0], "/Clients/moved")
        emulator.delete(paths[1])
        found = await acts(emulator)
        assert len(found) > 42
        told = {(act.action, act.path, act.target) for act in found}
        assert told == {
            *(("createNotebook", path, "") for path in paths),
            ("renameNotebook", paths[0], "/Clients/moved"),
            ("deleteNotebook", paths[1], ""),
        }
        assert await acts(emulator, workspace="1") == []


async def test_a_result_in_pages() -> None:
    """However few events a page has, each comes, and once but for those that the table has twice."""
    with Emulator(notebooks=3, years=1, engagements=1) as emulator:
        emulator.audit(twice=0.3)
        paths = [f"/Clients/n{n}" for n in range(25)]
        # All at the same moment, as far as the workspace tells it.
        emulator.batch({"op": "create", "path": path, "content": "# x", "editor": "ann@x"} for path in paths)
        whole = await acts(emulator)
        assert {act.path for act in whole} == set(paths)
        async with warehouse(emulator) as statements:
            for rows in (1, 2, 7, 24, 25, 26):
                found = await audited_acts(statements, TABLE, WORKSPACE, NOW - DAY, NOW + DAY, page_rows=rows)
                assert sorted(set(found)) == sorted(set(whole))


async def test_an_answer_over_the_limit() -> None:
    """More than 25 MiB of events: one answer is refused in the warehouse's own words, and all events come in pages."""
    folder = "/Clients/" + "/".join(["long " * 40] * 20)
    with Emulator(notebooks=3, years=1, engagements=1) as emulator:
        emulator.audit(chunk=5000)
        emulator.create(f"{folder}/n", "# x", editor="ann@x")
        edits = [{"op": "edit", "path": f"{folder}/n", "content": "# y", "editor": f"p{n}@x"} for n in range(7000)]
        emulator.batch(edits)
        async with warehouse(emulator) as statements:
            given = {"after": ("0", "BIGINT"), "last": ("", "STRING"), "workspace": (WORKSPACE, "STRING")}
            until = {"until": (str(2**42), "BIGINT")}
            with pytest.raises(ResultTooLarge, match=r"Inline byte limit exceeded.*at most 26214400 bytes"):
                await statements.rows(page_query(TABLE, 20_000), {**given, **until})
        found = await acts(emulator)
        assert sum(len(act.path) for act in found) > 25 * 1024 * 1024
        assert sorted(act.actor for act in found) == sorted(["ann@x", *(f"p{n}@x" for n in range(7000))])


_NOT_THERE = "enable the schema system.access, and check editors.table"
HINTS = {
    "TABLE_OR_VIEW_NOT_FOUND": _NOT_THERE,
    "SCHEMA_NOT_FOUND": _NOT_THERE,
    "NO_SUCH_CATALOG_EXCEPTION": "only where the workspace has Unity Catalog",
    "UC_NOT_ENABLED": "only where the workspace has Unity Catalog",
    "INSUFFICIENT_PERMISSIONS": "USE SCHEMA on system.access itself",
    "UNRESOLVED_COLUMN.WITH_SUGGESTION": "the columns of system.access.audit",
}


async def test_each_failure_has_its_hint() -> None:
    """Whatever the warehouse says under 200, its words are passed on, and what to do is said."""
    assert HINTS.keys() == FAILURES.keys()
    with Emulator(notebooks=3, years=1, engagements=1) as emulator:
        for failure, hint in HINTS.items():
            emulator.audit(refused=failure)
            async with warehouse(emulator) as statements:
                with pytest.raises(StatementFailed) as caught:
                    await may_read(statements, TABLE)
            words = " ".join(FAILURES[failure].split())
            assert f"BAD_REQUEST: [{failure}] {words}" in caught.value.message
            assert hint in caught.value.hint


async def test_a_warehouse_that_is_not_there_or_not_ours() -> None:
    """A name that is none, and one that nobody has or that we may not use: no matter of the table."""
    with Emulator(notebooks=3, years=1, engagements=1) as emulator:
        emulator.audit()
        with pytest.raises(ConfigurationError, match=r"no warehouse other.*warehouse_id"):
            await acts(emulator, name="other")
        with pytest.raises(StatementFailed, match=r"0123456789abcdef refuses us.*CAN USE"):
            await acts(emulator, name="0123456789abcdef")


async def test_what_does_not_come_says_why() -> None:
    """No table yet, an answer that is late, and a query that the warehouse has forgotten."""
    with Emulator(notebooks=3, years=1, engagements=1) as emulator:
        with pytest.raises(StatementFailed, match=r"TABLE_OR_VIEW_NOT_FOUND.*enable the schema"):
            await acts(emulator)
        emulator.audit(runs_ms=10_000_000)
        with pytest.raises(StatementFailed, match="gave no answer in 600 s"):
            await acts(emulator)
        gone = {"kind": "status", "status": 404, "match": {"endpoint": "sql-statements", "after": 1}}
        emulator.faults(gone)
        with pytest.raises(StatementFailed, match="does not know its own query any more"):
            await acts(emulator)
        emulator.faults()
        emulator.audit(runs_ms=0)
        async with warehouse(emulator) as statements:
            assert await may_read(statements, TABLE) == 0
