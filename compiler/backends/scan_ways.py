"""Says by which way a scan runs, and why: PyTorch's own kernel, the cell's printed NumPy functions, or the plain loop."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias, final

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

WayKind: TypeAlias = Literal["vendor", "arrays", "loop"]


@final
@dataclass(frozen=True, slots=True)
class ScanWay:
    """`vendor`: PyTorch's kernel; `arrays`: printed functions, forward and backward; `loop`: the equations step by step.

    `reason` is a phrase without a full stop that stands behind the way's name.
    """

    kind: WayKind
    reason: str
    vendor: VendorCell | None = None


@lru_cache(maxsize=256)
def choose_way(cell: Cell, *, lengths: bool = False, torch: bool = True) -> ScanWay:
    """The way of a scan on PyTorch, or with NumPy alone; on PyTorch it holds for CPU tensors of f32 and f64.

    Other tensors, and gradients of gradients, take the plain loop where the way is `arrays`.
    """
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
