"""What tests of commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, final

import pytest

from netlang.cli import run


@final
@dataclass(frozen=True)
class Result:
    """What a command line led to."""

    code: int
    out: str
    err: str


Netlang: TypeAlias = Callable[..., Result]


@pytest.fixture
def netlang(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Netlang:
    """Run a command line in this process; nothing it prints is colored."""
    for name in ("NO_COLOR", "FORCE_COLOR", "NETLANG_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        code = run([str(item) for item in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call
