"""What all campaigns share: numbered rounds, each drawn by the seed and its number, kept as a line, so that one can go on later.

Every campaign is run by hand, `python tests/campaigns/NAME.py --rounds N --out FILE`, and in a short form by the tests.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

Round = Callable[[random.Random], Mapping[str, Any]]
"""Does one round and tells of it: `kind`, `end` (survived, found or lost), and what would help to do it again."""
ENDS = ("survived", "found", "lost")


def run(play: Round, rounds: int, *, seed: int = 0, out: Path | None = None) -> list[dict[str, Any]]:
    """Do the rounds that `out` lacks; what went wrong in one is told and does not end the others."""
    done = {line["round"]: line for line in kept(out) if line["seed"] == seed}
    for number in range(rounds):
        if number not in done:
            done[number] = {"round": number, "seed": seed, **play(random.Random(f"{seed}/{number}"))}
            if out is not None:
                with out.open("a") as stream:
                    stream.write(json.dumps(done[number]) + "\n")
    return [done[number] for number in range(rounds)]


def table(found: Iterable[Mapping[str, Any]]) -> str:
    """Lay out what was tried, by kind, and how it ended."""
    counts = Counter((line["kind"], line["end"]) for line in found)
    kinds = sorted({kind for kind, _ in counts})
    rows = [("kind", "tried", *ENDS)]
    for kind in kinds:
        ends = [counts[kind, end] for end in ENDS]
        rows.append((kind, str(sum(ends)), *map(str, ends)))
    total = [sum(counts[kind, end] for kind in kinds) for end in ENDS]
    rows.append(("all", str(sum(total)), *map(str, total)))
    wide = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, wide, strict=True)).rstrip() for row in rows) + "\n"


def arguments(description: str | None, *words: str, **numbers: int) -> argparse.Namespace:
    """Read a campaign's command line; `words`: options without a value; `numbers`: options, and what they are if not given."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a file of finished rounds: those that it has are not done again")
    parser.add_argument("--scratch", type=Path, required=True, help="a folder that the campaign may fill")
    for name, usual in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=usual)
    for name in words:
        parser.add_argument(f"--{name}", action="store_true")
    given = parser.parse_args()
    given.scratch.mkdir(parents=True, exist_ok=True)
    return given


def tell(found: Iterable[Mapping[str, Any]]) -> None:
    """Print every round that was lost, and the table."""
    for line in found:
        if line["end"] == "lost":
            sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.write(table(found))


def by_hand(play: Callable[[Path], Round], description: str | None) -> None:
    """Run a campaign from the command line and print its table, with every round that was lost."""
    given = arguments(description, rounds=100)
    tell(run(play(given.scratch.resolve()), given.rounds, seed=given.seed, out=given.out))


def kept(out: Path | None) -> list[dict[str, Any]]:
    """Read the rounds that a file of finished rounds holds."""
    if out is None or not out.exists():
        return []
    # a line that was cut short is done again
    return [json.loads(line) for line in out.read_text().splitlines(keepends=True) if line.endswith("\n")]
