"""The JSON API against its own description: asked what the description allows, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as described

from web.places import MOVED, OPEN, ROOT, Browser, Desk, Page, serving

EXAMPLES = 4
WHAT_MUST_HOLD: list[Any] = [
    checks.not_a_server_error,
    described.status_code_conformance,
    described.content_type_conformance,
    described.response_headers_conformance,
    described.response_schema_conformance,
]
IN_WORDS = (400, 401, 403, 404, 409, 422, 429, 502, 503)


@pytest.fixture(scope="module")
def open_page(desk: Desk) -> Iterator[Page]:
    with serving(desk) as made:
        yield made


@pytest.fixture(scope="module")
def me(open_page: Page) -> Browser:
    return open_page.local()


def asked(me: Browser, page: Page, mode: GenerationMode, real: dict[str, str], *, examples: int) -> dict[str, str]:
    """What was wrong with the answers of each operation; `real` are values for parameters of these names."""
    schema = schemathesis.openapi.from_dict(me.json("/api/openapi.json"))
    wrong: dict[str, str] = {}
    for each in schema.get_all_operations():
        operation = each.ok()
        names = {parameter.name for parameter in operation.query} & set(real)
        place = {parameter.name for parameter in operation.path_parameters} & set(real)
        if real and not (names or place):
            continue
        fixed = {
            "query": {name: real[name] for name in names} or None,
            "path_parameters": {name: real[name] for name in place} or None,
        }

        @settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(mode, **{name: value for name, value in fixed.items() if value}))
        def holds(case: schemathesis.Case) -> None:
            answer = case.call(
                base_url=page.url,
                cookies=dict(me.client.cookies),
                headers={**(case.headers or {}), "X-CSRF-Token": me.csrf},
            )
            case.validate_response(answer, checks=WHAT_MUST_HOLD)
            if answer.status_code in IN_WORDS:
                assert answer.json()["error"]

        try:
            holds()
        except Unsatisfiable:
            # Where every text is allowed and there is no body, nothing can be wrong.
            assert (mode, operation.body.items) == (GenerationMode.NEGATIVE, [])
        except (AssertionError, schemathesis.core.failures.FailureGroup) as error:
            wrong[operation.label] = f"{error}\n" + "\n".join(map(str, getattr(error, "exceptions", ())))
    return wrong


@pytest.mark.parametrize("mode", GenerationMode)
def test_whatever_is_asked_the_answer_is_as_described(me: Browser, open_page: Page, mode: GenerationMode) -> None:
    """Of every operation, with what its description allows and with what it does not: no 5xx, nothing undescribed."""
    assert asked(me, open_page, mode, {}, examples=EXAMPLES) == {}


def test_what_is_there_is_answered_as_described(me: Browser, open_page: Page) -> None:
    """The same with a notebook, a folder, a session, a task and a receipt that exist."""
    receipt = me.restore(MOVED, at=me.json("/api/history", path=MOVED)[-1]["commit"])
    real = {
        "path": MOVED,
        "folder": f"{ROOT}{OPEN}",
        "session": me.json("/api/sessions")[0]["session"],
        "restore": receipt["restore"],
        "task_id": me.json("/api/tasks")[0]["task"],
    }
    assert asked(me, open_page, GenerationMode.POSITIVE, real, examples=EXAMPLES) == {}
