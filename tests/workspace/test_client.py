"""The client against a real server: what is sent, what comes back, how often and how long it tries."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from nbvault.errors import AuthenticationError
from nbvault.model import Identity, Language, ListedObject, Person
from nbvault.workspace.errors import (
    BadAnswer,
    DeadlineExceeded,
    Forbidden,
    NotADirectory,
    NotFound,
    Refused,
    RequestFailed,
    ServerFault,
    Throttled,
    TooLarge,
    Unauthorized,
    Unreachable,
)
from nbvault_emulator.testing import Emulator
from workspace_places import FakeAuth, FakeClock, client_of, scripted, served

EMPTY = (200, "{}")
HEADER = "# Databricks notebook source\n"


def listing(*objects: Any) -> tuple[int, str]:
    return 200, json.dumps({"objects": list(objects)})


def notebook(path: str, **more: Any) -> dict[str, Any]:
    return {"object_id": 1, "object_type": "NOTEBOOK", "path": path, "language": "PYTHON"} | more


async def test_who_may_not_write_is_told_which_right_that_needs() -> None:
    """Not the right to read, which a restore's reader may have had all the time."""
    with Emulator(world=[]) as place:
        place.faults({"kind": "status", "status": 403, "match": {"endpoint": ["import", "mkdirs", "delete"]}})
        async with client_of(FakeAuth(place.workspace_url, [place.workspace_token])) as client:
            writes = (
                client.import_notebook("/x", HEADER.encode(), Language.PYTHON, overwrite=True),
                client.mkdirs("/x"),
                client.delete("/x"),
            )
            for write in writes:
                with pytest.raises(Forbidden, match="CAN EDIT"):
                    await write


async def test_what_was_imported_is_listed_exported_and_deleted() -> None:
    """The round trip through the emulator: folders, bytes, kinds, times, and the end of it."""
    source = (HEADER + "print('é')").encode()
    with Emulator(world=[]) as place:
        async with client_of(FakeAuth(place.workspace_url, [place.workspace_token])) as client:
            await client.mkdirs("/Clients/a b/é#?&%+x")
            path = "/Clients/a b/é#?&%+x/New Notebook: 1"
            await client.import_notebook(path, source, Language.PYTHON, overwrite=False)
            assert await client.export(path) == source
            (listed,) = await client.list_folder("/Clients/a b/é#?&%+x")
            assert listed.path == path
            assert listed.language is Language.PYTHON
            assert listed.modified_at_ms > 0
            assert (await client.get_status(path)).object_id == listed.object_id
            assert [one.kind for one in await client.list_folder("/Clients")] == ["DIRECTORY"]
            await client.delete("/Clients", recursive=True)
            with pytest.raises(NotFound):
                await client.list_folder("/Clients")
            assert (client.stats.list, client.stats.export, client.stats.throttled) == (3, 1, 0)


async def test_the_workspace_says_who_we_are_and_who_others_are() -> None:
    """SCIM: the identity with its groups, a person with the primary e-mail, and nobody for an unknown id."""
    with Emulator(notebooks=20) as place:
        async with client_of(FakeAuth(place.workspace_url, [place.workspace_token])) as client:
            me = await client.me()
            assert me.is_admin
            assert await client.user(me.user_id) is not None
            assert await client.user("1") is None
            place.faults({"kind": "identity", "admin": False})
            assert not (await client.me()).is_admin


PEOPLE = [
    ({"userName": "u", "emails": [{"value": "a@x"}, {"value": "b@x", "primary": True}]}, Person("u", "b@x")),
    ({"userName": "u", "displayName": "U U", "emails": [{"value": "a@x"}]}, Person("U U", "a@x")),
    ({"userName": "u@x", "name": {"givenName": "Ada", "familyName": "L"}}, Person("Ada L", "u@x")),
    ({"userName": "u@x", "emails": [], "displayName": ""}, Person("u@x", "u@x")),
]


@pytest.mark.parametrize(("resource", "person"), PEOPLE)
async def test_a_person_is_read_from_what_there_is(resource: dict[str, Any], person: Person) -> None:
    """E-mail: primary, else first, else the user name; name: display name, else full name, else user name."""
    async with scripted([(200, json.dumps(resource))]) as script, client_of(script.host) as client:
        assert await client.user("7") == person


async def test_an_identity_without_groups_is_no_admin() -> None:
    """Nothing is taken for granted."""
    async with scripted([(200, '{"id":"5","userName":"sp"}')]) as script, client_of(script.host) as client:
        assert await client.me() == Identity("5", "sp", is_admin=False)


async def test_a_listing_keeps_what_we_do_not_know() -> None:
    """Kinds keep their names, unknown languages become None, missing times 0; paths are spelled as asked."""
    human = {"modified_at_interactive": {"user_id": 42, "time_millis": 5}}
    answer = listing(
        notebook("/Workspace/c/n", modified_at=7, **human),
        {"object_id": 2, "object_type": "DESIGNER_FILE", "path": "/c/d", "language": "COBOL"},
    )
    async with scripted([answer]) as script, client_of(script.host) as client:
        assert await client.list_folder("/c") == [
            ListedObject(1, "NOTEBOOK", "/c/n", Language.PYTHON, 7, 5, "42"),
            ListedObject(2, "DESIGNER_FILE", "/c/d"),
        ]
        assert [one.path for one in await client.list_folder("/Workspace/c")] == ["/Workspace/c/n", "/Workspace/c/d"]


async def test_an_empty_object_is_an_empty_folder_and_an_empty_body_is_not() -> None:
    """`{}` says that nothing is there; zero bytes say nothing."""
    async with scripted([EMPTY, (200, "")]) as script, client_of(script.host) as client:
        assert await client.list_folder("/c") == []
        with pytest.raises(BadAnswer):
            await client.list_folder("/c")


BROKEN = [
    (200, '{"entries":[]}'),
    (200, '{"objects":{}}'),
    listing(notebook("/c/n"), {"object_id": 2, "path": "/c/d"}),
    listing({"object_type": "NOTEBOOK", "path": "/c/d"}),
    listing({"object_id": "2", "object_type": "NOTEBOOK", "path": "/c/d"}),
    listing({"object_id": 2, "object_type": "NOTEBOOK"}),
    listing("n"),
    listing(notebook("/elsewhere/n")),
    listing(notebook("/c/n"), notebook("/c")),
]


@pytest.mark.parametrize("answer", BROKEN)
async def test_a_listing_with_one_bad_entry_is_no_listing(answer: tuple[int, str]) -> None:
    """Nothing is silently left out of a folder; such an answer is asked for again, and may be whole then."""
    async with scripted([answer, answer, EMPTY]) as script, client_of(script.host) as client:
        assert await client.list_folder("/c") == []
        assert len(script.seen) == 3


async def test_a_notebook_is_no_folder() -> None:
    """Listing a notebook's path shows that notebook; this is told, not taken for a folder with one notebook."""
    async with scripted([listing(notebook("/Workspace/c/n"))]) as script, client_of(script.host) as client:
        with pytest.raises(NotADirectory):
            await client.list_folder("/c/n")


@given(st.text(min_size=1).filter(lambda name: "/" not in name))
@settings(max_examples=25, deadline=None)
def test_any_name_is_sent_as_it_is(name: str) -> None:
    """What the server decodes is the path, whatever the characters."""

    async def roundtrip() -> None:
        async with scripted([EMPTY]) as script, client_of(script.host) as client:
            await client.list_folder("/c/" + name)
            assert unquote(script.seen[0].query_string.partition("path=")[2]) == "/c/" + name

    asyncio.run(roundtrip())


async def test_a_name_that_is_no_unicode_is_refused_by_the_workspace_and_not_by_us() -> None:
    """A lone surrogate does not stop the program."""
    async with scripted([(400, "{}")]) as script, client_of(script.host) as client:
        with pytest.raises(Refused):
            await client.export("/c/\ud800")


@pytest.mark.parametrize("text", ['{"error_code": "X", "message": "y"}', "<html>", '{"cells": []}'])
async def test_a_notebook_that_looks_like_an_error_is_saved_byte_for_byte(text: str) -> None:
    """Text that could be an error or a login page is asked for again, where the two are kept apart."""
    content = json.dumps({"content": base64.b64encode(text.encode()).decode(), "file_type": "py"})
    async with scripted([(200, text), (200, content)]) as script, client_of(script.host) as client:
        assert await client.export("/c/n") == text.encode()
        assert [request.query["direct_download"] for request in script.seen] == ["true", "false"]


OVERSIZE = ["size-exceeds", "notebook-size", "file-size", "max-notebook-size", "max-read-size", "error-info", "in-200"]


async def test_every_shape_of_too_large_is_told_and_not_retried() -> None:
    """All seven shapes that workspaces sent, one of them under 200."""
    with Emulator(
        world=[{"path": "/c/n", "object_type": "NOTEBOOK", "language": "PYTHON", "content": HEADER}]
    ) as place:
        clock = FakeClock()
        async with client_of(FakeAuth(place.workspace_url, [place.workspace_token]), clock) as client:
            for shape in OVERSIZE:
                place.faults({"kind": "oversize", "shape": shape})
                with pytest.raises(TooLarge):
                    await client.export("/c/n")
            assert clock.slept == []
            assert client.stats.export == len(OVERSIZE) + 1


async def test_a_login_page_is_no_notebook() -> None:
    """HTML under 200 never reaches the vault."""
    page = (200, "<html><title>Sign in</title></html>", {"Content-Type": "text/html"})
    async with scripted([page]) as script, client_of(script.host) as client:
        with pytest.raises(BadAnswer):
            await client.export("/c/n")


@pytest.mark.parametrize("fail", [(500, ""), (503, "{}"), (429, ""), (200, ""), (200, "nonsense")])
async def test_a_fault_that_passes_is_never_seen(fail: tuple[int, str]) -> None:
    """Nine bad answers and a good one are a good answer."""
    async with scripted([fail] * 9 + [EMPTY]) as script, client_of(script.host) as client:
        assert await client.list_folder("/c") == []
        assert client.stats.list == len(script.seen) == 10
        assert client.stats.throttled == (9 if fail[0] == 429 else 0)


@pytest.mark.parametrize(("fail", "kind"), [((500, ""), ServerFault), ((429, ""), Throttled), ((200, ""), BadAnswer)])
async def test_a_fault_that_stays_is_told_after_a_minute(fail: tuple[int, str], kind: type[RequestFailed]) -> None:
    """At least ten tries, over a minute in all."""
    clock = FakeClock()
    async with scripted([fail]) as script, client_of(script.host, clock) as client:
        with pytest.raises(kind):
            await client.list_folder("/c")
        assert 10 <= len(script.seen) <= 20
        assert 55 <= sum(clock.slept) <= 60.001


async def test_retry_after_is_obeyed() -> None:
    """Two waits as long as the workspace asked for, ten minutes at most each."""
    clock = FakeClock()
    answers = [(429, "", {"Retry-After": "90"}), (503, "", {"Retry-After": "7200"}), EMPTY]
    async with scripted(answers) as script, client_of(script.host, clock) as client:
        await client.list_folder("/c")
        first, second = clock.slept
        assert 90 <= first <= 99.1
        assert 600 <= second <= 660.1


@pytest.mark.parametrize(("answer", "kind"), [((403, ""), Forbidden), ((404, ""), NotFound), ((400, ""), Refused)])
async def test_what_is_final_is_asked_once(answer: tuple[int, str], kind: type[RequestFailed]) -> None:
    """No 4xx but 408 and 429 is worth another request."""
    async with scripted([answer, EMPTY]) as script, client_of(script.host) as client:
        with pytest.raises(kind):
            await client.list_folder("/c")
        assert len(script.seen) == 1


async def test_a_workspace_that_never_answered_is_given_up_soon() -> None:
    """A mistyped host: ten tries within eight seconds; once something has answered, the whole minute."""
    clock = FakeClock()
    async with scripted([EMPTY]) as script:
        host = script.host
    async with client_of(host, clock) as client:
        with pytest.raises(Unreachable):
            await client.list_folder("/c")
        assert client.stats.list >= 10
        assert sum(clock.slept) <= 8.001


async def test_a_workspace_that_breaks_off_later_has_the_whole_minute() -> None:
    """The network is given time to come back in the middle of a session."""
    clock = FakeClock()
    with Emulator(notebooks=5) as place:
        async with client_of(FakeAuth(place.workspace_url, [place.workspace_token]), clock) as client:
            await client.list_folder("/Clients")
            place.stop()
            with pytest.raises(Unreachable):
                await client.list_folder("/Clients")
            assert 55 <= sum(clock.slept) <= 60.001


async def test_a_body_cut_short_is_no_notebook() -> None:
    """The connection that breaks off in mid-body is a failed try, and the next one brings the whole."""
    with Emulator(
        world=[{"path": "/c/n", "object_type": "NOTEBOOK", "language": "PYTHON", "content": HEADER}]
    ) as place:
        async with client_of(FakeAuth(place.workspace_url, [place.workspace_token])) as client:
            for when in ("before", "mid-body"):
                place.faults({"kind": "drop", "when": when, "match": {"endpoint": "export", "times": 2}})
                assert await client.export("/c/n") == HEADER.encode()
            assert client.stats.export >= 4


async def test_a_try_that_hangs_is_ended() -> None:
    """No answer within the timeout is a failed try."""
    with Emulator(notebooks=5) as place:
        place.faults({"kind": "hang", "match": {"endpoint": "list", "times": 1}})
        async with client_of(FakeAuth(place.workspace_url, [place.workspace_token]), timeout_s=0.2) as client:
            assert await client.list_folder("/Clients")
            assert client.stats.list == 2


async def test_a_body_over_the_limit_is_not_read_to_its_end() -> None:
    """Announced or not, more bytes than allowed are too large."""

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        except ConnectionError:
            return response

    async with scripted([(200, "#" * 5000)]) as script, client_of(script.host, max_bytes=1000) as client:
        with pytest.raises(TooLarge):
            await client.export("/c/n")
    async with served(endless) as host, client_of(host, max_bytes=100_000) as client:
        with pytest.raises(TooLarge):
            await client.export("/c/n")


async def test_a_token_that_expires_is_renewed_once_for_all() -> None:
    """Forty requests meet the 401 together; one renewal serves them, and none fails."""
    with Emulator(notebooks=5) as place:
        auth = FakeAuth(place.workspace_url, ["stale", place.workspace_token])
        async with client_of(auth) as client:
            found = await asyncio.gather(*(client.list_folder("/Clients") for _ in range(40)))
        assert all(found)
        assert auth.renewals == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_token_that_stays_refused_ends_it(status: int) -> None:
    """One renewal, one more try, then the error; not a minute of tries."""
    clock = FakeClock()
    body = '{"error_code":"403","message":"Invalid access token."}'
    async with scripted([(status, body)]) as script:
        auth = FakeAuth(script.host, ["s3cr3t"])
        async with client_of(auth, clock) as client:
            with pytest.raises(AuthenticationError) as caught:
                await client.list_folder("/c")
        assert isinstance(caught.value, Unauthorized)
        assert (auth.renewals, len(script.seen), clock.slept) == (1, 2, [])
        assert "s3cr3t" not in f"{caught.value!r} {caught.value}"


async def test_after_the_deadline_nothing_is_sent() -> None:
    """The session's time limit: no request after it, no wait beyond it."""
    clock = FakeClock()
    async with scripted([(503, "", {"Retry-After": "30"})]) as script, client_of(script.host, clock) as client:
        client.deadline = clock.monotonic() + 20
        with pytest.raises(DeadlineExceeded):
            await client.list_folder("/c")
        assert (len(script.seen), clock.slept) == (1, [])
        clock.wait(21)
        with pytest.raises(DeadlineExceeded):
            await client.list_folder("/c")
        assert len(script.seen) == 1


async def test_a_cancelled_request_gives_its_slot_back() -> None:
    """After a hundred cancelled requests, sent or waiting, the window is empty and the next one goes through."""
    arrived, released = asyncio.Event(), asyncio.Event()

    async def stalling(_request: web.BaseRequest) -> web.StreamResponse:
        arrived.set()
        await released.wait()
        return web.json_response({})

    async with served(stalling) as host, client_of(host) as client:
        tasks = [asyncio.ensure_future(client.list_folder("/c")) for _ in range(100)]
        await arrived.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert client.window.in_flight == 0
        released.set()
        assert await client.list_folder("/c") == []


async def test_no_slot_is_held_while_a_request_waits_for_its_next_try() -> None:
    """Who waits makes room: with a window of one, another request is answered meanwhile."""
    in_flight: list[int] = []

    class Watching(FakeClock):
        async def sleep(self, seconds: float) -> None:
            in_flight.append(client.window.in_flight)
            await super().sleep(seconds)

    async with scripted([(500, ""), EMPTY]) as script:
        client = client_of(script.host, Watching(), max_in_flight=1)
        async with client:
            await client.list_folder("/c")
    assert in_flight == [0]


async def test_a_rate_limit_is_found_with_little_waste() -> None:
    """Against a bucket of 400 exports a second, under a tenth of the requests are refused and none fails."""
    with Emulator(notebooks=900, export_rate=400, latency_ms=20) as place:
        from nbvault.clock import SystemClock
        from nbvault.workspace.client import WorkspaceClient

        async with WorkspaceClient(
            FakeAuth(place.workspace_url, [place.workspace_token]), clock=SystemClock()
        ) as client:
            paths = [one["path"] for one in place.world("/Clients")]
            await asyncio.gather(*(client.export(path) for path in paths))
            assert client.stats.throttled / client.stats.export < 0.1


async def test_a_known_limit_is_kept_from_the_start() -> None:
    """With a fixed ceiling below the workspace's limit, not one request is refused."""
    with Emulator(notebooks=60, export_rate=60) as place:
        async with client_of(
            FakeAuth(place.workspace_url, [place.workspace_token]), requests_per_second=50.0
        ) as client:
            paths = [one["path"] for one in place.world("/Clients")]
            await asyncio.gather(*(client.export(path) for path in paths))
            assert (client.stats.export, client.stats.throttled) == (60, 0)
