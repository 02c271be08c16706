"""The errors that `bench` raises: each message says what was given, what was expected and what to do."""

from __future__ import annotations


class BenchError(Exception):
    """Stop with one line for the user; the command line turns it into exit code 2."""


class DataError(BenchError):
    """Refuse data that cannot be read or that breaks the event log's rules."""


class ConfigError(BenchError):
    """Refuse an argument, an option or a study file."""


class PluginError(BenchError):
    """Report a plugin that cannot be loaded or breaks its contract."""


class ProtocolError(BenchError):
    """Refuse a split that the task's rules do not allow on this log."""


class RunFolderError(BenchError):
    """Refuse a run folder that is held by another process or damaged."""


MEMORY = ("memory", "alloc of size", "start new thread", "failed to map segment", "resource temporarily unavailable")
"""What libraries and the system say where there is no room for another object, thread or library."""
MORE_MEMORY = "close other programs, raise the limit or give less data"


def short_of_memory(error: BaseException) -> bool:
    """Return whether a library or the system was refused memory, by what it raised or says."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in MEMORY)


def suggest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Name the likely spelling, or list what exists: the end of an 'unknown name' message."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(sorted(known))}" if known else "none is known"
