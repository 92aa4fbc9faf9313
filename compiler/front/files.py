"""Opens a spec file so that no file kind, size or encoding can do harm (guard A1)."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from compiler.diagnostics.record import Diagnostic, Label, SpecError
from compiler.front.limits import FILE_BYTES
from compiler.source import Source, Span

FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]|\r(?!\n)")
MARKS: Final = {
    b"\xef\xbb\xbf": "a byte order mark",
    b"\xff\xfe": "a UTF-16 byte order mark",
    b"\xfe\xff": "a UTF-16 byte order mark",
}
KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
REASONS: Final = {
    "FileNotFoundError": "there is no such file",
    "PermissionError": "it may not be read",
    "NotADirectoryError": "a part of its path is not a folder",
}


def read_source(path: str | Path) -> Source:
    """The text of a spec file, messages show `path` as given; raises SpecError for what is no regular UTF-8 text of at most 1 MiB."""
    name = str(path)
    source = Source(name, decode(name, read_bytes(name)))
    check_characters(source)
    return source


def read_bytes(name: str) -> bytes:
    """The bytes of a regular file; never waits for a pipe, never reads more than the limit and one."""
    if "\0" in name:
        raise refuse("the file name has a NUL character in it")
    try:
        handle = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        try:
            return read_regular(name, handle)
        finally:
            os.close(handle)
    except OSError as error:
        reason = REASONS.get(type(error).__name__, (error.strerror or "it failed").lower())
        raise refuse(f"cannot read `{name}`: {reason}") from None


def read_regular(name: str, handle: int) -> bytes:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        kind = next((words for is_kind, words in KINDS if is_kind(status.st_mode)), "no regular file")
        raise refuse(f"cannot read `{name}`: it is {kind}", "give the path of a spec file")
    if status.st_size > FILE_BYTES:
        raise too_large(name, f"{status.st_size} bytes")
    chunks: list[bytes] = []
    size = 0
    while chunk := os.read(handle, FILE_BYTES + 1 - size):
        chunks.append(chunk)
        size += len(chunk)
        if size > FILE_BYTES:
            raise too_large(name, "still growing")
    return b"".join(chunks)


def too_large(name: str, size: str) -> SpecError:
    return refuse(f"`{name}` is too large ({size}): a spec has at most {FILE_BYTES} bytes", "split it and join the parts with `use`")


def decode(name: str, data: bytes) -> str:
    for mark, words in MARKS.items():
        if data.startswith(mark):
            raise refuse(f"`{name}` begins with {words}", "save it as UTF-8 without a byte order mark")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        source = Source(name, before + data[error.start :].decode("utf-8", "replace"))
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        raise refuse(message, "save the file as UTF-8", Span(source, len(before), len(before) + 1)) from None


def check_characters(source: Source) -> None:
    """Raises SpecError at the first character that no text editor shows and YAML forbids or takes for a line end."""
    found = FORBIDDEN.search(source.text)
    if found is None:
        return
    span = Span(source, found.start(), found.end())
    if found.group() == "\r":
        raise refuse("a carriage return stands alone", "end lines with a line feed", span)
    raise refuse(f"the character U+{ord(found.group()):04X} is not allowed in a spec", "take it out", span)


def refuse(message: str, help: str | None = None, span: Span | None = None) -> SpecError:
    return SpecError((Diagnostic("NL001", message, None if span is None else Label(span), help=help),))
