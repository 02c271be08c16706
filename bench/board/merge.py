"""Put the rows of several runs into one board, with checks that they may stand there together.

Rows of one run were compared on the same resamples. Across runs they were not: there the distance to the leader gets the
widest interval that the two single intervals allow, so that "told apart" is never claimed without ground.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bench.board.ranking import boards, candidates, merit, rank, ranking_metric
from bench.board.schema import AGGREGATOR, Row
from bench.errors import RunFolderError

IDENTITY = ("task_id", "dataset", "model", "tuning", "seed")
"""What names a row; of several with the same names the newest stands."""
CELL = ("task_id", "dataset", "model", "tuning")
"""What a failed row is of: it goes where a newer run has mended it, whatever its seed."""


def merged(runs: Sequence[tuple[str, Sequence[Row]]]) -> tuple[list[Row], list[str]]:
    """Merge runs, (name, rows) each; also say in words what was left out.

    Raises `RunFolderError` where two runs differ in the data behind one name and task id, or in how scores were made.
    """
    _refuse_others(runs)
    newest: dict[tuple[object, ...], tuple[Row, int]] = {}
    dropped = 0
    for at, (_, rows) in enumerate(runs):
        for row in rows:
            key = _names(row, IDENTITY)
            dropped += key in newest
            if key not in newest or _age(row) >= _age(newest[key][0]):
                newest[key] = (row, at)
    standing = [pair for pair in newest.values() if not _mended(pair[0], newest.values())]
    dropped += len(newest) - len(standing)
    kept = sorted(standing, key=lambda pair: tuple(map(str, _names(pair[0], IDENTITY))))
    words = [f"{dropped:,} rows were there twice; the newest stand"] if dropped else []
    return rank(_apart([row for row, _ in kept], [at for _, at in kept])), words


def _refuse_others(runs: Sequence[tuple[str, Sequence[Row]]]) -> None:
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for name, rows in runs:
        for row in rows:
            if row["aggregator"] != AGGREGATOR:
                raise RunFolderError(f"{name}: its scores were made by {row['aggregator']}, this bench makes {AGGREGATOR}; run it again")
            key, print_ = (row["task_id"], row["dataset"]), str(row.get("fingerprint"))
            other, before = seen.setdefault(key, (name, print_))
            if before != print_:
                raise RunFolderError(
                    f"{other} and {name} hold different data under the name {row['dataset']!r} "
                    f"(fingerprints {before[:12]} and {print_[:12]}); rename one, or give runs on the same data"
                )


def _names(row: Row, columns: Sequence[str]) -> tuple[object, ...]:
    return tuple(row.get(name) for name in columns)


def _mended(row: Row, others: Collection[tuple[Row, int]]) -> bool:
    """Say whether a row failed in one run and worked in a newer one."""
    return row["status"] != "ok" and any(
        other["status"] == "ok" and _names(other, CELL) == _names(row, CELL) and _age(other) > _age(row) for other, _ in others
    )


def _age(row: Row) -> str:
    return str(row.get("created") or "")


def _apart(rows: list[Row], run: Sequence[int]) -> list[Row]:
    """Give rows of another run than their board's leader the distance that single intervals allow."""
    found = [dict(row) for row in rows]
    standing = set(candidates(rows))
    for members in boards(rows).values():
        able = [at for at in members if at in standing and "underpowered" not in (rows[at].get("flags") or [])]
        if len({run[at] for at in members}) < 2 or not able:
            continue
        leader = max(able, key=lambda at: merit(rows[at]))
        for at in members:
            paired = run[at] == run[leader] and _led(rows[leader])
            if not paired or rows[at].get("behind") is None:
                found[at] |= _distance(rows[leader], rows[at])
    return found


def _led(row: Row) -> bool:
    """Say whether a row led in its own run, so that `behind` of the rows beside it refers to it, or to the same forecasts."""
    return row.get("behind") == row.get("behind_low") == row.get("behind_high") == 0


def _distance(leader: Row, row: Row) -> Row:
    metric, higher = ranking_metric(row)
    if row["status"] != "ok" or row.get(metric) is None:
        return {}
    low, high = f"{metric}_low", f"{metric}_high"
    if leader is row:
        return {"behind": 0.0, "behind_low": 0.0, "behind_high": 0.0}
    ends = [leader.get(low), leader.get(high), row.get(low), row.get(high)]
    if any(end is None for end in ends):
        return {"behind": merit(leader) - merit(row), "behind_low": None, "behind_high": None}
    first, last = (ends[0] - ends[3], ends[1] - ends[2]) if higher else (ends[2] - ends[1], ends[3] - ends[0])  # type: ignore[operator]
    return {"behind": merit(leader) - merit(row), "behind_low": first, "behind_high": last}
