"""What a benchmark found, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, final

from netlang.report.amounts import format_bytes
from netlang.report.tables import draw_table


@final
@dataclass(frozen=True, slots=True)
class Timing:
    """One network's forward pass or one step, by one way (`torch`, `numpy`, `torch.compile`, `torch, inference` …); seconds.

    `multiply_adds` are those of the call, `allocated` the most bytes it holds at once; None where they are not known.
    """

    kind: Literal["forward", "step"]
    name: str
    way: str
    median: float
    fastest: float
    multiply_adds: int | None
    allocated: int | None


@final
@dataclass(frozen=True, slots=True)
class Benchmark:
    """All timings in the spec's order; `limit` is what the machine multiplies and adds a second in a large product of f32 matrices."""

    timings: tuple[Timing, ...]
    limit: float
    left_out: tuple[str, ...]

    def ratio(self, timing: Timing) -> float | None:
        """The median over that of PyTorch, eager; None where there is none."""
        same = (item for item in self.timings if (item.kind, item.name, item.way) == (timing.kind, timing.name, "torch"))
        reference = next(same, None)
        return None if reference is None else timing.median / reference.median

    def share(self, timing: Timing) -> float | None:
        """How much of the limit the fastest call reaches; None where its multiply-adds are not known."""
        return None if not timing.multiply_adds else timing.multiply_adds / timing.fastest / self.limit


def draw_benchmark(found: Benchmark, *, width: int | None, color: bool) -> str:
    """A table of all timings, then what the columns stand for."""
    columns = [
        ("", "left"), ("name", "left"), ("way", "left"), ("median", "right"), ("fastest", "right"), ("to torch", "right"),
        ("of limit", "right"), ("allocated", "right"),
    ]  # fmt: skip
    rows = []
    for item in found.timings:
        ratio, share = found.ratio(item), found.share(item)
        rows.append(
            (
                item.kind,
                item.name,
                item.way,
                _milliseconds(item.median),
                _milliseconds(item.fastest),
                "" if ratio is None else f"{ratio:.2f}",
                "" if share is None else f"{share:.0%}",
                "" if item.allocated is None else format_bytes(item.allocated),
            )
        )
    table = draw_table(columns, rows, width=width, color=color)
    left_out = "".join(f"left out: {text}\n" for text in found.left_out)
    return f"{table}{left_out}limit: {found.limit / 1e9:.1f} G multiply-adds a second, a product of large f32 matrices here\n"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms"


def benchmark_json(found: Benchmark) -> Mapping[str, Any]:
    """Everything for tools; times are seconds."""
    timings = [asdict(item) | {"to_torch": found.ratio(item), "of_limit": found.share(item)} for item in found.timings]
    return {"limit": found.limit, "left_out": list(found.left_out), "timings": timings}
