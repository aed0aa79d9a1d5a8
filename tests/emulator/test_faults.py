"""Each kind of fault, seen from outside."""

from __future__ import annotations

import http.client
import io
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from emulator.conftest import Client
from nbvault_emulator.faults import glob
from nbvault_emulator.testing import Emulator, EmulatorError

BROKEN = (http.client.HTTPException, ConnectionError)


@pytest.fixture(autouse=True)
def _world(emulator: Emulator) -> None:
    emulator.batch(
        [
            {"op": "create", "path": "/Clients/2024/A/a", "content": "aaaa", "editor": "ana@x.org"},
            {"op": "create", "path": "/Clients/2024/A/b", "content": "bbbb", "editor": "ana@x.org"},
            {"op": "create", "path": "/Clients/2024/B/c", "content": "cccc", "editor": "ana@x.org"},
        ]
    )


def _list(client: Client, path: str = "/Clients/2024/A") -> Any:
    return client.get("list", path=path)


@pytest.mark.parametrize("status", [400, 403, 404, 500, 502, 503, 504])
def test_status(emulator: Emulator, client: Client, status: int) -> None:
    """A status fault answers with that status and a body of the API's shape."""
    emulator.faults({"kind": "status", "status": status, "match": {"endpoint": "list"}})
    answer = _list(client)
    assert answer.status == status
    assert set(answer.json) == {"error_code", "message"}
    assert client.get("get-status", path="/Clients").status == 200


def test_429_in_its_three_shapes(emulator: Emulator, client: Client) -> None:
    """429 comes with Retry-After, without it, and with an empty body."""
    emulator.faults(
        {"kind": "status", "status": 429, "retry_after": 7, "match": {"nth": 1}},
        {"kind": "status", "status": 429, "match": {"nth": 2}},
        {"kind": "status", "status": 429, "body": "", "match": {"nth": [3]}},
    )
    first, second, third, fourth = (_list(client) for _ in range(4))
    assert (first.status, first.headers["retry-after"]) == (429, "7")
    assert second.status == 429
    assert "retry-after" not in second.headers
    assert second.json["error_code"] == "RESOURCE_EXHAUSTED"
    assert (third.status, third.body) == (429, b"")
    assert fourth.status == 200


def test_error_under_200(emulator: Emulator, client: Client) -> None:
    """An error body may come with status 200."""
    emulator.faults({"kind": "error-in-200", "error_code": "PERMISSION_DENIED", "message": "no"})
    answer = _list(client)
    assert (answer.status, answer.json) == (200, {"error_code": "PERMISSION_DENIED", "message": "no"})


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("size-exceeds", (400, "BAD_REQUEST", "Size exceeds 10485760 bytes")),
        ("notebook-size", (400, "BAD_REQUEST", "Notebook size exceeded limit: 12000000 > 10485760")),
        (
            "file-size",
            (400, "BAD_REQUEST", "File size imported is (12000000 bytes), exceeded max size (10485760 bytes)"),
        ),
        ("max-notebook-size", (400, "MAX_NOTEBOOK_SIZE_EXCEEDED", "Notebook size exceeded limit: 12000000 > 10485760")),
        ("max-read-size", (400, "MAX_READ_SIZE_EXCEEDED", "Size exceeds 10485760 bytes")),
        ("error-info", (400, "BAD_REQUEST", "Size exceeds 10485760 bytes")),
        ("in-200", (200, "MAX_NOTEBOOK_SIZE_EXCEEDED", "Size exceeds 10485760 bytes")),
    ],
)
def test_oversize(emulator: Emulator, client: Client, shape: str, expected: tuple[int, str, str]) -> None:
    """An oversize fault refuses exports in the shape asked for, and only exports."""
    emulator.faults({"kind": "oversize", "shape": shape, "match": {"path": "/Clients/2024/A/a"}})
    answer = client.get("export", path="/Clients/2024/A/a", direct_download="true")
    assert (answer.status, answer.json["error_code"], answer.json["message"]) == expected
    if shape == "error-info":
        assert answer.json["details"][0]["reason"] == "MAX_NOTEBOOK_SIZE_EXCEEDED"
    assert client.source("/Clients/2024/A/b") == b"bbbb"
    assert client.get("get-status", path="/Clients/2024/A/a").status == 200


def test_empty_and_nonsense_bodies(emulator: Emulator, client: Client) -> None:
    """A 200 may have no byte, a page of HTML, or half of a JSON document."""
    emulator.faults(
        {"kind": "empty-body", "match": {"nth": 1}},
        {"kind": "nonsense", "match": {"nth": 2}},
        {"kind": "nonsense", "shape": "truncated-json", "match": {"nth": 3}},
    )
    answers = [_list(client) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert answers[0].body == b""
    assert answers[1].body.startswith(b"<!DOCTYPE html>")
    assert answers[2].body.startswith(b'{"objects":[')
    with pytest.raises(ValueError):
        _ = answers[2].json


def test_dropped_connections(emulator: Emulator, client: Client) -> None:
    """A connection breaks before the answer, or in the middle of it; both count as dropped."""
    emulator.faults({"kind": "drop", "match": {"nth": 1}}, {"kind": "drop", "when": "mid-body", "match": {"nth": 2}})
    with pytest.raises(BROKEN):
        _list(client)
    with pytest.raises(http.client.IncompleteRead):
        _list(client)
    assert _list(client).status == 200
    assert emulator.requests()["list"] == {"dropped": 2, "200": 1}


def test_hang_and_latency(emulator: Emulator, client_of: Callable[..., Client]) -> None:
    """A hanging request never answers; a slow one answers late."""
    emulator.faults({"kind": "hang", "match": {"nth": 1}}, {"kind": "latency", "ms": 80, "match": {"nth": 2}})
    with pytest.raises(TimeoutError):
        _list(client_of(emulator, timeout=0.2))
    client = client_of(emulator)
    start = time.monotonic()
    assert _list(client).status == 200
    assert time.monotonic() - start >= 0.08


def test_permission_hole(emulator: Emulator, client: Client) -> None:
    """What is in a hole vanishes from listings, zips and answers, and the caller is no admin any more."""
    emulator.faults({"kind": "hole", "path": "/Clients/2024/A"})
    assert client.names("/Clients/2024") == ["B"]
    for name in ("list", "get-status", "export"):
        for path in ("/Clients/2024/A", "/Clients/2024/A/a"):
            assert client.get(name, path=path).json["message"] == f"Path ({path}) doesn't exist."
    assert b"A/a.py" not in client.get("export", path="/Clients/2024", direct_download="true").body
    assert client.post("delete", path="/Clients/2024/A", recursive=True).status == 403
    me = client.send("GET", "/api/2.0/preview/scim/v2/Me").json
    assert [group["display"] for group in me["groups"]] == ["users"]
    emulator.faults({"kind": "hole", "path": "/Clients/2024/A/a", "admin": True})
    assert client.names("/Clients/2024/A") == ["b"]
    assert len(client.send("GET", "/api/2.0/preview/scim/v2/Me").json["groups"]) == 2
    emulator.faults({"kind": "identity", "admin": False})
    assert len(client.send("GET", "/api/2.0/preview/scim/v2/Me").json["groups"]) == 1
    emulator.faults()
    assert client.names("/Clients/2024/A") == ["a", "b"]


def test_forbidden_folder(emulator: Emulator, client: Client) -> None:
    """A forbidden folder is listed in its parent and refuses to be read."""
    emulator.faults({"kind": "forbid", "path": "/Clients/*/A"})
    assert client.names("/Clients/2024") == ["A", "B"]
    assert _list(client).json["error_code"] == "PERMISSION_DENIED"
    assert client.get("export", path="/Clients/2024/A/a").status == 403


@pytest.mark.parametrize("status", [401, 403])
def test_token_expiry(emulator: Emulator, client: Client, status: int) -> None:
    """After so many requests the token is refused, for good."""
    emulator.faults({"kind": "token-expired", "after": 2, "status": status})
    assert [_list(client).status for _ in range(4)] == [200, 200, status, status]


def test_times_missing_or_zero(emulator: Emulator, client: Client) -> None:
    """Times can be missing or zero, in listings and single answers alike."""
    emulator.faults(
        {"kind": "times", "path": "/Clients/**", "modified_at_interactive": "missing"},
        {"kind": "times", "path": "**/a", "modified_at": "zero"},
        {"kind": "times", "path": "**/b", "modified_at": "missing"},
    )
    a, b = _list(client).json["objects"]
    assert (a["modified_at"], "modified_at" in b) == (0, False)
    assert "modified_at_interactive" not in {**a, **b}
    assert client.get("get-status", path="/Clients/2024/A/a").json == a


def test_the_world_changes_in_mid_scan(emulator: Emulator, client: Client) -> None:
    """Something happens just before or just after the nth request is answered, and only then."""
    emulator.faults(
        {
            "kind": "do",
            "do": {"op": "move", "from": "/Clients/2024/A/a", "to": "/Clients/2024/B/a"},
            "when": "after",
            "match": {"endpoint": "list", "path": "/Clients/2024/A", "nth": 1},
        },
        {
            "kind": "do",
            "do": [{"op": "edit", "path": "/Clients/2024/A/b", "content": "new"}],
            "match": {"endpoint": "export", "path": "/Clients/2024/A/b", "nth": 2},
        },
        {
            "kind": "do",
            "do": {"op": "delete", "path": "/Clients/2024/B/c"},
            "match": {"endpoint": "export", "path": "/Clients/2024/B/c"},
        },
    )
    assert client.names("/Clients/2024/A") == ["a", "b"]
    assert client.names("/Clients/2024/A") == ["b"]
    assert client.names("/Clients/2024/B") == ["c", "a"]
    assert (client.source("/Clients/2024/A/b"), client.source("/Clients/2024/A/b")) == (b"bbbb", b"new")
    assert client.get("export", path="/Clients/2024/B/c").status == 404


def test_a_fault_that_cannot_happen_says_so(emulator: Emulator, client: Client) -> None:
    """When a fault's own operation is refused the request fails loudly."""
    emulator.faults({"kind": "do", "do": {"op": "delete", "path": "/nothing"}})
    assert _list(client).json["error_code"] == "FAULT_REFUSED"


def test_a_fault_may_set_other_faults(emulator: Emulator, client: Client) -> None:
    """A hole can open in the middle of a scan."""
    hole = {"kind": "hole", "path": "/Clients/2024/A"}
    emulator.faults({"kind": "do", "do": {"op": "faults", "faults": [hole]}, "match": {"nth": 2}})
    assert _list(client).status == 200
    assert _list(client).status == 404


def test_rate(emulator: Emulator, client: Client) -> None:
    """A limit that begins in mid-run, refuses what is too much with 429 and Retry-After, and ends."""
    emulator.faults({"kind": "rate", "per_second": 0.01, "match": {"endpoint": "export", "after": 2, "times": 3}})
    assert [client.get("export", path="/Clients/2024/A/b").status for _ in range(7)] == [
        200,
        200,
        200,
        429,
        429,
        200,
        200,
    ]


def test_concurrency_limit(emulator: Emulator, client: Client) -> None:
    """More requests at once than the limit are refused as the service does."""
    emulator.faults({"kind": "concurrency", "limit": 2}, {"kind": "latency", "ms": 150})
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: _list(client), range(6)))
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) >= 2
    assert "exceeded the concurrent limit of 2 requests" in refused[0].json["message"]


def test_times_and_probability_bound_a_fault(emulator: Emulator, client: Client) -> None:
    """`times` bounds how often a fault fires, `after` lets requests pass, `probability` decides by chance."""
    emulator.faults({"kind": "status", "status": 503, "match": {"times": 2, "after": 1}})
    assert [_list(client).status for _ in range(5)] == [200, 503, 503, 200, 200]
    assert emulator.call("GET", "/faults")[0]["fired"] == 2
    emulator.faults({"kind": "status", "status": 503, "match": {"probability": 0.5}})
    assert {_list(client).status for _ in range(40)} == {200, 503}


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "unknown"},
        {"kind": "hole"},
        {"kind": "oversize", "shape": "vast"},
        {"kind": "drop", "when": "later"},
        {"kind": "status", "match": {"colour": "red"}},
        {"kind": "status", "match": {"endpoint": "exports"}},
        {"kind": "status", "match": {"endpoint": ["export", "reimport"]}},
        "text",
    ],
)
def test_malformed_faults_are_refused(emulator: Emulator, client: Client, fault: Any) -> None:
    """A malformed fault is refused, and those in force stay."""
    emulator.faults({"kind": "status", "status": 503})
    with pytest.raises(EmulatorError, match="Fault 0"):
        emulator.call("POST", "/faults", [fault])
    assert _list(client).status == 503


def test_faults_from_the_start(client_of: Callable[..., Client]) -> None:
    """Faults of a file are in force at the first request."""
    with Emulator(notebooks=0, faults=[{"kind": "status", "status": 502}]) as running:
        assert client_of(running).get("list", path="/Clients").status == 502


def test_glob() -> None:
    """`*` stays in a folder, `**` crosses, and all else is itself."""
    assert glob("/a/*/c").fullmatch("/a/b/c")
    assert not glob("/a/*").fullmatch("/a/b/c")
    assert glob("/a/**").fullmatch("/a/b/c")
    assert not glob("/a/[x]").fullmatch("/a/x")


def _zip(client: Client) -> dict[str, bytes]:
    answer = client.get("export", path="/Clients/2024/A", format="SOURCE", direct_download="true")
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ("", ["A/a.py", "A/b.py"]),
        ("flat", ["a.py", "b.py"]),
        ("full-path", ["Clients/2024/A/a.py", "Clients/2024/A/b.py"]),
        ("no-extension", ["A/a", "A/b"]),
        ("upper-extension", ["A/a.PY", "A/b.PY"]),
        ("wrong-extension", ["A/a.sql", "A/b.py"]),
        ("extra", ["A/a.py", "A/b.py", "A/nobody knows.py"]),
        ("missing", ["A/b.py"]),
    ],
)
def test_names_in_the_zip_of_a_folder(emulator: Emulator, client: Client, shape: str, names: list[str]) -> None:
    """Each shape names its entries as the page says."""
    emulator.faults(*([{"kind": "archive", "shape": shape}] if shape else []))
    assert sorted(_zip(client)) == names


def test_contents_in_the_zip_of_a_folder(emulator: Emulator, client: Client) -> None:
    """Wrong bytes for the notebooks that are named, and everybody's neighbour's."""
    emulator.faults({"kind": "archive", "shape": "wrong-bytes", "entry": "**/b"})
    assert _zip(client) == {"A/a.py": b"aaaa", "A/b.py": b"bbbb\n# added on the way"}
    emulator.faults({"kind": "archive", "shape": "swapped"})
    assert _zip(client) == {"A/a.py": b"bbbb", "A/b.py": b"aaaa"}


@pytest.mark.parametrize("shape", ["truncated", "bad-crc", "not-a-zip"])
def test_a_zip_that_is_damaged(emulator: Emulator, client: Client, shape: str) -> None:
    """It cannot be read to its end."""
    emulator.faults({"kind": "archive", "shape": shape})
    with pytest.raises(zipfile.BadZipFile):
        _zip(client)


def test_what_may_not_be_read_is_not_in_the_zip(emulator: Emulator, client: Client) -> None:
    """Hidden and forbidden notebooks are left out, without a word."""
    emulator.faults({"kind": "forbid", "path": "/Clients/2024/A/a"})
    assert sorted(_zip(client)) == ["A/b.py"]
    emulator.faults({"kind": "hole", "path": "/Clients/2024/A/b"})
    assert sorted(_zip(client)) == ["A/a.py"]
