"""What people do on the page, for locust: fifty look around, ten restore. Started by `benchmarks.web`.

Everybody comes for the first time, and so is asked about in the workspace. A reader opens a page every 5 to 15 seconds;
who searches types four letters, one every 0.3 seconds, and the page asks at each; a restorer looks at a plan for 3 to 8
seconds before confirming, and their browser asks for a task's progress every 0.7 seconds, as the page does.

A page that answers 202 is not done: it says how far it is. The browser asks again after 0.15 seconds, a program after
one. What it waited for the first answer is counted under the page's own name; until it was whole, be that the first
answer or a later one, under the name with *, whole*.
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

from locust import HttpUser, between, task

PLAN: dict[str, Any] = json.loads(Path(os.environ["NBVAULT_BENCH_PLAN"]).read_text("utf-8"))
WORDS = ("ledger", "payroll", "reconcile", "clean", "ingest", "eng-10", "2024 load", "journals")
_AGAIN_S = 0.15
_API_AGAIN_S = 1.0
_TASK_S = 0.7
_LONGEST_S = 60.0


class Person(HttpUser):
    """Somebody who has signed in through the proxy, with a token of their own."""

    abstract = True
    wait_time = between(5, 15)

    def on_start(self) -> None:
        self.paths: list[str] = PLAN["paths"]
        self.client.headers["X-Forwarded-Access-Token"] = PLAN["tokens"].pop()
        self.csrf = self.client.get("/api/me", name="/api/me, first time").json()["csrf"]

    def any_path(self) -> str:
        return random.choice(self.paths)

    def look(self, address: str, name: str = "", **query: str) -> Any:
        """Open a page; where it says that it is not done, ask again until it is."""
        name, began = name or address, time.monotonic()
        answer = self.client.get(address, params=query, name=name)
        while answer.status_code == 202 and time.monotonic() - began < _LONGEST_S:
            time.sleep(_API_AGAIN_S if address.startswith("/api/") else _AGAIN_S)
            answer = self.client.get(address, params=query, name=f"{name}, asked again")
        took_ms = (time.monotonic() - began) * 1000
        late = None if answer.status_code == 200 else TimeoutError(f"it ended with {answer.status_code}")
        self.environment.events.request.fire(
            request_type="GET", name=f"{name}, whole", response_time=took_ms, response_length=0, exception=late
        )
        return answer

    def ended(self, name: str) -> str:
        """Follow a task to its end."""
        while True:
            told = self.client.get(f"/api/tasks/{name}", name="/api/tasks/*").json()
            if told["stage"] in ("done", "failed"):
                stage: str = told["stage"]
                return stage
            time.sleep(_TASK_S)


class Reader(Person):
    """Looks around."""

    weight = 50

    @task(4)
    def search(self) -> None:
        word = random.choice(WORDS)
        for letters in range(3, min(len(word), 6) + 1):
            self.look("/notebooks", "/notebooks?q=", q=word[:letters])
            time.sleep(0.3)

    @task(2)
    def filtered(self) -> None:
        chosen = random.choice([{"year": "2024"}, {"language": "SQL"}, {"editor": "person 1"}, {"state": "deleted"}])
        self.look("/notebooks", "/notebooks?filter=", **chosen)

    @task(1)
    def search_api(self) -> None:
        self.look("/api/notebooks", q=random.choice(WORDS))

    @task(2)
    def home(self) -> None:
        self.look("/")
        self.look("/api/metrics")

    @task(2)
    def tree(self) -> None:
        folder = self.any_path()
        for _ in range(random.randrange(1, 4)):
            folder = folder.rpartition("/")[0]
        self.look("/notebooks", "/notebooks?folder=", folder=folder)

    @task(4)
    def notebook(self) -> None:
        path = self.any_path()
        self.look("/notebook", path=path)
        self.wait()
        self.look("/compare", path=path)

    @task(3)
    def version(self) -> None:
        path = self.any_path()
        history = self.look("/api/history", path=path).json()
        self.look("/version", path=path, at=random.choice(history)["commit"])

    @task(1)
    def blame(self) -> None:
        self.look("/blame", path=self.any_path())

    @task(1)
    def download(self) -> None:
        self.look("/download", path=self.any_path())

    @task(1)
    def sessions(self) -> None:
        self.look("/sessions")
        newest = self.look("/api/sessions").json()[0]["session"]
        self.look(f"/sessions/{newest}", "/sessions/*")

    @task(1)
    def changes(self) -> None:
        self.look("/changes", since=PLAN["day"], name="/changes, a day")

    @task(1)
    def week(self) -> None:
        self.look("/changes", name="/changes, a week")


class Restorer(Person):
    """Restores a copy, looks at its task until it has ended, begins again."""

    weight = 10

    @task(3)
    def restore(self) -> None:
        headers = {"X-CSRF-Token": self.csrf}
        to = f"/Users/bench/{random.getrandbits(48):x}/copy"
        asked = {"paths": [self.any_path()], "to": to}
        plan = self.client.post("/api/restores", json=asked, headers=headers, name="POST /api/restores").json()
        if self.ended(plan["task"]) != "done":
            self.environment.events.request.fire(
                request_type="TASK", name="plan", response_time=0, response_length=0, exception=ValueError(str(plan))
            )
            return
        time.sleep(random.uniform(3, 8))
        began = time.monotonic()
        done = self.client.post(f"/api/tasks/{plan['task']}/apply", headers=headers, name="POST /api/tasks/*/apply")
        good = self.ended(done.json()["task"]) == "done"
        self.environment.events.request.fire(
            request_type="TASK",
            name="a restore, from confirmed to proven",
            response_time=(time.monotonic() - began) * 1000,
            response_length=0,
            exception=None if good else ValueError(done.text),
        )

    @task(1)
    def receipts(self) -> None:
        self.look("/restores")
        self.look("/tasks")
