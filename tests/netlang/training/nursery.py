"""A process that has loaded torch and starts runs as its children, so that a test can kill many of them in a second.

Reads one JSON object a line, with `spec`, `folder`, `resume`, `save_every` and `sleep_at` (the iteration after which it does nothing for
a minute); answers with the child's process id, and with its wait status once it has ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, final

import torch

from compiler.diagnostics import SpecError
from compiler.front.checked import check
from netlang.data import READERS
from netlang.training import StepRecord, Stopped, train

ROOT = Path(__file__).parents[3]


def run_child(task: dict[str, Any]) -> int:
    """The exit code that a command line would give."""
    code = 0
    checked = check(task["spec"], readers=READERS)
    try:
        for record in train(checked, folder=Path(task["folder"]), resume=task["resume"], threads=1, save_every=task["save_every"]):
            if isinstance(record, Stopped):
                code = 128 + record.signal
            if isinstance(record, StepRecord) and record.iteration == task["sleep_at"]:
                sleep_long()
    except SpecError as error:
        print(error, file=sys.stderr)
        code = 1
    return code


def sleep_long() -> None:
    """A minute, through whatever signals come."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.01)


def serve() -> None:
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])  # the first optimizer loads half of torch
    for line in sys.stdin:
        task = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(run_child(task))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(status, flush=True)


@final
class Nursery:
    """The test's side: starts runs one after another."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        )

    def start(self, spec: Path, folder: Path, *, resume: bool, save_every: int | None = None, sleep_at: int = -1) -> int:
        """The process id of a new run; `wait` is to be called before the next."""
        assert self._process.stdin is not None
        task = {"spec": str(spec), "folder": str(folder), "resume": resume, "save_every": save_every, "sleep_at": sleep_at}
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return int(self._read())

    def wait(self) -> int:
        """The run's exit code, negative where a signal killed it."""
        return os.waitstatus_to_exitcode(int(self._read()))

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


if __name__ == "__main__":
    serve()
