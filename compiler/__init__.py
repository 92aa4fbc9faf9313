"""The compiler as a library: text in, checked graphs and printed source out. Knows nothing of the tool around it.

    import compiler
    checked = compiler.check("nets/mine.yaml", readers={}).require()

`check`, `Checked`, `Source`, `Diagnostic` and `SpecError` load when they are first used; everything else is in the modules below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compiler.diagnostics import Diagnostic, SpecError
    from compiler.front.checked import Checked, check
    from compiler.source import Source

__all__ = ["Checked", "Diagnostic", "Source", "SpecError", "check"]


def __getattr__(name: str) -> Any:
    """A public name, loaded now."""
    if name in __all__:
        from compiler.front import checked

        return getattr(checked, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
