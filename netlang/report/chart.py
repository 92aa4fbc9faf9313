"""Draws points and curves in a frame with numbered axes, as pictures of Pillow's. Lengths in pixels of the finished picture.

Everything is drawn `FINE` times as large and then reduced, which smooths edges. Colors are those of Okabe and Ito 2008
(jfly.uni-koeln.de/color), which color-blind people can tell apart. Non-goals: more than a few dozen series; other charts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final, TypeAlias, final

Points: TypeAlias = Sequence[tuple[float, float]]

SCATTER_SIZE: Final = (640, 640)
CURVES_SIZE: Final = (800, 480)
FINE: Final = 2
MARGIN: Final = 56
FONT: Final = 13
DOT: Final = 2.2
LINE: Final = 1.6
MOST_TICKS: Final = 6
INK: Final = (60, 60, 60)
FAINT: Final = (228, 228, 228)
COLORS: Final = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0), (204, 121, 167), (86, 180, 233), (0, 0, 0), (240, 228, 66))
DECADES: Final = 2
"""How many powers of ten a positive quantity spans before its axis is logarithmic."""


@final
@dataclass(frozen=True, slots=True)
class Axis:
    """What of a quantity is shown, along how many pixels; `log` says that powers of ten are equally far apart."""

    low: float
    high: float
    length: float
    log: bool = False

    def place(self, value: float) -> float:
        """Pixels from the low end."""
        low, high, at = (math.log10(item) if self.log else item for item in (self.low, self.high, value))
        return (at - low) / (high - low) * self.length

    def ticks(self) -> list[float]:
        """Round numbers within the range."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            return [10.0**power for power in range(first, last + 1, -(-(last - first + 1) // MOST_TICKS))]
        step = round_step((self.high - self.low) / MOST_TICKS)
        return [step * index for index in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)]


def round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def span(values: Sequence[float], share: float = 0.04) -> tuple[float, float]:
    """The range of these numbers with some room; that around 0 where there are none."""
    low, high = min(values, default=-1.0), max(values, default=1.0)
    room = (high - low) * share or max(abs(low), 1.0) * 0.5
    return low - room, high + room


def draw_scatter(points: Mapping[str, Points]) -> Any:
    """Every point as a dot; both axes have one scale, so that a ring is round."""
    width, height = SCATTER_SIZE
    sides = (width - 2 * MARGIN, height - 2 * MARGIN)
    ranges = [span([point[axis] for item in points.values() for point in item]) for axis in (0, 1)]
    half = max(high - low for low, high in ranges) / 2
    x, y = (Axis((low + high) / 2 - half, (low + high) / 2 + half, side) for (low, high), side in zip(ranges, sides, strict=True))
    chart = Chart(SCATTER_SIZE, x, y)
    for (_, item), color in zip(points.items(), cycle(COLORS), strict=False):
        for point in item:
            chart.dot(point, color)
    return chart.finish(list(points))


def draw_curves(curves: Mapping[str, Points]) -> Any:
    """Every series as a line through its points, in their order."""
    width, height = CURVES_SIZE
    xs = [point[0] for item in curves.values() for point in item]
    ys = [point[1] for item in curves.values() for point in item]
    log = bool(ys) and min(ys) > 0 and max(ys) / min(ys) > 10**DECADES
    low, high = (min(ys) / 1.2, max(ys) * 1.2) if log else span(ys)
    chart = Chart(CURVES_SIZE, Axis(*span(xs, 0.01), width - 2 * MARGIN), Axis(low, high, height - 2 * MARGIN, log))
    for (_, item), color in zip(curves.items(), cycle(COLORS), strict=False):
        chart.line(item, color)
    return chart.finish(list(curves))


@final
class Chart:
    """A picture with a frame and two axes, to be drawn into and finished."""

    def __init__(self, size: tuple[int, int], x: Axis, y: Axis) -> None:
        from PIL import Image, ImageDraw, ImageFont

        self.size, self.x, self.y = size, x, y
        self._picture = Image.new("RGB", (size[0] * FINE, size[1] * FINE), "white")
        self._draw = ImageDraw.Draw(self._picture)
        self._font = ImageFont.load_default(FONT * FINE)
        self._draw_frame()

    def _at(self, point: tuple[float, float]) -> tuple[float, float]:
        return (MARGIN + self.x.place(point[0])) * FINE, (self.size[1] - MARGIN - self.y.place(point[1])) * FINE

    def _draw_frame(self) -> None:
        left, top, right, bottom = (side * FINE for side in (MARGIN, MARGIN, self.size[0] - MARGIN, self.size[1] - MARGIN))
        for tick in self.x.ticks():
            at = (MARGIN + self.x.place(tick)) * FINE
            self._draw.line([(at, top), (at, bottom)], FAINT, FINE)
            self._draw.text((at, bottom + 6 * FINE), show_number(tick), INK, self._font, anchor="mt")
        for tick in self.y.ticks():
            at = (self.size[1] - MARGIN - self.y.place(tick)) * FINE
            self._draw.line([(left, at), (right, at)], FAINT, FINE)
            self._draw.text((left - 6 * FINE, at), show_number(tick), INK, self._font, anchor="rm")
        self._draw.rectangle([left, top, right, bottom], outline=INK, width=FINE)

    def dot(self, point: tuple[float, float], color: tuple[int, int, int]) -> None:
        x, y = self._at(point)
        radius = DOT * FINE
        self._draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color)

    def line(self, points: Points, color: tuple[int, int, int]) -> None:
        if len(points) == 1:
            self.dot(points[0], color)
        elif points:
            self._draw.line([self._at(point) for point in points], color, round(LINE * FINE), joint="curve")

    def finish(self, names: Sequence[str]) -> Any:
        """The picture in its own size, with the names above the frame."""
        from PIL import Image

        at, middle = float(MARGIN * FINE), MARGIN * FINE / 2
        for name, color in zip(names, cycle(COLORS), strict=False):
            shown = "".join(letter if letter.isprintable() else "?" for letter in name[:40])
            box = 5 * FINE
            self._draw.ellipse([at, middle - box, at + 2 * box, middle + box], fill=color)
            self._draw.text((at + 16 * FINE, middle), shown, INK, self._font, anchor="lm")
            at += 32 * FINE + self._draw.textlength(shown, self._font)
        return self._picture.resize(self.size, Image.Resampling.LANCZOS)


def show_number(value: float) -> str:
    """A tick in few letters."""
    return f"{value:.4g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e") if value else "0"
