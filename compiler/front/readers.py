"""What a data reader is to the front end: attributes, the types of its fields, and, when a run wants them, its arrays.

A reader is one final frozen dataclass; its attributes are its dataclass fields, so its signature follows from it as an op's
does. The types must be known without reading the data. Non-goals: batching and shuffling; the readers themselves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, final

from compiler.ir.types import TensorType


@final
class TrustedPath(str):
    """A path that the person at the command line gave, not the spec: it may be absolute and may leave the spec's folder."""

    __slots__ = ()


@final
class ReaderError(Exception):
    """What is wrong with a source and what to do; `attribute` is the reader's attribute to point at, if one is to blame."""

    def __init__(self, message: str, help: str | None = None, attribute: str | None = None, code: str = "NL500") -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        self.attribute = attribute
        self.code = code


class Reader(ABC):
    """Subclasses are final frozen dataclasses; `folder` is the spec's folder, None for a spec that is not a file."""

    name: ClassVar[str]

    @abstractmethod
    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        """The types of one batch: the first dimension of a sample field is the symbol `N`; a source that is one tensor has the field "".

        Reads a header at most. Raises ReaderError.
        """

    @abstractmethod
    def read(self, folder: Path | None) -> dict[str, Any]:
        """NumPy arrays of the types that `fields` tells, first axis = samples, in the same order in every field. Raises ReaderError."""
