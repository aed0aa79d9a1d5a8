"""The SQL statement execution API over the emulator's audit table."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from nbvault.clock import SystemClock
from nbvault.errors import ConfigurationError
from nbvault.workspace.audit_events import Act
from nbvault.workspace.statements import StatementFailed, Statements, audited_acts, may_read
from nbvault_emulator.testing import Emulator
from workspace_places import FakeAuth, client_of

NOW = datetime.now(timezone.utc)
TABLE = "system.access.audit"


class Hasty(SystemClock):
    """A clock on which nobody waits, and every look at it takes ten seconds."""

    passed = 0.0

    def monotonic(self) -> float:
        self.passed += 10
        return self.passed

    async def sleep(self, seconds: float) -> None:
        pass


async def acts(emulator: Emulator, *, warehouse: str = "warehouse1", workspace: str = "4242424242424242") -> list[Act]:
    async with client_of(FakeAuth(emulator.workspace_url, [emulator.workspace_token])) as client:
        statements = Statements(client, warehouse, clock=Hasty())
        day = timedelta(days=1)
        return await audited_acts(statements, TABLE, workspace, NOW - day, NOW + day)


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


async def test_what_fails_says_why() -> None:
    """A failed statement comes under 200; a missing table, a right, a warehouse and a late answer are told apart."""
    with Emulator(notebooks=3, years=1, engagements=1) as emulator:
        with pytest.raises(StatementFailed, match=r"TABLE_OR_VIEW_NOT_FOUND.*enable the schema"):
            await acts(emulator)
        emulator.audit(refused="INSUFFICIENT_PERMISSIONS")
        with pytest.raises(StatementFailed, match=r"INSUFFICIENT_PERMISSIONS.*SELECT"):
            await acts(emulator)
        with pytest.raises(ConfigurationError, match=r"no warehouse other.*warehouse_id"):
            await acts(emulator, warehouse="other")
        emulator.audit(refused="", runs_ms=10_000_000)
        with pytest.raises(StatementFailed, match="gave no answer in 600 s"):
            await acts(emulator)
        emulator.audit(runs_ms=0)
        async with client_of(FakeAuth(emulator.workspace_url, [emulator.workspace_token])) as client:
            assert await may_read(Statements(client, "warehouse1", clock=Hasty()), TABLE) == 0
