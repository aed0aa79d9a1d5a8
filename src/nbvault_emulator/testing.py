"""An emulator for tests and demos: started by a `with` statement, changed over its own admin API."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast
from urllib.parse import quote, urlsplit

from nbvault_emulator.options import EmulatorOptions
from nbvault_emulator.server import Ready, Site, serve


class EmulatorError(Exception):
    """The admin API refused, or the emulator did not start."""


class Admin:
    """The admin API of an emulator that runs already, wherever it was started."""

    def __init__(self, admin_url: str) -> None:
        self.admin_url = admin_url

    def edit(self, path: str, content: str | bytes, editor: str = "", **more: Any) -> dict[str, Any]:
        """A person edits a notebook (``interactive=False``: a program does)."""
        who = {"editor": editor} if editor else {}
        return self._change("edit", {"path": path, **_carried(content), **who, **more})

    def create(self, path: str, content: str | bytes | None = None, **more: Any) -> dict[str, Any]:
        """A person creates an object (by default a Python notebook, with nothing in it); parents are made."""
        return self._change("create", {"path": path, **({} if content is None else _carried(content)), **more})

    def delete(self, path: str, *, recursive: bool = True) -> dict[str, Any]:
        """A person deletes an object."""
        return self._change("delete", {"path": path, "recursive": recursive})

    def move(self, start: str, to: str) -> dict[str, Any]:
        """A person moves or renames an object; its id and its times stay."""
        return self._change("move", {"from": start, "to": to})

    def batch(self, operations: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Many changes at once, each ``{"op": ..., ...}``."""
        result: list[dict[str, Any]] = self.call("POST", "/batch", [dict(one) for one in operations])
        return result

    def user(self, name: str, **more: Any) -> dict[str, Any]:
        """Make or change a person: ``emails=[]``, ``deleted=True``, ``displayName=...``, ``groups=[]``."""
        return self._change("user", {"userName": name, **more})

    def user_token(self, name: str) -> str:
        """A token of a person's own for the workspace."""
        return str(self._change("user-token", {"userName": name})["token"])

    def audit(self, **rules: Any) -> dict[str, Any]:
        """Let the workspace keep an audit table from now on (`audit_log.DEFAULTS`); where it is to be found."""
        return self._change("audit", rules)

    def warehouse(self, number: str, **more: Any) -> None:
        """Make or change a SQL warehouse: ``state="STOPPED"`` or ``"DELETED"``, ``users=["ann@x"]``."""
        self._change("warehouse", {"id": number, **more})

    def securable(self, name: str, **more: Any) -> None:
        """Make or change a catalog, schema or table: ``grants={"ann@x": ["USE_SCHEMA"]}``, ``owner``, ``missing``."""
        self._change("securable", {"name": name, **more})

    def job(self, name: str, *, creator: str = "", **settings: Any) -> int:
        """Make a job; returns its id."""
        by = {"creator": creator} if creator else {}
        made = self._change("job", {"settings": {"name": name, **settings}, **by})
        return int(made["job_id"])

    def job_permissions(self, job: int, **levels: str) -> None:
        """Who may do what with a job besides its owner: ``users="CAN_VIEW"`` (a group), or a person's name."""
        acl = [(name, "user_name" if "@" in name else "group_name", level) for name, level in levels.items()]
        self._change("job-permissions", {"job_id": job, "acl": acl, "replace": True})

    def job_run(self, job: int, result: str = "") -> None:
        """A run of a job that ended with ``SUCCESS``, ``FAILED``, ...; without a result it still runs."""
        self._change("job-run", {"job_id": job} | ({"result_state": result} if result else {}))

    def faults(self, *faults: Mapping[str, Any]) -> None:
        """Put these faults in force instead of the present ones; none clears them."""
        self.call("POST", "/faults", [dict(one) for one in faults])

    def world(
        self, path: str = "/", *, content: bool = False, everything: bool = False, brief: bool = False
    ) -> list[dict[str, Any]]:
        """All notebooks below a path (``everything``: all objects): path, object_id, sha256 of the SOURCE.

        ``brief`` leaves the sum and all else out that must be made from the source: of a large world, in seconds.
        """
        query = f"?path={quote(path)}&content={int(content)}&all={int(everything)}&brief={int(brief)}"
        result: list[dict[str, Any]] = self.call("GET", "/world" + query)
        return result

    def repository(self, name: str) -> str:
        """Make an empty repository on the Git server; returns its URL."""
        made = self._change("repository", {"name": name})
        return urlsplit(self.admin_url)._replace(path=made["path"]).geturl()

    def requests(self) -> dict[str, dict[str, int]]:
        """Counts by endpoint and status since the start or the last reset."""
        result: dict[str, dict[str, int]] = self.call("GET", "/requests")
        return result

    def azure_devops(self, **changes: Any) -> None:
        """Change the organisation: ``rights={"PolicyExempt": True}``, ``push_protection=True``, ``first_pat=False``,
        ``service_principals={"id": {"secret": "...", "lifetime_s": 5}}``, ``ahead_s=4000`` (the clock by which tokens
        expire); dictionaries are merged.
        """
        self._change("azuredevops", changes)

    def entra_token(self, *, lifetime_s: float = 3600, subject: str = "backup-principal") -> str:
        """A token for Azure DevOps, as Microsoft Entra would give one."""
        return str(self._change("token", {"lifetime_s": lifetime_s, "subject": subject})["token"])

    def traffic(self) -> dict[str, dict[str, int]]:
        """Bytes of bodies by endpoint since the start or the last reset: ``received`` (Git only) and ``sent``."""
        result: dict[str, dict[str, int]] = self.call("GET", "/traffic")
        return result

    def reset_requests(self) -> None:
        """All counts to zero."""
        self.call("POST", "/requests/reset", {})

    def _change(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self.call("POST", f"/{name}", body)
        return result

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A request to the admin API.

        Raises:
            EmulatorError: it refuses.
        """
        where = urlsplit(self.admin_url)
        connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=120)
        with contextlib.closing(connection):
            sent = None if body is None else json.dumps(body).encode()
            connection.request(method, where.path + path, sent)
            answer = connection.getresponse()
            text = answer.read()
        if answer.status != 200:
            raise EmulatorError(f"{method} {path}: {answer.status} {text.decode('utf-8', 'replace')}")
        return json.loads(text)


class Emulator(Admin):
    """A running emulator.

    With ``in_process`` it serves from a thread of this process (starts in some milliseconds); otherwise it is a process
    of its own, as users start it. ``world`` replaces the generated world by these objects; ``faults`` are in force from
    the start. After the `with` statement nothing of it is left, except what is in ``git_dir`` and ``data``.
    """

    def __init__(
        self,
        *,
        notebooks: int = 200,
        years: int = 2,
        engagements: int = 3,
        seed: int = 1,
        root: str = "/Clients",
        oversize: int = 0,
        world: Iterable[Mapping[str, Any]] | None = None,
        faults: Iterable[Mapping[str, Any]] = (),
        latency_ms: int = 0,
        export_rate: float = 0,
        list_rate: float = 0,
        import_rate: float = 0,
        git_dir: Path | None = None,
        data: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        workers: int = 1,
        in_process: bool = True,
    ) -> None:
        super().__init__("")
        self._temporary = Path(tempfile.mkdtemp(prefix="nbvault-emulator-test-"))
        self._in_process = in_process and workers == 1
        self._runner: _Thread | _Process | None = None
        self.git_dir = git_dir or (data / "git" if data is not None else self._temporary / "git")
        self._options = EmulatorOptions(
            host=host,
            port=port,
            world=self._write("world.jsonl", "".join(json.dumps(dict(one)) + "\n" for one in world))
            if world is not None
            else None,
            notebooks=notebooks,
            years=years,
            engagements=engagements,
            seed=seed,
            root=root,
            oversize=oversize,
            latency_ms=latency_ms,
            export_rate=export_rate,
            list_rate=list_rate,
            import_rate=import_rate,
            faults=self._write("faults.json", json.dumps([dict(one) for one in faults])) if faults else None,
            git_dir=self.git_dir,
            data=data,
            workers=workers,
        )

    def _write(self, name: str, text: str) -> Path:
        path = self._temporary / name
        path.write_text(text, encoding="utf-8")
        return path

    def __enter__(self) -> Emulator:
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self._temporary, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._temporary, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The process that serves: of its own, or this one.

        Raises:
            EmulatorError: it does not serve.
        """
        if self._runner is None:
            raise EmulatorError("the emulator is not running")
        return self._runner.pid

    def start(self) -> None:
        """Start to serve; does nothing while it serves.

        Raises:
            EmulatorError: the process ended before it was ready.
            OSError: the port is taken, or a directory cannot be made.
            ValueError: the world or the faults are malformed.
        """
        if self._runner is not None:
            return
        self.git_dir.mkdir(parents=True, exist_ok=True)
        self._runner = _Thread(self._options) if self._in_process else _Process(self._options)
        ready = self._runner.ready
        self.workspace_url, self.workspace_token = ready.workspace_url, ready.workspace_token
        self.git_url, self.git_token, self.admin_url = ready.git_url, ready.git_token, ready.admin_url

    def stop(self) -> None:
        """Stop to serve; what was in memory only is lost."""
        if self._runner is not None:
            self._runner.stop()
            self._runner = None


def _carried(content: str | bytes) -> dict[str, str]:
    if isinstance(content, str):
        return {"content": content}
    return {"content_base64": base64.b64encode(content).decode()}


class _Thread:
    """An emulator on a thread of its own, with its own event loop."""

    pid = os.getpid()

    def __init__(self, options: EmulatorOptions) -> None:
        self._site = Site(options)
        self.ready = self._site.ready
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="nbvault-emulator", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(serve(self._site, self._site.sockets[0], self._stop))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._site.close()


class _Process:
    """An emulator as a process."""

    def __init__(self, options: EmulatorOptions) -> None:
        command = [sys.executable, "-m", "nbvault_emulator", *flags(options)]
        # This very package, also where it is not installed but found on the path of this process.
        search = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": search})
        self._output = cast(IO[bytes], self._process.stdout)
        line = self._output.readline()
        if not line:
            raise EmulatorError(f"the emulator ended with {self._process.wait()} before it was ready")
        self.ready = Ready(**json.loads(line))
        self.pid = self._process.pid

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._output.close()
        status = self._process.wait(timeout=30)
        if status:
            raise EmulatorError(f"the emulator ended with {status}")


def flags(options: EmulatorOptions) -> list[str]:
    """The command line that gives these options."""
    result: list[str] = []
    for name in options.__slots__:
        value = getattr(options, name)
        if value is not None:
            result += [f"--{name.replace('_', '-')}", str(value)]
    return result
