"""Answers that are kept for whoever asks the same again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """The last answers by their question; safe to use from several threads. What several want at once is made once.

    Args:
        worth: Whether an answer is to be kept.
    """

    def __init__(self, most: int, *, worth: Callable[[T], bool] = lambda _: True) -> None:
        self._most = most
        self._worth = worth
        self._known: OrderedDict[Any, T] = OrderedDict()
        self._making: dict[Any, Future[T]] = {}
        self._lock = threading.Lock()

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """What is known, or is made now."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
            making = self._making.get(key)
            own = making is None
            if making is None:
                making = self._making[key] = Future()
        return self._make(key, make, making) if own else making.result()

    def put(self, key: Any, made: T) -> T:
        """Keep what somebody else has made, if it is worth that; returns it."""
        with self._lock:
            self._keep(key, made)
        return made

    def peek(self, key: Any) -> T | None:
        """What is known."""
        with self._lock:
            return self._known.get(key)

    def _make(self, key: Any, make: Callable[[], T], making: Future[T]) -> T:
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                del self._making[key]
            making.set_exception(error)
            raise
        with self._lock:
            del self._making[key]
            self._keep(key, made)
        making.set_result(made)
        return made

    def _keep(self, key: Any, made: T) -> None:
        if self._worth(made):
            self._known[key] = made
        while len(self._known) > self._most:
            self._known.popitem(last=False)
