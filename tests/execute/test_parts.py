"""Stages of several parts and of several chunks: the next window is handed over only when the forecasts of this one are stored."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from execute.kit import SMALL, Done, cell_of, described, executor_in, odd
from tasks.forecast_kit import noise, series, split

from bench.execute.jobs import Limits, Plugin
from bench.execute.local import LocalExecutor
from bench.execute.prediction_files import read_prediction, write_prediction
from bench.runs.scheduler import Driver
from bench.tasks.base import Split, Stage
from bench.tasks.forecasting.task import Forecasting
from bench.tune.ledger import Ledger
from bench.tune.plan import Budget

STEPS, HORIZON = 100, 14
# a forecast whose every row depends on that row alone: its last value, times a factor that grows with the level
GIVE = """
levels = np.array(ctx.quantiles)
quantiles = inputs.values[:, -1][:, None, None] * (0.5 + levels) + np.zeros((len(inputs), inputs.horizon, 1))
return Forecast(quantiles, quantiles.mean(axis=2))
"""


def forecaster(folder: Path, name: str, *, predict: str = GIVE, head: str = "", body: str = "", **parts: str) -> Path:
    head = "from bench.api import Forecast\n" + head
    return odd(folder, name, predict=predict, head=head, body='tasks = frozenset({"forecasting"})\n' + body, **parts)


def noted(folder: Path, what: str) -> str:
    """Write a line of a plugin that appends a dict, as JSON, to a file of notes."""
    return f"open({str(folder / 'notes')!r}, 'a').write(__import__('json').dumps({what}) + chr(10))\n"


def notes(folder: Path) -> list[dict]:
    path = folder / "notes"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def drive(executor: LocalExecutor, folder: Path, plugins: Sequence[Plugin], own: Split, seeds: int = 1, limits: Limits = SMALL) -> Done:
    """Run one cell for each plugin."""
    cells = [replace(cell_of(plugin, own), context=dict(own.context)) for plugin in plugins]
    with Ledger(folder) as ledger:
        events: list = []
        outcomes = Driver(Forecasting(), executor, ledger, limits, Budget(trials=1, seeds=seeds), events.append).run(cells)
        return Done(outcomes, dict(ledger.entries), events)


def ran(folder: Path, paths: Sequence[Path], own: Split, *, seeds: int = 1, workers: int = 1, limits: Limits = SMALL) -> Done:
    with executor_in(folder / "scratch", workers=workers) as executor:
        plugins = described(executor, paths)
        assert [p.reason for p in plugins if p.status != "ok"] == []
        return drive(executor, folder / "run", plugins, own, seeds, limits)


def stored(folder: Path, done: Done, model: str) -> list[dict[str, np.ndarray]]:
    (final,) = done.outcomes[f"tiny/{model}"].finals.values()
    return read_prediction(folder / "run" / final["prediction"])


@pytest.fixture(scope="module")
def three() -> Split:
    return split(series(noise(9, STEPS)), windows=3)


# ---- parts


# the names of what the supervisor has stored, and whether it is what this model gave for the parts before
SEES = """
stored = Path.cwd().parents[1] / "taken"
files = sorted(stored.rglob("*.quantiles.npy"))
call = {
    "steps": inputs.steps, "last": int(inputs.time[0, inputs.steps - 1]),
    "sees": [bool(np.isin(truth, inputs.values).any()) for truth in TRUTH],
    "stored": sorted(p.name for p in stored.rglob("*.npy")),
    "same": [bool((np.load(p) == ours).all()) for p, ours in zip(files, GAVE)],
}
"""


def test_a_window_is_handed_over_only_when_the_forecasts_of_the_one_before_are_stored(tmp_path: Path, three: Split) -> None:
    np.save(tmp_path / "truth.npy", three.truths["final"].y)
    head = f"TRUTH = np.load({str(tmp_path / 'truth.npy')!r})\nGAVE = []\n"
    predict = SEES + noted(tmp_path, "call") + GIVE.replace("return", "GAVE.append(quantiles)\nreturn")
    done = ran(tmp_path, [forecaster(tmp_path, "spy", head=head, fit="GAVE.clear()", predict=predict)], three)
    search, *final = notes(tmp_path)
    first = STEPS - 3 * HORIZON
    assert (search["steps"], [call["steps"] for call in final]) == (first - HORIZON, [first, first + HORIZON, first + 2 * HORIZON])
    assert search["sees"] == [False] * 3
    time = three.stages["final"].parts[-1].time[0]
    for at, call in enumerate(final):
        assert call["last"] < time[first + at * HORIZON], "nothing at or after the cut-off is seen"
        assert call["sees"] == [True] * at + [False] * (3 - at), "the truth of a window is seen by those that come after it, and only those"
        names = {"fallback", "mean", "quantiles"}
        assert set(call["stored"]) == {f"part-{k}.{name}.npy" for k in range(at) for name in names}
        assert call["same"] == [True] * at
    assert [e["status"] for e in done.entries.values()] == ["ok", "ok"]


def test_a_stored_forecast_that_a_plugin_finds_and_changes_fails_the_job(tmp_path: Path, three: Split) -> None:
    cheat = """
    for file in (Path.cwd().parents[1] / "taken").rglob("part-0.quantiles.npy"):
        np.save(file, np.load(file) * 0 + 1e6)
    """
    path = forecaster(tmp_path, "cheats", predict=cheat + GIVE.replace("\n", "\n    "))
    done = ran(tmp_path, [path], three)
    search, final = sorted(done.entries.values(), key=lambda e: e["stage"] == "final")
    assert search["status"] == "ok", "it has one part, whose forecast nobody comes back to"
    assert (final["status"], final["reason"]) == ("failed", "a forecast was changed after it had been stored")
    assert final["prediction"] is None


def test_what_a_plugin_writes_over_its_earlier_forecast_changes_nothing(tmp_path: Path, three: Split) -> None:
    cheat = """
    out = Path.cwd().parent / "out"
    for file in out.glob("part-*.npy"):
        if ".quantiles." in file.name or ".mean." in file.name:
            assert file.name.startswith(("part-0", "part-1"))
            np.save(file, np.load(file) * 0 + 1e6)
    """
    plain, cheats = forecaster(tmp_path, "plain"), forecaster(tmp_path, "cheats", predict=cheat + GIVE.replace("\n", "\n    "))
    done = ran(tmp_path, [plain, cheats], three)
    one, other = stored(tmp_path, done, "plain"), stored(tmp_path, done, "cheats")
    assert len(one) == len(other) == 3
    for mine, theirs in zip(one, other, strict=True):
        assert {name: array.tobytes() for name, array in mine.items()} == {name: array.tobytes() for name, array in theirs.items()}


def test_a_forecast_with_files_of_another_name_is_invalid(tmp_path: Path, three: Split) -> None:
    adds = forecaster(tmp_path, "adds", predict="np.save(Path.cwd().parent / 'out' / 'part-0.odd.npy', np.zeros(3))\n" + GIVE)
    none = forecaster(tmp_path, "none", predict="return np.zeros((len(inputs), inputs.horizon))")
    entries = ran(tmp_path, [adds, none], three).of
    assert entries("tiny", "adds")["status"] == entries("tiny", "none")["status"] == "invalid"
    assert entries("tiny", "adds")["reason"].startswith("predict returned fallback, mean, odd, quantiles and no more, expected")
    assert entries("tiny", "none")["reason"].startswith("predict returned an array, expected bench.Forecast")


def test_a_forecast_of_which_no_file_is_left_is_invalid(tmp_path: Path, three: Split) -> None:
    done = ran(tmp_path, [forecaster(tmp_path, "loses", predict="np.save = lambda *args, **named: None\n" + GIVE)], three)
    entry = done.of("tiny", "loses")
    assert (entry["status"], entry["reason"]) == ("invalid", "the prediction cannot be read: its file is missing")


def pids(folder: Path, own: Split, fit: str = "pass") -> list[int]:
    """Run three final fits after the search, on one worker; give the process of each job."""
    note = noted(folder, '{"pid": os.getpid(), "steps": train.steps}')
    ran(folder, [forecaster(folder, "notes-pid", fit=note + fit)], own, seeds=3)
    return [call["pid"] for call in notes(folder)]


def test_a_worker_that_was_handed_a_later_part_serves_no_other_job(tmp_path: Path, three: Split) -> None:
    search, *finals = pids(tmp_path, three)
    assert len(finals) == len(set(finals)) == 3
    assert search == finals[0], "one that has searched may go on with a final fit"


def test_a_worker_that_was_handed_one_part_serves_the_next_job(tmp_path: Path) -> None:
    assert len(set(pids(tmp_path, split(series(noise(9, STEPS)), windows=1)))) == 1


def test_a_plugin_that_remembers_knows_nothing_of_what_comes_after_its_cut_off(tmp_path: Path, three: Split) -> None:
    note = noted(tmp_path, '{"steps": train.steps, "knows": max(KNOWN, default=0), "calls": len(KNOWN)}')
    hoards = forecaster(tmp_path, "hoards", head="KNOWN = []\n", fit=note, predict="KNOWN.append(inputs.steps)\n" + GIVE)
    ran(tmp_path, [hoards], three, seeds=3)
    calls = notes(tmp_path)
    assert len(calls) == 4
    assert all(call["knows"] <= call["steps"] for call in calls)
    assert any(call["knows"] for call in calls), "a worker that has served one part goes on, and remembers"


@pytest.mark.parametrize(("part", "reused"), [(0, True), (1, False)])
def test_a_failure_in_any_part_fails_the_job_once_and_its_worker_goes_where_it_saw_more(
    tmp_path: Path, three: Split, part: int, reused: bool
) -> None:
    first = STEPS - 3 * HORIZON
    fails = f"assert inputs.steps != {first + part * HORIZON}, 'no more'\n"
    note = noted(tmp_path, '{"pid": os.getpid(), "steps": train.steps}')
    done = ran(tmp_path, [forecaster(tmp_path, "fails", fit=note, predict=fails + GIVE)], three, seeds=2)
    outcome = done.outcomes["tiny/fails"]
    assert outcome.valid["status"] == "ok"
    assert [(e["status"], e["reason"], e["prediction"]) for e in outcome.finals.values()] == [
        ("failed", "AssertionError: no more", None)
    ] * 2
    one, other = [call["pid"] for call in notes(tmp_path) if call["steps"] == first]
    assert (one == other) == reused


def test_a_part_that_hangs_is_stopped_at_the_limit_of_the_job(tmp_path: Path, three: Split) -> None:
    hangs = f"if inputs.steps > {STEPS - 3 * HORIZON}:\n    time.sleep(86400)\n"
    done = ran(tmp_path, [forecaster(tmp_path, "hangs", predict=hangs + GIVE)], three, limits=Limits(3.0, 2048.0))
    (final,) = done.outcomes["tiny/hangs"].finals.values()
    assert (final["status"], final["prediction"]) == ("timeout", None)


def test_predictions_are_read_back_part_by_part(tmp_path: Path) -> None:
    parts = [{"quantiles": np.full((2, 3, 9), float(k)), "mean": np.full((2, 3), float(k))} for k in range(12)]
    write_prediction(tmp_path / "made" / "one.npz", parts)
    found = read_prediction(tmp_path / "made" / "one.npz")
    assert [sorted(part) for part in found] == [["mean", "quantiles"]] * 12
    assert [float(part["quantiles"][0, 0, 0]) for part in found] == list(range(12))
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["one.npz"]


# ---- what a stage hands out


def test_the_first_payload_holds_the_training_data_and_the_first_part_and_no_later_one(three: Split) -> None:
    own = three.stages["final"]
    first, *later = own.payloads
    train, part = first.read()
    assert (train.steps, part.steps) == (own.train.steps, own.parts[0].steps)
    assert [one.read().steps for one in later] == [p.steps for p in own.parts[1:]]
    needle = three.truths["final"].y[0, 0, :2].tobytes()
    assert needle not in first.to_bytes()
    assert needle in later[0].to_bytes(), "the search for it is no empty one"


def test_a_stage_is_another_where_any_of_its_parts_is(three: Split) -> None:
    own = three.stages["final"]
    digests = {own.digest, Stage(own.train, own.parts[:2]).digest, Stage(own.train, own.parts[::-1]).digest}
    changed = replace(own.parts[2], values=own.parts[2].values + 1)
    digests.add(Stage(own.train, (*own.parts[:2], changed)).digest)
    assert len(digests) == 4
    assert Stage(own.train, own.parts).digest == own.digest


@pytest.mark.parametrize(
    ("n", "sizes"), [(1, [1]), (16, [16]), (17, [16, 1]), (300, [16] * 18 + [12]), (2000, [32] * 62 + [16]), (8200, [128] * 64 + [8])]
)
def test_chunks_are_all_series_in_order(n: int, sizes: list[int]) -> None:
    own = split(series(noise(n, STEPS)), season=1, windows=2).stages["final"]
    assert [len(chunk.train) for chunk in own.chunks] == sizes
    for at, part in enumerate(own.parts):
        assert np.concatenate([chunk.parts[at].values for chunk in own.chunks]).tobytes() == part.values.tobytes()
        assert {len(chunk.parts) for chunk in own.chunks} == {2}


# ---- local models, chunk by chunk


MANY = 40
# some rows cross, some are negative, some had to be served by a simpler method: what the core does to them must not depend on chunks
MIXED = """
levels = np.array(ctx.quantiles)
last = inputs.values[:, -1]
quantiles = (last[:, None, None] - 2.0) * (0.5 + levels) + np.arange(inputs.horizon)[:, None]
quantiles[last > 30] = quantiles[last > 30][:, :, ::-1]
return Forecast(quantiles, None, last < 5)
"""


@pytest.fixture(scope="module")
def many() -> Split:
    return split(series(noise(MANY, STEPS)), windows=2)


def same(one: Mapping, other: Mapping) -> bool:
    kept = ("status", "reason", "value", "values", "flags", "note", "about", "params", "seed", "number", "stage")
    return all(one[name] == other[name] for name in kept)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_local_model_gives_the_same_as_if_it_were_not_local(tmp_path: Path, many: Split, workers: int) -> None:
    size = noted(tmp_path, '{"model": self.name, "n": len(inputs), "steps": inputs.steps}')
    paths = [forecaster(tmp_path, name, body=f"local = {name == 'local'}", predict=size + MIXED) for name in ("whole", "local")]
    done = ran(tmp_path, paths, many, workers=workers)
    one, other = (done.outcomes[f"tiny/{name}"] for name in ("whole", "local"))
    assert one.valid["status"] == "ok"
    assert same(one.valid, other.valid)
    assert same(*(next(iter(outcome.finals.values())) for outcome in (one, other)))
    (final,) = other.finals.values()
    assert set(final["flags"]) == {"quantiles-crossed", "clipped", "fallback", "mean-from-quantiles"}
    for mine, theirs in zip(stored(tmp_path, done, "whole"), stored(tmp_path, done, "local"), strict=True):
        assert mine["quantiles"].tobytes() == theirs["quantiles"].tobytes()
        assert mine["mean"].tobytes() == theirs["mean"].tobytes()
    sizes = {name: sorted(call["n"] for call in notes(tmp_path) if call["model"] == name) for name in ("whole", "local")}
    assert sizes == {"whole": [MANY] * 3, "local": [8] * 3 + [16] * 6}
    assert len(done.entries) == 4


def test_chunks_are_put_together_in_their_order_whichever_ends_first(tmp_path: Path, many: Split) -> None:
    first = float(many.stages["final"].train.values[0, 0])
    # the first chunk waits until the last one runs, which needs the worker that has served the second
    waits = f"""
    path = Path({str(tmp_path / "notes")!r})
    until = time.monotonic() + 20
    while inputs.values[0, 0] == {first!r} and time.monotonic() < until and '"n": 8' not in path.read_text():
        time.sleep(0.01)
    """
    note = noted(tmp_path, '{"n": len(inputs)}')
    predict = note + textwrap.dedent(waits) + GIVE
    done = ran(tmp_path, [forecaster(tmp_path, "waits", body="local = True", predict=predict)], many, workers=2)
    for part, own in zip(stored(tmp_path, done, "waits"), many.stages["final"].parts, strict=True):
        assert part["quantiles"][:, 0, 4] == pytest.approx(own.values[:, -1])
    assert [call["n"] for call in notes(tmp_path)][:3] == [16, 16, 8]


@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_a_chunk_that_fails_fails_the_job_once_and_the_rest_is_not_run(tmp_path: Path, many: Split, chunk: int) -> None:
    marker = float(many.stages["search"].train.values[min(chunk * 16 + 7, MANY - 1), -1])
    body = f"if (inputs.values[:, -1] == {marker!r}).any():\n    raise RuntimeError('chunk')\n"
    note = noted(tmp_path, '{"n": len(inputs)}')
    done = ran(tmp_path, [forecaster(tmp_path, "fails", body="local = True", predict=note + body + GIVE)], many)
    (entry,) = done.entries.values()
    assert (entry["stage"], entry["status"], entry["reason"]) == ("search", "failed", "RuntimeError: chunk")
    assert "RuntimeError: chunk" in entry["log_tail"]
    assert len(notes(tmp_path)) == chunk + 1
    assert entry["fit_seconds"] + entry["predict_seconds"] > 0


def test_a_chunk_that_gives_too_little_makes_the_whole_forecast_invalid(tmp_path: Path, many: Split) -> None:
    short = "if len(inputs) < 16:\n    inputs = inputs.take(np.arange(4))\n"
    mixed = "if len(inputs) < 16:\n    return np.zeros(len(inputs))\n"
    few = forecaster(tmp_path, "short", body="local = True", predict=short + GIVE)
    odds = forecaster(tmp_path, "mixed", body="local = True", predict=mixed + GIVE)
    done = ran(tmp_path, [few, odds], many)
    assert {(e["model"], e["status"]) for e in done.entries.values()} == {("short", "invalid"), ("mixed", "invalid")}
    assert done.of("tiny", "short")["reason"] == "predict returned fallback of shape [36], expected [40]"
    assert "expected bench.Forecast" in done.of("tiny", "mixed")["reason"]
