"""Says by which way a scan runs, and why: PyTorch's own kernel, the cell's functions in C or in NumPy, or the plain loop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal, TypeAlias, final

from compiler.backends.native_library import lacks_native
from compiler.backends.native_scan import describe_unfit
from compiler.backends.scan_vendor import TITLES
from compiler.ir.cell import Cell
from compiler.passes.autodiff import DerivativeError
from compiler.passes.scan_plan import Unsupported, plan_scan
from compiler.passes.scan_recognize import NotVendor, VendorCell, recognize

SLOWER: Final[dict[str, str]] = {
    "gru": ", which on the CPU are differentiated by printed functions, for these are faster",
    "rnn_tanh": ", which on the CPU are run by printed functions, for these are faster",
    "rnn_relu": ", which on the CPU are run by printed functions, for these are faster",
}
"""What a vendor's kernel does not do, by kind; see `scan_torch.FIRST`."""

WayKind: TypeAlias = Literal["vendor", "native", "arrays", "loop"]


@final
@dataclass(frozen=True, slots=True)
class ScanWay:
    """`vendor`: PyTorch's kernel; `arrays`: printed functions, forward and backward, and `native` where their loops are C when the file
    runs here; `loop`: the equations step by step.

    `reason` is a phrase without a full stop that stands behind the way's name.
    """

    kind: WayKind
    reason: str
    vendor: VendorCell | None = None


def choose_way(cell: Cell, *, lengths: bool = False, torch: bool = True) -> ScanWay:
    """The way of a scan on PyTorch, or with NumPy alone; on PyTorch it holds for CPU tensors of f32 and f64.

    Other tensors, and gradients of gradients, take the plain loop where the way is `native` or `arrays`.
    """
    way = _portable_way(cell, lengths, torch)
    if way.kind != "arrays":
        return way
    lacking = lacks_native() or describe_unfit(cell, lengths)
    return replace(way, kind="native") if lacking is None else replace(way, reason=f"{way.reason}; not native: {lacking}")


@lru_cache(maxsize=256)
def _portable_way(cell: Cell, lengths: bool, torch: bool) -> ScanWay:
    """The way of a file that runs anywhere."""
    reason = "NumPy has no kernel of its own"
    if torch:
        try:
            vendor = recognize(cell)
        except NotVendor as error:
            reason = f"not an LSTM, GRU or RNN of PyTorch: {error.reason}"
        else:
            if not lengths:
                return ScanWay("vendor", f"its equations are those of {TITLES[vendor.kind]}{SLOWER.get(vendor.kind, '')}", vendor)
            reason = "rows have lengths of their own"
    try:
        plan_scan(cell, masked=lengths)
    except Unsupported as error:
        return ScanWay("loop", f"no kernel can be made of it: {error}")
    except DerivativeError as error:
        return ScanWay("loop", f"no gradient can be made of it: {error}")
    return ScanWay("arrays", reason)
