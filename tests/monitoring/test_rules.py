"""Every rule by its fault: told once when it begins, once when it is over, and never on the strength of nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from nbvault.alarms import Severity, Trouble
from nbvault.model import Problem, State, Status
from nbvault.monitoring.alerts import AlertManager, CheckReport, Policy
from nbvault.monitoring.deliveries import GIVE_UP_AFTER, LONGEST_PAUSE_S, TRIES, Outbox
from nbvault.monitoring.facts import Drill, Expiry, Facts, Repository, Session
from nbvault.monitoring.rules import RULES, Thresholds, judge
from nbvault.monitoring.wording import is_success
from nbvault.notify.errors import DeliveryFailed
from nbvault.notify.message import Message
from nbvault.state.store import StateManager
from nbvault.state.values import Incident, Result

NOW = datetime(2026, 11, 21, 6, tzinfo=timezone.utc)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
EVERYONE = dict.fromkeys(Severity, ("one", "two"))


def session(at: datetime, status: Status = Status.COMPLETE, **more: Any) -> Session:
    """A session of 20 minutes that saw a hundred objects."""
    codes = {Status.COMPLETE: 0, Status.PARTIAL: 3, Status.INTERRUPTED: 9, Status.FAILED: 1}
    known = {"exit_code": codes[status], "listed": 100, "requests": 100, "ended_at": at + timedelta(minutes=20)}
    return Session(f"{at:%Y%m%dT%H%M%SZ}-1a2b3c", status, at, **{**known, **more})


def night(before: int, status: Status = Status.COMPLETE, **more: Any) -> Session:
    """The session of so many nights ago."""
    return session(NOW - 4 * HOUR - before * DAY, status, **more)


def week(*, last: Session | None = None) -> list[Session]:
    """Seven complete nights; the last of them may be another."""
    return [*(night(each) for each in range(6, 0, -1)), last or night(0)]


def well(**changes: Any) -> Facts:
    """A vault in which all is well, but for the changes."""
    facts = Facts(
        NOW,
        vault_known=True,
        sessions=week(),
        problems=(),
        drill=Drill(NOW - 20 * DAY, went_well=True),
        credentials=(Expiry("vault", NOW + 60 * DAY),),
        audit="",
        conversion="",
        restores=(),
        repository=Repository(4_000_000_000, 1_000_000, night(0).session),
    )
    return replace(facts, **changes)


def failed(since: timedelta, **more: Any) -> Problem:
    began = NOW - since
    return Problem(7, "/Clients/a", State.FAILED, "too large", f"{began:%Y%m%dT%H%M%SZ}-1a2b3c", stale=True, **more)


T = Trouble
FAULTS: dict[Trouble, list[Facts]] = {
    T.NO_COMPLETE_SYNC: [
        well(sessions=[night(each) for each in range(6, 0, -1)]),
        well(sessions=[night(1), night(0, Status.INTERRUPTED)], now=NOW + HOUR),
        well(sessions=[night(3, Status.INTERRUPTED), night(0, Status.INTERRUPTED)]),
        Facts(NOW),
    ],
    T.NEVER_SYNCED: [well(sessions=[], drill=None)],
    T.LAST_FAILED: [well(sessions=week(last=night(0, Status.FAILED, error="refused")), now=NOW - 3 * HOUR)],
    T.DELETIONS_HELD: [well(sessions=week(last=night(0, Status.PARTIAL, exit_code=4, held=60)), now=NOW - 3 * HOUR)],
    T.AUDIT_BROKEN: [well(audit="Line 3 of the index is not in the vault.")],
    T.CONVERSION_FAILED: [well(conversion="The conversion of /Clients failed.")],
    T.RESTORE_FAILED: [well(restores=("Restore x ended partial.",))],
    T.PARTIAL: [
        well(sessions=week(last=night(0, Status.PARTIAL, failed=3)), now=NOW - 3 * HOUR),
        well(sessions=week(last=night(0, Status.PARTIAL, unreadable=1)), now=NOW - 3 * HOUR),
    ],
    T.REPEATED_FAILURES: [
        well(sessions=[*week()[:-3], night(2, Status.FAILED), night(1, Status.FAILED), night(0)]),
    ],
    T.CREDENTIALS_END: [
        well(credentials=(Expiry("vault", NOW + 6 * DAY),)),
        well(credentials=(Expiry("workspace", NOW - DAY),)),
    ],
    T.DRILL: [
        well(drill=Drill(NOW - 36 * DAY, went_well=True)),
        well(drill=Drill(NOW - DAY, went_well=False)),
        well(drill=None, sessions=[session(NOW - 36 * DAY), *week()]),
    ],
    T.SUCCESS_RATE: [well(sessions=[night(6, Status.PARTIAL, failed=1), night(5, Status.INTERRUPTED), *week()[2:]])],
    T.STALE_NOTEBOOKS: [well(problems=(failed(4 * DAY),))],
    T.TIME_LIMIT: [
        well(sessions=week(last=night(0, ended_at=NOW))),
        well(running=[session(NOW - 5 * HOUR, ended_at=None)]),
    ],
    T.NOTHING_LISTED: [well(sessions=week(last=night(0, listed=0)))],
    T.SECRETS_FOUND: [well(sessions=week(last=night(0, secrets=2)))],
    T.REPOSITORY_SIZE: [
        well(repository=Repository(8_000_000_001, 1_000_000)),
        well(repository=Repository(1, 8_000_001)),
    ],
    T.THROTTLED: [well(sessions=week(last=night(0, throttled=21)))],
}
# A fault that is another's too: no night since was complete, and a success that late is none.
BESIDES = {T.PARTIAL: set(), T.NO_COMPLETE_SYNC: {T.DRILL}}
CASES = [(name, number) for name, cases in FAULTS.items() for number in range(len(cases))]


@dataclass
class Hands:
    """A clock that is set by hand, and moved on by waiting."""

    moment: datetime = NOW
    waited: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.wait(seconds)

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.moment += timedelta(seconds=seconds)


@dataclass
class Told:
    """A channel that keeps what it gets; it refuses as long as it has a reason to."""

    subjects: list[str] = field(default_factory=list)
    refusals: list[DeliveryFailed] = field(default_factory=list)
    broken: DeliveryFailed | None = None

    def send(self, message: Message) -> str:
        if self.refusals:
            raise self.refusals.pop(0)
        if self.broken:
            raise self.broken
        self.subjects.append(message.subject)
        return "taken"


@dataclass
class Desk:
    """An AlertManager on a real state store, with two channels."""

    state: StateManager
    clock: Hands = field(default_factory=Hands)
    one: Told = field(default_factory=Told)
    two: Told = field(default_factory=Told)
    policy: Policy = field(default_factory=lambda: Policy(EVERYONE))

    def check(self, facts: Facts, *, elsewhere: tuple[Incident, ...] = (), at: datetime | None = None) -> CheckReport:
        self.clock.moment = at or facts.now
        outbox = Outbox(self.state.alerts, {"one": self.one, "two": self.two}, clock=self.clock)
        manager = AlertManager(self.state.alerts, outbox, self.policy, clock=self.clock)
        return manager.check(replace(facts, now=self.clock.moment), elsewhere=elsewhere)

    def open(self) -> list[str]:
        return [each.rule for each in self.state.alerts.open()]


@pytest.fixture
def desk(url: str) -> Iterator[Desk]:
    with StateManager(url) as state:
        yield Desk(state)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Desk]:
    """The same on SQLite alone, for what does not depend on the database."""
    with StateManager(f"sqlite:///{tmp_path}/state.db") as state:
        yield Desk(state)


def fired(facts: Facts) -> set[Trouble]:
    return {rule.name for rule, verdict in judge(facts, Thresholds()) if verdict.fires}


def test_every_rule_has_a_fault_and_every_name_a_rule() -> None:
    """The table below leaves nothing out, and the list is that of the issue."""
    assert [rule.name for rule in RULES] == list(Trouble) == list(FAULTS)
    severities = [sum(rule.severity is severity for rule in RULES) for severity in Severity]
    assert severities == [7, 4, 5, 2]


def test_nothing_fires_where_all_is_well() -> None:
    """A vault in which all is well is judged by every rule but one, which a session has settled."""
    assert fired(well()) == set()
    assert len(judge(well(), Thresholds())) == len(RULES)


@pytest.mark.parametrize(("name", "number"), CASES, ids=lambda value: getattr(value, "value", value))
def test_each_fault_fires_its_own_rule(name: Trouble, number: int) -> None:
    """The rule of the fault fires; no other, but where the one fault is also the other's."""
    facts = FAULTS[name][number]
    other = {
        (T.NO_COMPLETE_SYNC, 2): {T.SUCCESS_RATE},
        (T.LAST_FAILED, 0): set[Trouble](),
        (T.REPEATED_FAILURES, 0): {T.SUCCESS_RATE},
    }.get((name, number), set())
    assert fired(facts) - other == {name}


@pytest.mark.parametrize(("name", "number"), CASES, ids=lambda value: getattr(value, "value", value))
def test_each_is_told_once_and_over_once(local: Desk, name: Trouble, number: int) -> None:
    """Told when it begins, not again a minute later, told when it is over, not again after that; on each channel."""
    assert_told_once(local, name, number)


def test_each_rule_on_each_database(desk: Desk) -> None:
    """The same, one rule after another in one state store, on every database that it may be in."""
    for name in Trouble:
        desk.one.subjects.clear()
        desk.two.subjects.clear()
        assert_told_once(desk, name, 0)


def assert_told_once(desk: Desk, name: Trouble, number: int) -> None:
    facts, title = FAULTS[name][number], next(rule.title for rule in RULES if rule.name is name)
    desk.policy = replace(desk.policy, off=[each.value for each in Trouble if each is not name])
    desk.check(facts)
    desk.check(facts, at=facts.now + timedelta(minutes=1))
    later = facts.now + timedelta(minutes=5)
    if facts.sessions and facts.sessions[-1].session > night(0).session:
        later = NOW
    good = well(sessions=[*week(), session(later - timedelta(minutes=21))])
    desk.check(good, at=later)
    desk.check(good, at=later + timedelta(minutes=1))
    severity = next(rule.severity for rule in RULES if rule.name is name)
    expected = [f"{severity.value.upper()}: {title}", f"Over: {title}, after 5 minutes"]
    assert (desk.one.subjects, desk.two.subjects, desk.open()) == (expected, expected, [])


@pytest.mark.parametrize("name", Trouble, ids=lambda name: name.value)
def test_what_is_not_known_neither_begins_nor_ends_an_alert(local: Desk, name: Trouble) -> None:
    """With neither vault nor state store to look at, an open alert stays, and only that no backup is known is new."""
    for facts in FAULTS[name][:1]:
        local.check(facts)
    before = local.open()
    blind = local.check(Facts(FAULTS[name][0].now))
    assert sorted(local.open()) == sorted([*before, *(each.rule for each in blind.raised)])
    assert {each.rule for each in blind.raised} <= {T.NO_COMPLETE_SYNC.value}
    assert blind.over == ()


def test_a_lost_record_ends_nothing(local: Desk) -> None:
    """The state store that knew of the failed session is lost: the vault's older, complete one is no news."""
    failing = FAULTS[T.LAST_FAILED][0]
    local.check(failing)
    lost = replace(failing, sessions=failing.sessions[:-1])
    assert (fired(lost), local.check(lost).over, local.open()) == (set(), (), ["last-failed"])
    newer = replace(failing, sessions=[*failing.sessions, session(failing.now - timedelta(minutes=25))])
    assert [each.rule for each in local.check(newer).over] == ["last-failed"]


def test_a_repeat_a_day_at_most(local: Desk) -> None:
    """Looked at every hour for three days, an alert that goes on is told three times more, with how long it lasts."""
    facts = FAULTS[T.STALE_NOTEBOOKS][0]
    local.policy = replace(local.policy, off=[each.value for each in Trouble if each is not T.STALE_NOTEBOOKS])
    for hour in range(73):
        local.check(facts, at=NOW + hour * HOUR)
    told = "MEDIUM: Notebooks are stale in the vault"
    assert local.one.subjects == [told, *(f"{told}, for {span} now" for span in ("24 hours", "48 hours", "3 days"))]


def test_a_clock_that_jumps_back_and_forth(local: Desk) -> None:
    """Forth by a year and back each hour: silence never lasts over a day of the right clock, and nobody is flooded."""
    facts = replace(FAULTS[T.STALE_NOTEBOOKS][0], sessions=())
    local.policy = replace(local.policy, off=[each.value for each in Trouble if each is not T.STALE_NOTEBOOKS])
    local.check(facts, at=NOW)
    local.check(facts, at=NOW + 365 * DAY)
    after = [len(local.one.subjects)]
    for hour in range(1, 50):
        local.check(facts, at=NOW + hour * HOUR)
        after.append(len(local.one.subjects))
    # Begun, once more by the clock that was ahead, and then once a day again.
    assert (after[0], after[1], after[24], after[26], after[-1]) == (2, 2, 2, 3, 3 + (49 >= 1 + 48))


def test_a_session_of_the_future_is_no_backup() -> None:
    """A complete session that says it ended next year does not keep anybody from hearing that there is none."""
    ahead = session(NOW + 365 * DAY)
    for sessions, told in (([*week()[:-2], ahead], "ended 52 hours ago"), ([ahead], "A clock is wrong")):
        found = {rule.name: verdict for rule, verdict in judge(well(sessions=sessions), Thresholds())}
        verdict = found[T.NO_COMPLETE_SYNC]
        assert (verdict.fires, told in verdict.detail) == (True, True), verdict


def test_the_state_store_alone_proves_no_backup() -> None:
    """A complete session that the vault does not know of does not count where the vault can be read."""
    claimed = session(NOW - HOUR, in_vault=False)
    old = [night(5), claimed]
    assert T.NO_COMPLETE_SYNC in fired(well(sessions=old))
    assert T.NO_COMPLETE_SYNC not in fired(well(sessions=old, vault_known=False))


def test_accepted_problems_are_not_stale() -> None:
    """What an administrator has accepted, what fails since yesterday, and what is skipped by its kind is silent."""
    calm = (failed(9 * DAY, acknowledged_by="ann"), failed(2 * DAY), replace(failed(9 * DAY), state=State.SKIPPED))
    assert fired(well(problems=calm)) == set()


# --- delivering ------------------------------------------------------------------------------------------------------


def down(*, retryable: bool = True, after_s: float = 0.0) -> DeliveryFailed:
    return DeliveryFailed("down", retryable=retryable, after_s=after_s)


def test_a_broken_channel_stops_no_other(desk: Desk) -> None:
    """One is refused for good: the other has every message, each failure is on record, and waits."""
    desk.one.broken = down(retryable=False)
    facts = well(problems=(failed(4 * DAY),), audit="broken")
    report = desk.check(facts)
    assert (desk.one.subjects, len(desk.two.subjects)) == ([], 2)
    assert [(each.channel, each.detail) for each in report.undelivered] == [("one", "down"), ("one", "down")]
    kept = desk.state.alerts.deliveries()
    assert sorted((d.channel, d.result, d.attempts) for d in kept) == [
        ("one", Result.WAITING, 0),
        ("one", Result.WAITING, 1),
        ("two", Result.SENT, 1),
        ("two", Result.SENT, 1),
    ]
    desk.one.broken = None
    desk.check(facts, at=NOW + HOUR)
    assert (len(desk.one.subjects), len(desk.two.subjects)) == (2, 2)


def test_a_short_trouble_is_waited_for(local: Desk) -> None:
    """Refused twice, with a wait of 7 s asked for: sent at the third try, after as long as was asked."""
    local.one.refusals = [down(after_s=7), down()]
    report = local.check(well(audit="broken"))
    assert (report.undelivered, local.clock.waited, len(local.one.subjects)) == ((), [7.0, 14.0], 1)


@pytest.mark.parametrize(("after_s", "waits"), [(0.0, [2.0, 4.0]), (LONGEST_PAUSE_S + 1, [])])
def test_tries_are_bounded(local: Desk, after_s: float, waits: list[float]) -> None:
    """Three tries in a run, and none where the other side wants a longer wait than anybody has."""
    local.one.broken = down(after_s=after_s)
    local.check(well(audit="broken"))
    assert (len(waits) < TRIES, local.clock.waited) == (True, waits)


def test_what_is_over_is_not_told_as_going_on(local: Desk) -> None:
    """An alert that could not be delivered before it was over is told as what it is: over, and since when."""
    local.one.broken = down(retryable=False)
    local.check(well(audit="broken"))
    local.one.broken = None
    local.check(well(), at=NOW + HOUR)
    assert local.one.subjects == ["Over: The audit trail is broken, after 60 minutes"]
    assert [d.result for d in local.state.alerts.deliveries() if d.channel == "one"] == [Result.OVERTAKEN, Result.SENT]


def test_a_delivery_is_given_up_after_three_days(local: Desk) -> None:
    """It is tried at each check, and then no more; the daily repeat is another message."""
    local.one.broken = down(retryable=False)
    local.policy = replace(local.policy, repeat=30 * DAY, off=["no-complete-sync"])
    facts = well(audit="broken")
    for hour in range(0, 96, 8):
        local.check(facts, at=NOW + hour * HOUR)
    (kept,) = (d for d in local.state.alerts.deliveries() if d.channel == "one")
    assert (kept.result, kept.attempted_at > NOW + GIVE_UP_AFTER) == (Result.GIVEN_UP, True)


def test_a_process_that_died_while_sending_loses_nothing(local: Desk) -> None:
    """What another process has taken upon itself is left to it for ten minutes, and then sent."""
    local.one.broken = local.two.broken = down(retryable=False)
    facts = well(audit="broken")
    local.check(facts)
    local.one.broken = local.two.broken = None
    for each in local.state.alerts.waiting():
        assert local.state.alerts.claim(each.delivery_id, NOW + HOUR)
        assert not local.state.alerts.claim(each.delivery_id, NOW + HOUR)
    local.check(facts, at=NOW + HOUR)
    assert local.one.subjects == []
    local.check(facts, at=NOW + HOUR + timedelta(minutes=11))
    assert (len(local.one.subjects), len(local.two.subjects)) == (1, 1)


def test_routing_by_severity(local: Desk) -> None:
    """Each severity goes where it is sent; a channel that is not configured, or not named, gets nothing."""
    routes = {Severity.CRITICAL: ("one", "teams"), Severity.MEDIUM: ("two", "two"), Severity.LOW: ()}
    local.policy = Policy(routes)
    local.check(well(audit="broken", problems=(failed(4 * DAY),), repository=Repository(9_000_000_000, 1)))
    assert local.one.subjects == ["CRITICAL: The audit trail is broken"]
    assert local.two.subjects == ["MEDIUM: Notebooks are stale in the vault"]
    assert local.open() == ["audit-broken", "repository-size", "stale-notebooks"]


def test_a_rule_that_is_switched_off_ends_in_silence(local: Desk) -> None:
    """Whoever does not want to hear of it hears no end of it either."""
    facts = well(audit="broken")
    local.check(facts)
    local.policy = replace(local.policy, off=["audit-broken"])
    local.check(facts, at=NOW + HOUR)
    assert (local.open(), len(local.one.subjects)) == ([], 1)


def test_an_alert_of_another_machine_is_taken_over(local: Desk) -> None:
    """What the vault says is open is not told again, and is ended here; what it says is over is ended in silence."""
    name, since = "audit-broken-20261121T050000Z-aa", NOW - HOUR
    there = Incident(name, "audit-broken", "critical", "", "broken", since, since)
    local.check(well(audit="broken"), elsewhere=(there,))
    assert (local.open(), local.one.subjects) == (["audit-broken"], [])
    local.check(well(), elsewhere=(there,))
    assert local.one.subjects == ["Over: The audit trail is broken, after 60 minutes"]
    local.check(well(audit="broken"), at=NOW + HOUR)
    (own,) = local.state.alerts.open()
    local.check(well(audit=None), elsewhere=(replace(own, cleared_at=NOW + 2 * HOUR),), at=NOW + 2 * HOUR)
    assert (local.open(), len(local.one.subjects)) == ([], 2)


def test_only_a_whole_and_confirmed_session_is_a_success() -> None:
    """Every other end, and a claim that the remote has not confirmed, is none."""
    from nbvault.model import SessionReport

    good = SessionReport("s", Status.COMPLETE, 0, NOW, NOW, head="c", pushed=True)
    bad = [
        good.evolve(status=Status.PARTIAL, exit_code=3),
        good.evolve(status=Status.PARTIAL),
        good.evolve(exit_code=4),
        good.evolve(status=Status.FAILED, exit_code=1, error="x"),
        good.evolve(status=Status.INTERRUPTED, exit_code=9),
        good.evolve(pushed=False),
        good.evolve(head=None),
        good.evolve(dry_run=True),
        good.evolve(error="x"),
    ]
    assert (is_success(good), [is_success(each) for each in bad]) == (True, [False] * len(bad))
