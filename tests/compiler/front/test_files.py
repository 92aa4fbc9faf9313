"""Guard A1: what is no regular, small UTF-8 text is refused at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.diagnostics.record import SpecError
from compiler.diagnostics.render import render_text
from compiler.front.yaml import read_source


def refusal(path: str | Path) -> SpecError:
    began = time.process_time()
    with pytest.raises(SpecError) as caught:
        read_source(path)
    assert time.process_time() - began < 0.1
    assert [item.code for item in caught.value.diagnostics] == ["NL001"]
    return caught.value


def test_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Callable[[str, str], None]) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("folder").mkdir()
    with Path("sparse").open("wb") as file:
        file.truncate(1 << 40)
    Path("loop").symlink_to("loop")
    contents = {
        "mark": b"\xef\xbb\xbfa: 1", "utf16": "a: 1".encode("utf-16"), "latin": "a: 1\nb: caf\u00e9".encode("latin-1"), "nul": b"a: \0",
        "escape": b"a: \x1b[31m", "return": b"a: 1\rb: 2", "line": "a: \u2028".encode(),
        "inner mark": "a: \ufeff".encode(), "surrogate": b"a: \xed\xa0\x80",
    }  # fmt: skip
    for name, data in contents.items():
        Path(name).write_bytes(data)
    names = ["missing", "mark/below", "fifo", "folder", "sparse", "loop", "/dev/zero", *contents, "a\0b"]
    golden("file_messages", "\n".join(render_text(refusal(name).diagnostics) for name in names))


def test_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    if os.access(path, os.R_OK):
        assert read_source(path).text == "a: 1"
    else:
        assert "may not be read" in refusal(path).diagnostics[0].message


def test_limit_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"#" * (1 << 20))
    assert len(read_source(path).text) == 1 << 20
    path.write_bytes(b"#" * ((1 << 20) + 1))
    refusal(path)


def test_growing_file_is_not_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"a: 1")
    monkeypatch.setattr(os, "read", lambda _, size: b"x" * min(size, 4096))
    assert "still growing" in refusal(path).diagnostics[0].message


def test_vanishing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"a: 1")

    def fail(handle: int, size: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    assert "input/output error" in refusal(path).diagnostics[0].message


def test_empty_and_carriage_returns_pass(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"")
    assert read_source(path).text == ""
    path.write_bytes(b"a: 1\r\nb: \xc3\xa9\r\n")
    assert read_source(path).text == "a: 1\r\nb: é\r\n"
