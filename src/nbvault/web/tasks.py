"""What takes long: answered at once, done in a thread, looked at by its owner until an hour after its end."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from nbvault.clock import Clock, iso
from nbvault.errors import NbvaultError
from nbvault.web.refusals import Refusal

KEPT_S = 3600.0
KEPT = 1000
AT_ONCE = 12
EACH_AT_ONCE = 5

_log = logging.getLogger(__name__)


class Kind(str, Enum):
    """What a task does."""

    PLAN = "plan"
    RESTORE = "restore"
    COMPARE = "compare"
    SEARCH = "search"


class Stage(str, Enum):
    """How far a task is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class TooMany(Refusal):
    """This person has enough under way."""

    status = 429


@dataclass(slots=True)
class Task:
    """Something under way, or ended. `total` is 0 while it is not known.

    `about` are the notebooks that its result names, as (path, object id; 0 where none is known): whoever looks at it
    must still be allowed to see them.
    """

    id: str
    owner: str
    kind: Kind
    title: str
    began: datetime
    stage: Stage = Stage.WAITING
    done: int = 0
    total: int = 0
    words: str = ""
    result: Any = None
    error: str = ""
    hint: str = ""
    ended: datetime | None = None
    about: Sequence[tuple[str, int]] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    used: bool = False
    _ended_s: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.stage in (Stage.DONE, Stage.FAILED)

    def as_json(self) -> dict[str, Any]:
        """As the API tells it, without its result."""
        return {
            "task": self.id,
            "kind": self.kind.value,
            "title": self.title,
            "stage": self.stage.value,
            "done": self.done,
            "total": self.total,
            "words": self.words,
            "began": iso(self.began),
            "ended": iso(self.ended) if self.ended else None,
            "error": self.error or None,
            "hint": self.hint or None,
        }


class Tasks:
    """All tasks of this process."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._all: OrderedDict[str, Task] = OrderedDict()
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="nbvault-task")

    def start(
        self,
        owner: str,
        kind: Kind,
        title: str,
        work: Callable[[Task], Any],
        *,
        given: Mapping[str, Any] | None = None,
    ) -> Task:
        """Begin; ``work`` is given the task, to tell how far it is, and returns its result.

        Raises:
            TooMany: this person has several under way.
        """
        task = Task(secrets.token_urlsafe(16), owner, kind, title, self._clock.now(), given=given or {})
        with self._lock:
            self._forget_old()
            if sum(not each.is_over for each in self._all.values() if each.owner == owner) >= EACH_AT_ONCE:
                raise TooMany(
                    f"You have {EACH_AT_ONCE} tasks under way.", hint="Wait until one has ended, then try again."
                )
            self._all[task.id] = task
        self._pool.submit(self._run, task, work)
        return task

    def find(self, owner: str, task_id: str) -> Task | None:
        """Somebody's own task."""
        found = self._all.get(task_id)
        return found if found and found.owner == owner else None

    def of(self, owner: str) -> list[Task]:
        """Somebody's tasks, the newest first."""
        with self._lock:
            return [each for each in reversed(self._all.values()) if each.owner == owner]

    def use(self, task: Task) -> bool:
        """Whether this is the first time that its result is put to use."""
        with self._lock:
            first, task.used = not task.used, True
        return first

    def close(self) -> None:
        """Begin nothing more, and wait for what runs; what only reads looks at `closing` and ends early."""
        self.closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, task: Task, work: Callable[[Task], Any]) -> None:
        task.stage = Stage.RUNNING
        try:
            task.result = work(task)
            stage = Stage.DONE
        except NbvaultError as error:
            task.error, task.hint, stage = error.message, error.hint, Stage.FAILED
        except Exception:  # noqa: BLE001 - nobody else would hear of it
            _log.exception("A task failed.")
            task.error, task.hint = "Something went wrong inside nbvault.", "The server's log has the details."
            stage = Stage.FAILED
        task.ended, task._ended_s = self._clock.now(), self._clock.monotonic()
        task.stage = stage

    def _forget_old(self) -> None:
        now_s = self._clock.monotonic()
        over = [each for each in self._all.values() if each.is_over]
        old = [each for each in over if now_s - each._ended_s > KEPT_S] + over[: max(len(self._all) - KEPT, 0)]
        for each in old:
            self._all.pop(each.id, None)
