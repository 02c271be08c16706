"""`bench verify`: a table of rows and how far each was checked; exit code 3 where anything does not agree."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.board.numbers import clean
from bench.errors import ConfigError

if TYPE_CHECKING:
    from bench.publish.verify import Checked, VerifiedRow

CLAIMED = (
    "created", "search_seconds", "fit_seconds", "predict_seconds", "peak_memory_mb", "device", "gpu", "gpu_memory_mb", "workers",
    "hardware", "git_commit",
)  # fmt: skip
"""What nobody can make again."""
HEADS = ("dataset", "model", "tuning", "seed", "level", "check")


def verify_command(
    place: str,
    plugins: Sequence[Path],
    folders: Sequence[Path],
    *,
    rerun: int,
    signers: Path | None,
    as_json: bool,
    keep: tuple[bool, str | None] = (False, None),
    **given: Any,
) -> int:
    """Verify and print; returns the exit code. `given`: the other arguments of `bench.publish.verify.verify`.

    `keep`: whether what was found is recorded in the place, and the key, or `sigstore`, that signs the record.
    """
    from bench.publish.publish import record
    from bench.publish.verify import verify
    from bench.registry import discover

    if rerun < 0:
        raise ConfigError(f"--rerun {rerun} is negative; give the number of cells to run again")
    if signers is not None and not signers.is_file():
        raise ConfigError(
            f"--signers {signers}: no such file; give lines NAME KEYTYPE KEY, as ssh-keygen's allowed signers, or sigstore IDENTITY ISSUER"
        )
    if keep[1] is not None and not keep[0]:
        raise ConfigError("--sign signs a record; give --record too")
    found = verify(place, discover(plugins, folders), rerun=rerun, signers=signers, **given)
    failures = found.failures
    recorded = record(found, place, sign=keep[1]) if keep[0] else ""
    code = 3 if failures else 0
    if as_json:
        document = {"exit_code": code, "rows": [_record(line) for line in found.lines], "failures": failures, "notes": list(found.notes)}
        document |= {"heads": list(found.heads), "claimed_columns": list(CLAIMED), "record": recorded}
        sys.stdout.write(json.dumps(document) + "\n")
        return code
    sys.stdout.write(_table(found))
    for note in found.notes:
        sys.stdout.write(f"note: {clean(note)}\n")
    for words in failures:
        sys.stdout.write(f"FAILED: {clean(words)}\n")
    sys.stdout.write(f"claimed by who published, at every level: {', '.join(CLAIMED)}\n")
    sys.stdout.writelines(f"head {head}: keep it, and give it with --head the next time\n" for head in found.heads)
    if recorded:
        sys.stdout.write(f"recorded as {recorded}{', signed' if keep[1] else ''}\n")
    sys.stdout.write(f"{_summary(found)}\n")
    return code


def _record(line: VerifiedRow) -> dict[str, object]:
    kept = {name: line.row[name] for name in ("task_id", "dataset", "model", "tuning", "seed", "status")}
    return {"run": line.run, **kept, "level": line.level, "check": line.words or "ok", "ok": not line.wrong}


def _table(found: Checked) -> str:
    lines = [HEADS, *(_cells(line) for line in found.lines)]
    wide = [max(len(cells[at]) for cells in lines) for at in range(len(HEADS) - 1)]
    return "".join("  ".join([*(c.ljust(w) for c, w in zip(cells, wide, strict=False)), cells[-1]]).rstrip() + "\n" for cells in lines)


def _cells(line: VerifiedRow) -> tuple[str, ...]:
    row, words = line.row, line.words or "ok"
    seed = "-" if row["seed"] is None else str(row["seed"])
    # an anomaly data set has a board for each family
    dataset = " ".join(filter(None, [row["dataset"], row["family"]]))
    check = f"FAILED: {words}" if line.wrong else words
    return tuple(clean(cell) for cell in (dataset, row["model"], row["tuning"], seed, line.level, check))


def _summary(found: Checked) -> str:
    levels = [line.level for line in found.lines if not line.wrong]
    counted = ", ".join(f"{levels.count(level):,} {level}" for level in ("claimed", "re-scored", "re-run"))
    runs = len({line.run for line in found.lines})
    end = f"{len(found.failures):,} checks failed" if found.failures else "nothing failed"
    return f"{len(found.lines):,} rows of {runs:,} run{'s' * (runs != 1)}: {counted}; {end}"
