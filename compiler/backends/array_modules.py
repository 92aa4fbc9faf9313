"""What printed NumPy code runs on: NumPy itself, or a module with its interface on another device.

Printed code calls that module `np`. What makes no arrays is NumPy's own whatever computes.
"""

from __future__ import annotations

from typing import Any, Final, final

HOST_NAMES: Final = frozenset({"s_"})


@final
class ArrayModule:
    """A module with NumPy's interface, completed by `HOST_NAMES`."""

    def __init__(self, module: Any) -> None:
        self._module = module
        import numpy

        self._host = {name: getattr(numpy, name) for name in HOST_NAMES}

    def __getattr__(self, name: str) -> Any:
        return self._host[name] if name in HOST_NAMES else getattr(self._module, name)
