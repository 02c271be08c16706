"""Turn the argument parser's own complaints into one line."""

from __future__ import annotations


class ReportedExit(int):
    """An exit code whose cause the command has said itself."""


def usage_error(error: BaseException) -> str | None:
    """Return the words of a usage error; None where the error is none."""
    words = getattr(error, "format_message", None)
    if words is None:
        return None
    context = getattr(error, "ctx", None)
    help_command = f"; see {context.command_path} --help" if context is not None else ""
    return " ".join(str(words()).split()).rstrip(".") + help_command
