"""Who comes in, and who does not."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from nbvault.errors import ConfigurationError
from nbvault.settings import load_settings
from nbvault.web.guard import POLICY
from nbvault.web.signing import NAMING
from nbvault.web.site import Site
from nbvault_emulator.testing import Emulator
from web.places import ANN, BOB, MOVED, PROXY, Browser, Desk, Page, serving

EVERYWHERE = ["/", "/notebooks", f"/notebook?path={MOVED}", "/tasks", "/restores", "/api/me", "/api/openapi.json"]


@pytest.fixture(scope="module")
def local(page: Page) -> Browser:
    return page.local()


@pytest.mark.parametrize("path", EVERYWHERE)
def test_nobody_comes_in_without_the_link(page: Page, path: str) -> None:
    """Without the cookie of the printed link every page and answer of the API is 401."""
    assert page.client().get(path).status_code == 401


def test_the_link_opens_once(desk: Desk) -> None:
    """The first who follows the link is in, by a cookie that no script and no other site can use."""
    with serving(desk) as page:
        key = page.site.signs_in.key  # type: ignore[attr-defined]
        first = page.client().get("/enter", key=key)
        assert (first.status_code, first.headers["location"]) == (303, "/")
        assert "HttpOnly" in first.headers["set-cookie"]
        assert "samesite=strict" in first.headers["set-cookie"].lower()
        assert page.client().get("/enter", key=key).status_code == 401
        assert page.client().get("/enter", key="").status_code == 401


def test_another_name_for_this_machine_is_refused(page: Page, local: Browser) -> None:
    """A page of another site that has its name lead to 127.0.0.1 gets nothing."""
    answer = local.client.get("/", headers={"Host": "evil.example:80"})
    assert answer.status_code == 403
    assert "notebook" not in answer.text.lower().replace("nbvault", "")


@pytest.mark.parametrize("name", NAMING)
def test_a_forged_name_is_refused(page: Page, local: Browser, name: str) -> None:
    """Where no proxy is configured, a header that says who somebody is makes the request fail, whoever sends it."""
    assert local.client.get("/", headers={name: "admin@clients.example"}).status_code == 403


def test_a_forged_name_behind_the_proxy_changes_nothing(behind_proxy: Page, emulator: Emulator) -> None:
    """Whoever somebody claims to be in other headers: the workspace says whose token it is."""
    token = emulator.user_token(ANN)
    claims = {"X-Forwarded-Email": "root@clients.example", "X-Forwarded-User": "root", "X-Forwarded-Groups": "admins"}
    told = behind_proxy.client(**{"X-Forwarded-Access-Token": token}, **claims).json("/api/me")
    assert (told["name"], told["role"]) == (ANN, "restorer")


@pytest.fixture(scope="module")
def far_proxy(desk: Desk) -> Iterator[Page]:
    with serving(desk, NBVAULT_WEB__SIGN_IN="proxy", NBVAULT_WEB__PROXIES="10.9.8.7,192.0.2.0/24") as made:
        yield made


def test_a_token_from_an_address_that_is_no_proxy_is_refused(far_proxy: Page, emulator: Emulator) -> None:
    """Even a good token is not taken from an address that is not configured."""
    answer = far_proxy.client(**{"X-Forwarded-Access-Token": emulator.user_token(ANN)}).get("/api/me")
    assert answer.status_code == 403
    assert far_proxy.client().get("/api/me").status_code == 401


@pytest.mark.parametrize("token", ["", "dapi0123456789abcdef", "null", "a" * 5000])
def test_a_token_that_the_workspace_does_not_know_is_refused(behind_proxy: Page, token: str) -> None:
    """Without a token, or with any other than one of the workspace, nobody is signed in."""
    assert behind_proxy.client(**{"X-Forwarded-Access-Token": token}).get("/api/me").status_code == 401


def test_two_tokens_are_refused(behind_proxy: Page, emulator: Emulator) -> None:
    """A header that a browser smuggled past the proxy does not win."""
    headers = [("X-Forwarded-Access-Token", emulator.user_token(who)) for who in (ANN, BOB)]
    assert httpx.get(behind_proxy.url + "/api/me", headers=headers).status_code == 403


def test_roles_come_from_groups_of_the_workspace(desk: Desk, emulator: Emulator) -> None:
    """The highest role of any group counts; who is in none stays outside; a reader restores nothing."""
    for who, groups in (("rita", ["look"]), ("otto", ["look", "give-back"]), ("vera", []), ("olga", ["owners"])):
        emulator.user(who, groups=groups)
    roles = {
        "NBVAULT_WEB__READERS": "look",
        "NBVAULT_WEB__RESTORERS": "give-back",
        "NBVAULT_WEB__ADMINISTRATORS": "owners",
    }
    with serving(desk, **PROXY, **roles) as page:
        people = {
            who: page.client(**{"X-Forwarded-Access-Token": emulator.user_token(who)})
            for who in ("rita", "otto", "olga")
        }
        assert {who: browser.json("/api/me")["role"] for who, browser in people.items()} == {
            "rita": "reader",
            "otto": "restorer",
            "olga": "administrator",
        }
        outside = page.client(**{"X-Forwarded-Access-Token": emulator.user_token("vera")})
        assert outside.get("/").status_code == 403
        rita = people["rita"].sign_in()
        assert rita.post("/api/restores", {"paths": [MOVED]}).status_code == 403
        assert rita.submit("/restore/plan", path=MOVED).status_code == 403


def test_a_form_without_its_token_is_refused(local: Browser) -> None:
    """Neither another site nor a page of before a restart can make this browser do anything."""
    assert local.client.post("/undo", data={"restore": "x"}).status_code == 403
    assert local.client.post("/undo", data={"restore": "x", "csrf": "0" * 64}).status_code == 403
    assert local.client.post("/api/restores", json={"paths": [MOVED]}).status_code == 403
    assert (
        local.client.post("/api/restores", content=b"paths=x", headers={"Content-Type": "text/plain"}).status_code
        == 403
    )


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_form_from_another_site_is_refused(local: Browser, headers: dict[str, str]) -> None:
    """Even with the right token."""
    form = {"restore": "x", "csrf": local.csrf}
    assert local.client.post("/undo", data=form, headers=headers).status_code == 403


def test_one_persons_form_is_not_anothers(behind_proxy: Page, ann: Browser, bob: Browser) -> None:
    """A form's token is bound to the person whose page it was on."""
    assert ann.csrf != bob.csrf
    assert ann.client.post("/undo", data={"restore": "x", "csrf": bob.csrf}).status_code == 403


@pytest.mark.parametrize("path", [*EVERYWHERE, "/static/page.js", "/nowhere", "/healthz"])
def test_every_answer_has_the_headers(local: Browser, path: str) -> None:
    """No inline script or style, no other host, no guessing of types, no frame, nothing kept by caches."""
    headers = local.get(path).headers
    assert headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
    assert path.startswith("/static/") or headers["cache-control"] == "no-store"


def test_too_many_requests_are_told_when_to_come_again(desk: Desk) -> None:
    """Somebody who asks without end gets 429 and a time, and nobody else suffers."""
    with serving(desk, NBVAULT_WEB__REQUESTS_PER_SECOND="0.5") as page:
        local = page.local()
        answers = [local.get("/api/me") for _ in range(12)]
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert local.get("/static/page.css").status_code == 200


@pytest.mark.parametrize(
    "variables",
    [
        {"NBVAULT_WEB__SIGN_IN": "proxy"},
        {"NBVAULT_WEB__SIGN_IN": "databricks-app"},
        {"NBVAULT_WEB__SIGN_IN": "oidc"},
        {"NBVAULT_WEB__SIGN_IN": "proxy", "NBVAULT_WEB__PROXIES": "everybody"},
        {"NBVAULT_WEB__ADDRESS": "http://backup.example.com"},
    ],
)
def test_a_way_in_that_lacks_something_does_not_open(desk: Desk, variables: dict[str, str]) -> None:
    """What would let in everybody, or nobody, is refused at the start."""
    with pytest.raises(ConfigurationError):
        Site.of(load_settings(environment={**desk.environment(), **variables}, cwd=desk.folder))


def test_in_a_databricks_app_the_platforms_proxy_is_believed(desk: Desk, emulator: Emulator) -> None:
    """Nothing needs to be configured; who somebody is, the workspace says."""
    with serving(desk, DATABRICKS_APP_NAME="nbvault") as page:
        assert page.person(emulator.user_token(BOB)).json("/api/me")["name"] == BOB
        assert page.client(**{"X-Forwarded-Email": BOB}).get("/api/me").status_code == 401
