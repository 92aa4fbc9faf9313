"""SIGTERM and SIGINT ask a run to stop at the end of its iteration; the second of them ends the process at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any, Final, final

HANDLED: Final = (signal.SIGTERM, signal.SIGINT)


@final
class StopRequest:
    """While entered, `signal` is the number of the signal that asked to stop, or None. Does nothing outside the main thread."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in HANDLED:
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number
