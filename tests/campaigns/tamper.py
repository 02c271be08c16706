"""One thing of a published board is changed, all digests made good, and the board verified: is it found?

Found: something failed, or the note on copies names it. Survived: what was changed is marked as claimed, and nobody can
make it again. Lost: a change of anything else that nothing tells of.
"""

from __future__ import annotations

import io
import json
import random
import shutil
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

if __name__ == "__main__":
    # in place of this file's folder: there `publish` is a campaign
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from campaigns import campaign
from publish.kit import Files, edited, forged, npz, run_of

import bench
from bench.board.schema import SCHEMA
from bench.cli.verify import CLAIMED
from bench.publish.package import parquet
from bench.publish.publish import publish
from bench.publish.verify import verify
from bench.registry import discover

FREE = {"reason", "plugin", "plugin_version", "source_hash", "horizon_days", "mode", "level", "family"}
"""Columns of words for people, or that only a repeat checks (`--rerun`)."""


def number(files: Files, draw: random.Random) -> str:
    """Change one number of one row."""
    rows = pq.read_table(io.BytesIO(files["rows.parquet"])).to_pylist()
    able = [(at, f.name) for at, row in enumerate(rows) for f in SCHEMA if f.type == pa.float64() and row[f.name] is not None]
    at, name = draw.choice(able)
    rows[at][name] += draw.choice((-1, 1)) * draw.choice((1e-7, 1e-3, 0.1)) * max(1.0, abs(rows[at][name]))
    files["rows.parquet"] = rewritten(rows)
    return name


def word(files: Files, draw: random.Random) -> str:
    """Change one word of one row."""
    rows = pq.read_table(io.BytesIO(files["rows.parquet"])).to_pylist()
    names = [f.name for f in SCHEMA if f.type == pa.string() and f.name not in ("params", "task")]
    at, name = draw.randrange(len(rows)), draw.choice(names)
    rows[at][name] = f"{rows[at][name] or ''}x"
    files["rows.parquet"] = rewritten(rows)
    return name


def moved(files: Files, draw: random.Random) -> str:
    """Date one row to another day."""
    at, days = draw.randrange(6), draw.choice((-400, 30, 27_000))
    seen = iter(range(1_000))
    edited(files, lambda row: {**row, "created": row["created"] + timedelta(days=days)} if next(seen) == at else row)
    return f"created {days}"


def removed(files: Files, draw: random.Random) -> str:
    """Remove one model from rows, predictions and the list of models."""
    rows = pq.read_table(io.BytesIO(files["rows.parquet"])).to_pylist()
    model = draw.choice(sorted({row["model"] for row in rows}))
    files["rows.parquet"] = rewritten([row for row in rows if row["model"] != model])
    table = pq.read_table(io.BytesIO(files["predictions.parquet"]))
    index = table.to_pylist()
    files["predictions.parquet"] = parquet(pa.Table.from_pylist([r for r in index if r["model"] != model], table.schema))
    for entry in index:
        if entry["model"] == model:
            files.pop(entry["file"], None)  # where the default was kept, both tunings have one file
    about = json.loads(files["run.json"])
    about["models"] = [m for m in about["models"] if m["name"] != model]
    files["run.json"] = json.dumps(about).encode()
    return model


def prediction(files: Files, draw: random.Random) -> str:
    """Put other numbers, or another model's, in place of a prediction."""
    names = sorted(name for name in files if name.startswith("predictions/"))
    name = draw.choice(names)
    if draw.random() < 0.5:
        files[name] = files[draw.choice([other for other in names if other != name])]
    else:
        files[name] = npz(**{"0.prediction": [draw.random() for _ in range(200)]})
    return name


def junk(files: Files, draw: random.Random) -> str:
    """Flip bytes of one file."""
    name = draw.choice(sorted(files))
    content = bytearray(files[name])
    for _ in range(3):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    files[name] = bytes(content)
    return name


def about_run(files: Files, draw: random.Random) -> str:
    """Change what `run.json` says of the protocol."""
    about = json.loads(files["run.json"])
    key = draw.choice(("seed", "profile", "options", "task"))
    about["config"][key] = {"seed": 5, "profile": "full", "options": {"horizon": "14d"}, "task": "anomaly"}[key]
    files["run.json"] = json.dumps(about).encode()
    return key


def search(files: Files, draw: random.Random) -> str:
    """Change one value of a trial, or of what a search chose, that follows from others."""
    name, able = draw.choice(list(SEARCH.items()))
    table = pq.read_table(io.BytesIO(files[name]))
    rows = table.to_pylist()
    at, column = draw.randrange(len(rows)), draw.choice(able)
    rows[at][column] = SEARCHED[column](rows[at][column])
    files[name] = parquet(pa.Table.from_pylist(rows, table.schema))
    return f"search {name} {column}"


def validation(files: Files, draw: random.Random) -> str:
    """Put other numbers, or another model's, in place of a validation prediction."""
    names = sorted(name for name in files if name.startswith("valid/"))
    name = draw.choice(names)
    others = [other for other in names if files[other] != files[name]]
    files[name] = files[draw.choice(others)] if others and draw.random() < 0.7 else npz(**{"0.prediction": [draw.random()] * 90})
    return name


def copied(files: Files, draw: random.Random) -> str:
    """Let a model copy another's predictions, shaken or not, with its scores."""
    rows = pq.read_table(io.BytesIO(files["rows.parquet"])).to_pylist()
    index = pq.read_table(io.BytesIO(files["predictions.parquet"])).to_pylist()
    able = [e for e in index if e["model"] in ("recency", "frequency", "rfm-logit") and e["tuning"] == "default"]
    one, other = draw.sample(able, 2)
    files[one["file"]] = files[other["file"]]
    scores = {row["model"]: row for row in rows if row["tuning"] == "default"}
    names = [f.name for f in SCHEMA if f.type in (pa.float64(), pa.int32()) and f.name not in ("search_seconds", "valid_score", "trials")]
    rows = [
        {**row, **{n: scores[other["model"]][n] for n in names}} if (row["model"], row["tuning"]) == (one["model"], "default") else row
        for row in rows
    ]
    files["rows.parquet"] = rewritten(rows)
    return f"copy of {other['model']} by {one['model']}"


def scaled(text: str) -> str:
    return json.dumps({tuning: [0.99 * v for v in values] for tuning, values in json.loads(text).items()})


SEARCHED: dict[str, Callable[[Any], Any]] = {
    "number": lambda value: value + 1,
    "validations": lambda value: value + 1,
    "status": lambda value: "failed" if value == "ok" else "ok",
    "value": lambda value: 0.5 if value is None else 0.99 * value,
    "model": lambda value: f"{value}x",
    "scores": scaled,
    "replicates": scaled,
    "stopped_by": lambda value: "failures" if value != "failures" else "trials",
    "kept_default": lambda value: not value,
    "params": lambda _: '{"C": 77.0}',
}
SEARCH = {
    "trials.parquet": ("number", "validations", "status", "value", "model"),
    "choices.parquet": ("validations", "status", "model", "scores", "replicates", "stopped_by", "kept_default", "params"),
}
KINDS: tuple[Callable[[Files, random.Random], str], ...] = (
    number,
    word,
    moved,
    removed,
    prediction,
    junk,
    about_run,
    search,
    validation,
    copied,
)


def rewritten(rows: list[dict[str, Any]]) -> bytes:
    columns = [pa.array([row[f.name] for row in rows], f.type) for f in SCHEMA]
    return parquet(pa.Table.from_arrays(columns, schema=SCHEMA))


def published(scratch: Path) -> Path:
    """Publish one small run, once for all rounds."""
    place = scratch / "place"
    if not place.exists():
        models = ["base-rate", "rfm-logit", "recency", "frequency"]
        bench.run("churn", datasets=["retail"], models=models, profile="smoke", trials=2, out=scratch / "run")
        publish(scratch / "run", str(place))
    return place


def rounds(scratch: Path) -> campaign.Round:
    """Return the rounds, each on a copy of one published board."""
    place, registry = published(scratch), discover()

    def play(draw: random.Random) -> dict[str, Any]:
        folder = scratch / f"{draw.getrandbits(48):012x}"
        shutil.copytree(place, folder)
        change, what = draw.choice(KINDS), []
        before = {f: f.read_bytes() for f in (folder / "runs" / run_of(folder)).rglob("*") if f.is_file()}
        forged(folder, lambda files: what.append(change(files, draw)), whole=False)
        changed = sorted(f.read_bytes() for f in (folder / "runs" / run_of(folder)).rglob("*") if f.is_file()) != sorted(before.values())
        try:
            found = verify(str(folder), registry)
            words = [w for w in found.failures if not w.startswith(("board.parquet:", "board.json:", "site", "index.html", "assets"))]
            words += [note for note in found.notes if "may be a copy" in note]
            free = what[0].split()[0] in {*CLAIMED, *FREE} or not changed
            end = "found" if words else "survived" if free else "lost"
        except Exception as error:  # noqa: BLE001 - a traceback of the verifier is a loss
            words, end = [f"{type(error).__name__}: {error}"], "lost"
        shutil.rmtree(folder)
        return {"kind": change.__name__, "what": what[0], "end": end, "words": words[:1]}

    return play


if __name__ == "__main__":
    campaign.by_hand(rounds, __doc__)
