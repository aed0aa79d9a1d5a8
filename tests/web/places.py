"""A small workspace with several people in it, its vault, and the page over both: a real server on a real socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from nbvault.settings import load_settings
from nbvault.web.app import create_app
from nbvault.web.signing import LocalSignIn
from nbvault.web.site import Site
from nbvault_emulator.testing import Emulator
from recovery.places import ANN, BOB, ROOT, Desk

PROXY = {"NBVAULT_WEB__SIGN_IN": "proxy", "NBVAULT_WEB__PROXIES": "127.0.0.1"}
SECRET = "/2025/ENG-SECRET/NOTEBOOKS"
OPEN = "/2025/ENG-OPEN/NOTEBOOKS"
MARK = "kestrel"
"""A word that is in the names of the secret notebooks only."""
TEXT = "peregrine"
"""A word that is in the texts of the secret notebooks only."""
ETL = f"{ROOT}{OPEN}/etl"
MOVED = f"{ROOT}{OPEN}/load"


def fill(desk: Desk) -> None:
    """Three days of a workspace: an open engagement and a secret one, edits, a rename, a deletion."""
    desk.write(f"{OPEN}/etl", "rows = 1\n\n# COMMAND ----------\n\nprint('first')")
    desk.write(f"{OPEN}/keep", "kept = True")
    desk.write(f"{OPEN}/gone", "gone = 'soon'")
    desk.write(f"{OPEN}/plan", "plan = 1")
    desk.write(f"{SECRET}/{MARK}_prices", f"price = '{TEXT}'", editor=BOB)
    desk.write(f"{SECRET}/{MARK}_gone", f"gone = '{TEXT}'", editor=BOB)
    desk.write(f"{OPEN}/wanderer", f"moved = '{TEXT}'", editor=BOB)
    desk.sync()
    desk.write(f"{OPEN}/etl", "rows = 2\n\n# COMMAND ----------\n\nprint('second')", editor=BOB)
    desk.write(f"{SECRET}/{MARK}_prices", f"price = '{TEXT}' * 2", editor=BOB)
    desk.delete(f"{OPEN}/gone")
    desk.delete(f"{SECRET}/{MARK}_gone")
    desk.move(f"{OPEN}/wanderer", f"{SECRET}/{MARK}_wanderer")
    desk.sync()
    desk.move(f"{OPEN}/etl", f"{OPEN}/load")
    desk.sync()


def hide(emulator: Emulator, *people: str) -> None:
    """The secret engagement is hidden from these people; from then on the workspace says 404 to them."""
    place = ROOT + SECRET.removesuffix("/NOTEBOOKS")
    emulator.faults(*({"kind": "hole", "path": place, "user": who} for who in people))


@dataclass
class Browser:
    """Somebody's HTTP client."""

    client: httpx.Client
    csrf: str = ""

    def get(self, address: str, /, **query: Any) -> httpx.Response:
        return self.client.get(address, params=query or None)

    def json(self, address: str, /, **query: Any) -> Any:
        answer = self.get(address, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def sign_in(self) -> Browser:
        """Remember the token that forms need."""
        self.csrf = self.json("/api/me")["csrf"]
        return self

    def post(self, path: str, body: Any) -> httpx.Response:
        """A request of the API."""
        return self.client.post(path, json=body, headers={"X-CSRF-Token": self.csrf})

    def submit(self, address: str, /, **form: Any) -> httpx.Response:
        """A form, as a page would send it."""
        return self.client.post(address, data={"csrf": self.csrf, **form})

    def ended(self, answer: httpx.Response) -> dict[str, Any]:
        """The task that an answer began, when it is over."""
        if answer.status_code == 303:
            name = answer.headers["location"].rpartition("/")[2]
        else:
            assert answer.status_code == 202, answer.text
            name = answer.json()["task"]
        return until(lambda: over(self.json(f"/api/tasks/{name}")))

    def restore(self, *paths: str, **more: Any) -> dict[str, Any]:
        """Plan and carry out; the receipt."""
        plan = self.ended(self.post("/api/restores", {"paths": list(paths), **more}))
        assert plan["stage"] == "done", plan
        done = self.ended(self.post(f"/api/tasks/{plan['task']}/apply", None))
        assert done["stage"] == "done", done
        receipt: dict[str, Any] = done["result"]
        return receipt


def over(task: dict[str, Any]) -> dict[str, Any] | None:
    return task if task["stage"] in ("done", "failed") else None


def until(look: Callable[[], Any], *, within_s: float = 60) -> Any:
    """What ``look`` gives as soon as it gives something; a real server has real threads to wait for."""
    ends, pause = time.monotonic() + within_s, threading.Event()
    while time.monotonic() < ends:
        if found := look():
            return found
        pause.wait(0.05)
    raise AssertionError("it did not come about in time")


@dataclass
class Page:
    """A running page."""

    site: Site
    url: str
    hosts: frozenset[str]
    app: Any
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self, **headers: str) -> Browser:
        """A client that is nobody yet."""
        made = httpx.Client(base_url=self.url, headers=headers, timeout=60)
        self.clients.append(made)
        return Browser(made)

    def local(self) -> Browser:
        """Who follows the printed link."""
        browser = self.client()
        assert isinstance(self.site.signs_in, LocalSignIn)
        assert browser.get("/enter", key=self.site.signs_in.key).status_code == 303
        return browser.sign_in()

    def person(self, token: str) -> Browser:
        """Who comes through the proxy with a token of the workspace."""
        return self.client(**{"X-Forwarded-Access-Token": token}).sign_in()

    def refreshed(self) -> None:
        """The page has seen what the vault has now."""
        self.site.warm.refresh()
        self.site.watch.look()


@contextmanager
def serving(desk: Desk, **variables: str) -> Iterator[Page]:
    """The page over a desk's vault, in this process."""
    # On a busy machine, too, tests want the whole answer, and on a quick one they ask faster than people; those of
    # patience and of the limit itself set it.
    unhurried = {"NBVAULT_WEB__PATIENCE_S": "60", "NBVAULT_WEB__REQUESTS_PER_SECOND": "0"}
    settings = load_settings(environment={**desk.environment(), **unhurried, **variables}, cwd=desk.folder)
    site = Site.of(settings)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    name = f"127.0.0.1:{listening.getsockname()[1]}"
    hosts = frozenset({name})
    app = create_app(site, hosts=hosts, https=False)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_config=None, proxy_headers=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    page = Page(site, f"http://{name}", hosts, app)
    try:
        until(lambda: server.started)
        until(lambda: site.watch.seen.health)
        yield page
    finally:
        for client in page.clients:
            client.close()
        server.should_exit = True
        thread.join()
        listening.close()


def sums(emulator: Emulator) -> dict[str, str]:
    """What the workspace holds, by path."""
    return {each["path"]: each["sha256"] for each in emulator.world(ROOT)}


def desk_in(folder: Path, emulator: Emulator) -> Desk:
    folder.mkdir(parents=True, exist_ok=True)
    return Desk(emulator, folder)


__all__ = ["ANN", "BOB", "ETL", "MARK", "MOVED", "OPEN", "PROXY", "ROOT", "SECRET", "TEXT", "Desk", "Page"]
