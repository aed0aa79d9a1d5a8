"""What each shape of a bad answer means."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvault.errors import AuthenticationError, WorkspaceError
from nbvault.workspace.errors import (
    BadAnswer,
    Forbidden,
    NotFound,
    Refused,
    RequestFailed,
    ServerFault,
    Throttled,
    TooLarge,
    Unauthorized,
    from_answer,
    is_doubtful,
    retry_after,
)


def error(code: object = None, message: str = "", **more: object) -> bytes:
    return json.dumps({"error_code": code, "message": message} | more).encode()


INFO = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "MAX_NOTEBOOK_SIZE_EXCEEDED"}]
SHAPES = [
    (404, error("RESOURCE_DOES_NOT_EXIST", "Path (/a) doesn't exist."), NotFound),
    (404, b'{"message":"Path (/a) doesn\'t exist."}', NotFound),
    (404, b'{"schemas":["x"],"detail":"User with id 7 not found.","status":"404"}', NotFound),
    (404, b"", NotFound),
    (404, b"<html><title>Not here</title></html>", Refused),
    (404, error("ENDPOINT_NOT_FOUND", "No API found"), Refused),
    (400, error("RESOURCE_DOES_NOT_EXIST", "gone"), NotFound),
    (403, error("PERMISSION_DENIED", "no"), Forbidden),
    (403, b"", Forbidden),
    (403, error("403", "Invalid access token."), Unauthorized),
    (403, error(403, "Unauthorized access to Org: 123"), Unauthorized),
    (401, error("401", "ExpiredJwt: Access token has expired."), Unauthorized),
    (401, b"", Unauthorized),
    (400, error("BAD_REQUEST", "Size exceeds 10485760 bytes"), TooLarge),
    (400, error("BAD_REQUEST", "Notebook size exceeded limit: 12 > 10485760"), TooLarge),
    (400, error("BAD_REQUEST", "File size imported is (12 bytes), exceeded max size (10 bytes)"), TooLarge),
    (400, error("MAX_NOTEBOOK_SIZE_EXCEEDED", "x"), TooLarge),
    (400, error("MAX_READ_SIZE_EXCEEDED", "x"), TooLarge),
    (400, error("BAD_REQUEST", "x", details=INFO), TooLarge),
    (413, b"", TooLarge),
    (200, error("MAX_NOTEBOOK_SIZE_EXCEEDED", "Size exceeds 10485760 bytes"), TooLarge),
    (429, error("RESOURCE_EXHAUSTED", "Too many requests."), Throttled),
    (429, error("REQUEST_LIMIT_EXCEEDED", "RPC token bucket limit has been exceeded"), Throttled),
    (429, b"", Throttled),
    (400, error("BAD_REQUEST", "Workspace 1 exceeded the concurrent limit of 20 requests."), Throttled),
    (200, error("REQUEST_LIMIT_EXCEEDED", "slow"), Throttled),
    (500, error("INTERNAL_ERROR", "oh"), ServerFault),
    (500, error("RESOURCE_DOES_NOT_EXIST", "a fault that calls itself absence"), ServerFault),
    (502, b"<html><pre>Bad Gateway</pre></html>", ServerFault),
    (503, error("TEMPORARILY_UNAVAILABLE", "later"), ServerFault),
    (504, b"", ServerFault),
    (400, error("TEMPORARILY_UNAVAILABLE", "later"), ServerFault),
    (200, error("INTERNAL_ERROR", "oh"), ServerFault),
    (200, error("PERMISSION_DENIED", "no"), Forbidden),
    (200, error("RESOURCE_DOES_NOT_EXIST", "no"), BadAnswer),
    (200, error("SOMETHING_NEW", "?"), BadAnswer),
    (200, b"", BadAnswer),
    (200, b'{"objects":[{"object_type"', BadAnswer),
    (200, b"[]", BadAnswer),
    (200, b"<!DOCTYPE html><html>Sign in</html>", BadAnswer),
    (400, error("INVALID_PARAMETER_VALUE", "odd"), Refused),
    (400, error("RESOURCE_ALREADY_EXISTS", "/a already exists."), Refused),
    (400, b"INVALID_STATE: not now", Refused),
    (400, b'{"error":"old API"}', Refused),
    (409, error("RESOURCE_CONFLICT", "two"), Refused),
    (501, b"", Refused),
    (302, b"", Refused),
]
RETRYABLE = {Throttled, ServerFault, BadAnswer}


@pytest.mark.parametrize(("status", "body", "kind"), SHAPES)
def test_every_shape_of_a_bad_answer_has_one_meaning(status: int, body: bytes, kind: type[RequestFailed]) -> None:
    """Status, code, details and phrases decide together, and only what may pass by itself is retryable."""
    failure = from_answer(status, {}, body, path="/a/b")
    assert type(failure) is kind
    assert failure.retryable is (kind in RETRYABLE)
    assert failure.status == status
    assert failure.path == "/a/b"
    assert isinstance(failure, WorkspaceError)


def test_a_refused_token_is_both_kinds_of_error() -> None:
    """Whoever catches AuthenticationError sees it, and it ends the program with 6."""
    failure = from_answer(401, {}, b"", path="/a")
    assert isinstance(failure, AuthenticationError)
    assert failure.exit_code == 6


def test_a_status_that_is_also_the_code_is_said_once() -> None:
    """A proxy that repeats the status as its error code is quoted without repetition."""
    failure = from_answer(403, {}, error(403, "403: No entry."), path="/a")
    assert str(failure).startswith("The identity may not use /a (403: No entry.).")


@pytest.mark.parametrize("body", [b"{}", b'{"objects":[]}', b'{"content":"eA=="}'])
def test_good_answers_are_no_errors(body: bytes) -> None:
    """An object without an error code under 200 is left to its reader."""
    assert from_answer(200, {}, body, path="/a") is None


def test_a_notebook_that_spells_an_error_is_not_judged_by_its_text() -> None:
    """Text that came by direct download is no error; it is doubtful, so it is asked for again in the other way."""
    body = error("RESOURCE_DOES_NOT_EXIST", "the text of a notebook")
    assert from_answer(200, {}, body, path="/a", raw=True) is None
    assert is_doubtful(body)


@given(st.sampled_from(["# Databricks", "-- Databricks", "// Databricks"]), st.binary())
def test_no_source_export_is_doubtful(header: str, rest: bytes) -> None:
    """What begins with a header line is taken as it is."""
    assert not is_doubtful(header.encode() + b" notebook source\n" + rest)


@pytest.mark.parametrize("body", [b"<html>", b"\xef\xbb\xbf {", b"\n<!DOCTYPE html>"])
def test_json_and_html_are_doubtful(body: bytes) -> None:
    """A login page or an error cannot pass for a notebook."""
    assert is_doubtful(body)


def test_an_empty_export_is_a_bad_answer() -> None:
    """A SOURCE export has its header line at least."""
    assert isinstance(from_answer(200, {}, b"", path="/a", raw=True), BadAnswer)


NOW = datetime(2026, 11, 21, 2, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("86400", 600.0),
        ("Sat, 21 Nov 2026 02:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 01:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_capped(value: str, seconds: float | None) -> None:
    """Seconds or a date; more than ten minutes is taken as ten minutes, nonsense as nothing."""
    assert retry_after({"retry-After": value}, now=NOW) == seconds


@given(st.integers(200, 599), st.binary(max_size=200), st.dictionaries(st.sampled_from(["Retry-After"]), st.text()))
def test_any_answer_at_all_is_understood(status: int, body: bytes, headers: dict[str, str]) -> None:
    """No body and no header makes the reading itself fail, and messages stay on one line of sane length."""
    failure = from_answer(status, headers, body, path="/a", now=NOW)
    if failure is None:
        assert 200 <= status < 300
    else:
        assert len(str(failure)) < 900
        assert "\n" not in str(failure)
