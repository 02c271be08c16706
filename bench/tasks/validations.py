"""How many past cut-offs, windows or draws score a configuration: one alone chooses by luck."""

from __future__ import annotations

from collections.abc import Mapping

from bench.errors import ConfigError
from bench.tasks.profiles import Profile

OPTION = "validations"
HELP = "past cut-offs, windows or draws that a configuration is scored on (default 3, fewer where the data is short)"
MOST = 10


def validations_wanted(options: Mapping[str, str], profile: Profile) -> int:
    """Read `--set validations=V`; raise `ConfigError` for what is no number from 1 to 10."""
    text = options.get(OPTION, str(profile.validations))
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= MOST:
        raise ConfigError(f"{OPTION}={text!r} is no number of validations; use 1 to {MOST}")
    return int(text)


def fewer_note(found: int, wanted: int, what: str, why: str) -> tuple[str, ...]:
    """State that there is room for fewer validations than were wanted; nothing where there is room for all."""
    if found >= wanted:
        return ()
    return (f"{found} validation {what}{'s' * (found != 1)} instead of {wanted}: {why}",)
