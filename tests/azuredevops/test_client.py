"""Azure DevOps' REST API: the repository made and judged, rate limits obeyed, refusals told; against the emulator."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping

import pytest

from nbvault.azuredevops import (
    AzureDevOpsClient,
    address_of,
    ensure_repository,
    find_obstacles,
    find_repository,
    who_am_i,
)
from nbvault.azuredevops.errors import AzureDevOpsError, NotThere
from nbvault.azuredevops.obstacles import Weight
from nbvault.errors import AuthenticationError
from nbvault_emulator.testing import Emulator
from workspace_places import FakeClock


@pytest.fixture(scope="module")
def served() -> Iterator[Emulator]:
    with Emulator(notebooks=0) as made:
        yield made


@pytest.fixture
def emulator(served: Emulator) -> Emulator:
    """As at first: no rules, every right, no faults."""
    served.faults()
    served.azure_devops(
        policies=[], push_protection=False, rights={"CreateRepository": True, "GenericContribute": True}
    )
    served.reset_requests()
    return served


def client(emulator: Emulator, name: str = "vault", *, token: str = "", clock: FakeClock | None = None,
           project: str = "PROJECT") -> AzureDevOpsClient:  # fmt: skip
    """A client with the emulator's token, or another one."""
    url = emulator.git_url.replace("/PROJECT/_git/vault", f"/{project}/_git/{name}")
    address = address_of(url)
    assert address is not None
    basic = base64.b64encode(f":{token or emulator.git_token}".encode()).decode()

    def headers() -> Mapping[str, str]:
        return {"Authorization": f"Basic {basic}"} if token != "none" else {}

    return AzureDevOpsClient(address, headers, clock=clock or FakeClock(), random=lambda: 0.5)


async def test_a_missing_repository_is_made(emulator: Emulator) -> None:
    """Once; with its default branch; the second time it is there, and git can push to it."""
    async with client(emulator, "made-anew") as api:
        assert await find_repository(api) is None
        made, created = await ensure_repository(api, branch="trunk")
        again, created_again = await ensure_repository(api, branch="trunk")
    assert (created, created_again, made.repository_id) == (True, False, again.repository_id)
    assert again.remote_url.endswith("/ORG/PROJECT/_git/made-anew")
    assert (again.disabled, again.is_too_large) == (False, False)
    head = (emulator.git_dir / "made-anew.git" / "HEAD").read_text()
    assert head == "ref: refs/heads/trunk\n"


async def test_who_may_not_make_one_is_told(emulator: Emulator) -> None:
    """With the right that is missing, in the service's own words."""
    emulator.azure_devops(rights={"CreateRepository": False})
    async with client(emulator, "forbidden") as api:
        with pytest.raises(AzureDevOpsError, match=r"TF401027.*'CreateRepository'") as caught:
            await ensure_repository(api)
    assert (caught.value.status, caught.value.key) == (403, "GitNeedsPermissionException")


async def test_a_project_that_is_not_there(emulator: Emulator) -> None:
    """It is not made; exit 7."""
    async with client(emulator, project="NOWHERE") as api:
        with pytest.raises(NotThere, match="TF200016") as caught:
            await ensure_repository(api)
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("token", ["wrong", "none"])
async def test_credentials_that_are_not_taken(emulator: Emulator, token: str) -> None:
    """A wrong token answers 401, none leads to a page for people: both are exit 6, and neither is tried again."""
    async with client(emulator, token=token) as api:
        with pytest.raises(AuthenticationError) as caught:
            await who_am_i(api)
    assert (caught.value.exit_code, emulator.requests()["azuredevops"]) == (6, {"401": 1})


async def test_nothing_in_the_way(emulator: Emulator) -> None:
    """An ordinary repository and an ordinary identity."""
    async with client(emulator) as api:
        repository = await find_repository(api)
        assert repository is not None
        assert await find_obstacles(api, repository) == []


async def test_everything_in_the_way_is_named(emulator: Emulator) -> None:
    """A missing right and a policy refuse, a rule on files and push protection may; each with what to do."""
    emulator.azure_devops(push_protection=True, rights={"GenericContribute": False})
    policies = {
        "0609b952-1397-4640-95ec-e00a01b2c241": [{"refName": "refs/heads/ma", "matchKind": "Prefix"}],
        "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd": [{"refName": "refs/heads/main", "matchKind": "Exact"}],
        "2e26e725-8201-4edd-8bf5-978563c34a80": [{"repositoryId": None}],
    }
    async with client(emulator) as api:
        for kind, scope in policies.items():
            body = {"type": {"id": kind}, "isEnabled": True, "isBlocking": True, "settings": {"scope": scope}}
            await api.send("POST", f"{api.address.project_url}/_apis/policy/configurations", body, api="7.1")
        repository = await find_repository(api)
        assert repository is not None
        found = await find_obstacles(api, repository)
    refusing = [Weight.REFUSES, Weight.REFUSES, Weight.MAY_REFUSE, Weight.MAY_REFUSE]
    assert [obstacle.weight for obstacle in found] == refusing
    said = " ".join(f"{obstacle.what} {obstacle.hint}" for obstacle in found)
    for words in (
        "'Contribute'",
        "Minimum number of reviewers",
        "'Bypass policies when pushing'",
        "File size",
        "secrets",
    ):
        assert words in said
    assert "Build" not in said


async def test_who_is_exempt_from_policies_meets_none(emulator: Emulator) -> None:
    """The same policy is no obstacle for an identity that may bypass it."""
    scope = [{"refName": "refs/heads/main", "matchKind": "Exact"}]
    body = {"type": {"id": "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd"}, "settings": {"scope": scope}}
    emulator.azure_devops(rights={"PolicyExempt": True})
    async with client(emulator) as api:
        await api.send("POST", f"{api.address.project_url}/_apis/policy/configurations", body, api="7.1")
        repository = await find_repository(api)
        assert repository is not None
        assert await find_obstacles(api, repository) == []
    emulator.azure_devops(rights={"PolicyExempt": False})


async def test_its_rate_limit_is_obeyed(emulator: Emulator) -> None:
    """A pause is as long as Retry-After says, and the call is made again."""
    clock = FakeClock()
    emulator.faults(
        {"kind": "status", "status": 429, "retry_after": 7, "match": {"endpoint": "azuredevops", "times": 2}}
    )
    async with client(emulator, clock=clock) as api:
        assert str(await who_am_i(api)) == "backup@clients.example"
    assert clock.slept == [7.0, 7.0]


async def test_a_pause_that_is_too_long_is_told(emulator: Emulator) -> None:
    """Nobody waits for ten minutes without a word."""
    clock = FakeClock()
    emulator.faults({"kind": "status", "status": 429, "retry_after": 600, "match": {"endpoint": "azuredevops"}})
    async with client(emulator, clock=clock) as api:
        with pytest.raises(AzureDevOpsError, match="600 s"):
            await who_am_i(api)
    assert clock.slept == []


@pytest.mark.parametrize(
    "fault", [{"kind": "status", "status": 503}, {"kind": "drop"}, {"kind": "drop", "when": "mid-body"}]
)
async def test_a_service_that_stumbles(emulator: Emulator, fault: dict[str, object]) -> None:
    """A question is asked again, a little later each time; a change is not asked for twice in the dark."""
    clock = FakeClock()
    emulator.faults({**fault, "match": {"endpoint": "azuredevops", "times": 2}})
    async with client(emulator, clock=clock) as api:
        assert (await who_am_i(api)).name
    # aiohttp itself repeats a question whose connection was closed without a word, once.
    assert clock.slept == ([1.0] if fault == {"kind": "drop"} else [1.0, 2.0])
    if fault["kind"] == "drop":
        emulator.faults({**fault, "match": {"endpoint": "azuredevops", "times": 1}})
        async with client(emulator, "dark", clock=clock) as api:
            with pytest.raises(AzureDevOpsError, match="does not answer"):
                await api.send("POST", f"{api.address.project_url}/_apis/git/repositories", {"name": "dark"}, api="7.1")
