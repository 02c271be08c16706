"""Score predictions: pure functions of truth and prediction. Nothing is imported before it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.metrics.volume import vus

__all__ = ["vus"]


def __getattr__(name: str) -> Any:
    """Import `vus` at its first use."""
    if name == "vus":
        from bench.metrics.volume import vus

        return vus
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
