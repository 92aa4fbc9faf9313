"""Tables of text. Only the columns that a spec declares are read; every cell that does not fit is named by file and line.

Non-goals: missing values, dates, quoting dialects beyond RFC 4180; formulas are text like any other.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

from compiler.front.readers import Reader, ReaderError
from compiler.ir.types import DType, TensorType
from netlang.data.fields import per_sample
from netlang.data.paths import open_regular, resolve_inside

LARGEST_TABLE = 2 * 2**30
LONGEST_LINE = 4 * 2**20
MOST_COLUMNS = 100_000
MOST_PROBLEMS = 5
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


@final
@dataclass(frozen=True)
class Csv(Reader):
    """A table with a line of column names.

    Fields: `features` f32[N, F]; `target` f32[N, T] if `targets` is given; `label` i64[N] if `label` is given.
    The words of the label column are numbered in sorted order (numbers by value), or in the order of `classes`.
    """

    name: ClassVar[str] = "csv"

    file: str
    features: tuple[str, ...]
    label: str | None = None
    targets: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    separator: str = ","

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        with self._rows(folder) as rows:
            self._places(next(rows, []))
        types = {"features": per_sample(DType.f32, len(self.features))}
        if self.targets:
            types["target"] = per_sample(DType.f32, len(self.targets))
        if self.label is not None:
            types["label"] = per_sample(DType.i64)
        return types

    def read(self, folder: Path | None) -> dict[str, Any]:
        import numpy as np

        numbers, words = self._collect(folder)
        table = np.array(numbers, np.float32).reshape(-1, len(self.features) + len(self.targets))
        arrays: dict[str, Any] = {"features": np.ascontiguousarray(table[:, : len(self.features)])}
        if self.targets:
            arrays["target"] = np.ascontiguousarray(table[:, len(self.features) :])
        if self.label is not None:
            arrays["label"] = np.array(self._number_classes(words), np.int64)
        return arrays

    @contextmanager
    def _rows(self, folder: Path | None) -> Iterator[Iterator[list[str]]]:
        """The reader of rows; a fault of the text itself becomes a ReaderError with its line."""
        if len(self.separator) != 1 or self.separator in '"\r\n':
            raise ReaderError(f"`{self.separator}` cannot separate columns", help="one character", attribute="separator", code="NL506")
        path = resolve_inside(folder, self.file, attribute="file")
        stream = open_regular(path, self.file, limit=LARGEST_TABLE, attribute="file")
        with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
            rows = csv.reader(self._lines(text), delimiter=self.separator, strict=True)
            try:
                yield rows
            except csv.Error as error:
                raise ReaderError(f"{self.file}:{rows.line_num}: {error}", attribute="file", code="NL504") from error
            except UnicodeDecodeError as error:
                message = f"{self.file}: the text after line {rows.line_num} is not UTF-8"
                raise ReaderError(message, help="save the table as UTF-8", attribute="file", code="NL504") from error

    def _lines(self, text: io.TextIOWrapper) -> Iterator[str]:
        while line := text.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                raise ReaderError(f"a line of `{self.file}` is longer than {LONGEST_LINE:,} characters", attribute="file", code="NL505")
            yield line

    def _places(self, header: list[str]) -> tuple[list[int], int | None]:
        """Where the numeric columns and the label column stand in a row."""
        names = [name.strip() for name in header]
        if len(names) > MOST_COLUMNS:
            raise ReaderError(f"`{self.file}` has {len(names):,} columns, more than {MOST_COLUMNS:,}", attribute="file", code="NL505")
        if not self.features:
            raise ReaderError("no feature columns are named", attribute="features", code="NL506")

        def place(name: str, attribute: str) -> int:
            if names.count(name) == 1:
                return names.index(name)
            if name in names:
                raise ReaderError(f"`{self.file}` has {names.count(name)} columns `{name}`", attribute=attribute, code="NL506")
            near = difflib.get_close_matches(name, names, n=1)
            help_text = f"did you mean `{near[0]}`" if near else f"its columns are {', '.join(f'`{item}`' for item in names[:12])}"
            raise ReaderError(f"`{self.file}` has no column `{name}`", help=help_text, attribute=attribute, code="NL506")

        numeric = [place(name, "features") for name in self.features] + [place(name, "targets") for name in self.targets]
        return numeric, place(self.label, "label") if self.label is not None else None

    def _collect(self, folder: Path | None) -> tuple[array[float], list[str]]:
        numbers: array[float] = array("d")
        words: list[str] = []
        problems: list[str] = []
        with self._rows(folder) as rows:
            header = next(rows, [])
            numeric, label = self._places(header)
            for row in rows:
                if not row:
                    continue
                line = rows.line_num  # type: ignore[attr-defined]
                if len(row) != len(header):
                    problems.append(f"{self.file}:{line}: {len(row)} cells where {len(header)} columns are named")
                else:
                    bad = [place for place in numeric if NUMBER.fullmatch(row[place]) is None or not math.isfinite(float(row[place]))]
                    problems.extend(
                        f"{self.file}:{line}: `{row[place][:40]}` in column `{header[place].strip()}` is not a number" for place in bad
                    )
                    if not bad:
                        numbers.extend(float(row[place]) for place in numeric)
                    if label is not None:
                        words.append(row[label].strip())
                if len(problems) >= MOST_PROBLEMS:
                    break
        if problems:
            raise ReaderError(problems[0], help="also " + "; ".join(problems[1:]) if problems[1:] else None, attribute="file", code="NL506")
        return numbers, words

    def _number_classes(self, words: list[str]) -> list[int]:
        found = set(words)
        order = list(self.classes) if self.classes else sorted(found, key=_class_order)
        unknown = found - set(order)
        if unknown:
            message = f"`{min(unknown)}` in column `{self.label}` of `{self.file}` is not among `classes`"
            raise ReaderError(message, attribute="classes", code="NL506")
        index = {word: number for number, word in enumerate(order)}
        return [index[word] for word in words]


def _class_order(word: str) -> tuple[bool, float, str]:
    return (False, float(word), word) if NUMBER.fullmatch(word) else (True, 0.0, word)
