"""What people do on the page, for locust: fifty look around, ten restore. Started by `benchmarks.web`."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from locust import HttpUser, between, task

PLAN: dict[str, Any] = json.loads(Path(os.environ["NBVAULT_BENCH_PLAN"]).read_text("utf-8"))
WORDS = ("etl", "load", "2024", "eng", "report", "00", "clean", "model")


class Person(HttpUser):
    """Somebody who has signed in through the proxy, with a token of their own."""

    abstract = True
    wait_time = between(0.5, 2)

    def on_start(self) -> None:
        self.paths: list[str] = PLAN["paths"]
        self.client.headers["X-Forwarded-Access-Token"] = PLAN["tokens"].pop()
        self.csrf = self.client.get("/api/me").json()["csrf"]

    def any_path(self) -> str:
        return random.choice(self.paths)


class Reader(Person):
    """Looks around."""

    weight = 50

    @task(4)
    def search(self) -> None:
        self.client.get("/notebooks", params={"q": random.choice(WORDS)}, name="/notebooks?q=")

    @task(4)
    def type_ahead(self) -> None:
        self.client.get("/api/notebooks", params={"q": random.choice(WORDS)}, name="/api/notebooks")

    @task(2)
    def home(self) -> None:
        self.client.get("/")
        self.client.get("/api/metrics")

    @task(2)
    def tree(self) -> None:
        folder = self.any_path().rpartition("/")[0]
        self.client.get("/notebooks", params={"folder": folder}, name="/notebooks?folder=")

    @task(4)
    def notebook(self) -> None:
        self.client.get("/notebook", params={"path": self.any_path()}, name="/notebook")

    @task(3)
    def version(self) -> None:
        self.client.get("/version", params={"path": self.any_path()}, name="/version")

    @task(2)
    def compare(self) -> None:
        self.client.get("/compare", params={"path": self.any_path()}, name="/compare")

    @task(1)
    def blame(self) -> None:
        self.client.get("/blame", params={"path": self.any_path()}, name="/blame")

    @task(1)
    def sessions(self) -> None:
        self.client.get("/sessions")

    @task(1)
    def changes(self) -> None:
        self.client.get("/changes")


class Restorer(Person):
    """Restores a copy, looks at its task until it has ended, begins again."""

    weight = 10

    @task
    def restore(self) -> None:
        headers = {"X-CSRF-Token": self.csrf}
        to = f"/Users/bench/{random.getrandbits(48):x}/copy"
        asked = {"paths": [self.any_path()], "to": to}
        plan = self.client.post("/api/restores", json=asked, headers=headers, name="POST /api/restores").json()
        if self._ended(plan["task"]) != "done":
            return
        done = self.client.post(f"/api/tasks/{plan['task']}/apply", headers=headers, name="POST /api/tasks/*/apply")
        self._ended(done.json()["task"])

    def _ended(self, name: str) -> str:
        while True:
            told = self.client.get(f"/api/tasks/{name}", name="/api/tasks/*").json()
            if told["stage"] in ("done", "failed"):
                stage: str = told["stage"]
                return stage
            self.wait()
