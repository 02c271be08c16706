"""Derive from a run's published search what its rows say of it: trials, budget, what was chosen and its validation score.

Nobody can make a trial's score again without fitting it, but a search has to agree with itself: with the rule by which
configurations are chosen, with the budget, and with the rows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.board.metrics import ranking_metric
from bench.board.schema import Row
from bench.execute.mean_of import params_of
from bench.publish.searches import Cell, Searches, cell_of
from bench.publish.truth import PublishedRun
from bench.runs.ensemble import BLENDS
from bench.runs.offline_rows import base_of
from bench.tasks.base import SECOND, TUNED, RankingRule
from bench.tasks.lookup import task_named
from bench.tune.decide import FEW, Unseen, decide, few_best, shares, standing
from bench.tune.plan import FEW_TRIALS, TOGETHER, UNSEEN, seconds_unseen
from bench.tune.trials import Difference, Trial

TOLERANCE = 1e-9
MARKS = ("kept-default", "few-trials")
"""Flags that tell of a search."""
Record = Mapping[str, Any]


def unproven(rows: Sequence[Row], searches: Searches, run: PublishedRun) -> Iterator[str]:
    """Describe what rows say of their search that does not follow from it."""
    asked = [row for row in rows if row["model"] not in BLENDS and row["trials"] is not None]
    searched = {cell_of(row) for row in asked if base_of(row) == row["model"]}
    # the offline row of a causal model is made of that model's fit, which has the search
    own = [row for row in asked if base_of(row) == row["model"] or cell_of({**row, "model": base_of(row)}) not in searched]
    cells = dict.fromkeys(map(cell_of, own))
    for cell in sorted({*searches.trials, *searches.choices} - set(cells)):
        yield f"{_cell_words(cell)}: a search without a row: one was removed"
    for cell in cells:
        of_cell = [row for row in own if cell_of(row) == cell]
        trials, choices = list(searches.trials.get(cell, ())), searches.choices.get(cell, {})
        if "default" not in choices:
            yield f"{_cell_words(cell)}: its search is not among those published"
            continue
        found = [_of_numbers(trials, choices), *_of_budget(trials, choices["default"], run), *_of_choices(trials, choices, of_cell[0])]
        yield from (f"{_cell_words(cell)}: {words}" for words in found if words)
        for row in of_cell:
            where = f"{_cell_words(cell)} ({row['tuning']}, seed {row['seed']})"
            yield from (f"{where}: {words}" for words in _of_row(row, trials, choices))


def _of_numbers(trials: Sequence[Record], choices: Mapping[str, Record]) -> str:
    """Check that trials are numbered from 0, and that the first is the default."""
    if sorted(trial["number"] for trial in trials) != list(range(len(trials))):
        return "its trials are not numbered from 0 without a gap: one was removed"
    first = next((trial for trial in trials if trial["number"] == 0), None)
    names = ("status", "validations", "scores", "params")
    if first is not None and any(first[name] != choices["default"][name] for name in names):
        return "its first trial is not the author's default"
    if odd := next((t for t in (*trials, *choices.values()) if (t["status"] == "ok") != bool(t["scores"])), None):
        return f"trial {odd['number']} ended as {odd['status'][:20]}, and has {'scores' if odd['scores'] else 'no score'}"
    if unlike := next(filter(None, (_unlike_counts((*trials, *choices.values()), tuning) for tuning in choices)), ""):
        return unlike
    wrong = next((trial for trial in trials if not _same(trial["value"], score(trial, ""))), None)
    return f"trial {wrong['number']}: its value is not the mean of its scores" if wrong is not None else ""


def _unlike_counts(records: Sequence[Record], tuning: str) -> str:
    """Check that who met as many validations has as many scores, and who met more has more; a validation may give several."""
    met = {(record["validations"], len(record["scores"][tuning])) for record in records if tuning in record["scores"]}
    fewer, more = ({pair[at] for pair in met} for at in (0, 1))
    if len(fewer) == len(more) == len(met):
        return ""
    return f"its records have met {sorted(fewer)} validations ({tuning[:40]}), and have {sorted(more)} scores"


def _of_budget(trials: Sequence[Record], default: Record, run: PublishedRun) -> Iterator[str]:
    """Check how many configurations were tried, and fitted, against the run's budget."""
    if (fits := _fits(trials)) > run.trials:
        yield f"its search took {fits} fits, the run's budget was {run.trials}"
    if default["stopped_by"] == "failures" and any(trial["status"] == "ok" for trial in trials):
        yield "its search is said to have ended by failures, and has trials that worked"
    if default["stopped_by"] == "trials" and trials:
        stages = [str(at) for at in range(max(trial["validations"] for trial in trials))]
        explored, _ = shares(run.trials, stages)
        if len(trials) != explored:
            yield f"it has {len(trials)} trials, a budget of {run.trials} fits and {len(stages)} validations give {explored}"


def _of_choices(trials: Sequence[Record], choices: Mapping[str, Record], row: Row) -> Iterator[str]:
    """Choose again, by the rule of the search, and compare."""
    task = task_named(row["task"])
    metric = task.metrics.get(row["objective"] or "")
    rule = RankingRule("", higher=metric.higher_is_better if metric is not None else ranking_metric(row)[1])
    tried = [_trial(record) for record in sorted(trials, key=lambda t: int(t["number"]))]
    tunings = dict.fromkeys(tuning for trial in trials if trial["status"] == "ok" for tuning in trial["scores"])
    if set(tunings) != set(choices) - {"default"}:
        given, chosen = (", ".join(sorted(names)) or "nothing" for names in (set(tunings), set(choices) - {"default"}))
        yield f"its trials have scores for {given:.80}, and it chose for {chosen:.80}"
        return
    for tuning in tunings:
        if words := _of_choice(tried, choices[tuning], choices["default"], tuning, rule, FEW if task.blends else 1):
            yield f"{tuning[:40]}: {words}"


def _of_choice(tried: Sequence[Trial], choice: Record, default: Record, tuning: str, rule: RankingRule, most: int) -> str:
    few, alone = few_best(tried, tuning, rule, most), few_best(tried, tuning, rule, 1)
    mean, before = (_mean(own) for own in (standing(few, tried[0], tuning), few))
    # where the mean could not be scored, the best alone stands; in a run of before each counted once
    wanted = [default["params"], mean, before, *(dict(t.params) for t in alone)]
    if choice["params"] not in wanted:
        return f"what it chose is neither the default nor the mean of the best {len(few)}"
    is_default = choice["params"] == default["params"]
    if choice["kept_default"] or is_default:
        return "" if is_default else "it is said to have kept the default, and has other parameters"
    if default["status"] != "ok" or tuning not in default["scores"]:
        return ""
    pair = choice, default
    if len({(one["validations"], len(one["scores"].get(tuning, ())), len(one["replicates"].get(tuning, ()))) for one in pair}) > 1:
        return "what it chose and the default have not met the same validations"
    if not all(one["scores"].get(tuning) and one["replicates"].get(tuning) for one in pair):
        return "what it chose has no scores"
    # without labels that one asked for no least advantage
    return _not_better(choice, default, tuning, rule, least=0.0 if mean != before == choice["params"] else None)


def _mean(few: Sequence[Trial]) -> Mapping[str, Any]:
    return params_of([t.params for t in sorted(few, key=lambda t: t.number)])


def _not_better(choice: Record, default: Record, tuning: str, rule: RankingRule, least: float | None = None) -> str:
    """Decide again; a run of before has asked no unseen users."""
    together = tuning + TOGETHER in choice["replicates"]
    told = choice["replicates"].get(tuning + (TOGETHER if together else UNSEEN))
    if told is not None and (len(told) != 3 or min(told[1:]) < 0):
        return "what unseen users say of it is no advantage with its standard error and its seconds"
    unseen = None if told is None else Unseen(Difference(*told[:2]), told[2], together)
    kept = decide(_trial(choice), _trial(default), tuning, rule, unseen, least=least).kept_default
    return "what it chose is not better than the default beyond its standard errors" if kept else ""


def _of_row(row: Row, trials: Sequence[Record], choices: Mapping[str, Record]) -> Iterator[str]:
    """Compare what one row says with its search."""
    choice = choices.get(row["tuning"], choices["default"])
    said = {**row, "params": json.loads(row["params"] or "{}"), **{f"flag {name}": name in (row["flags"] or ()) for name in MARKS}}
    wanted: dict[str, Any] = {
        "trials": len(trials),
        "fits": _fits(trials),
        "failed_trials": sum(trial["status"] != "ok" for trial in trials),
        "stopped_by": choice["stopped_by"],
        "search_seconds": sum(trial["fit_seconds"] + trial["predict_seconds"] for trial in trials) + seconds_unseen(choices),
    }
    if row["valid_score"] is not None or row["status"] == "ok":
        few = row["tuning"] != "default" and row["tuning"] in choices and len(trials) < FEW_TRIALS
        wanted |= {"valid_score": score(choice, row["tuning"]), "params": _params_of(row["tuning"], choice, choices)}
        wanted |= {"flag kept-default": choice["kept_default"], "flag few-trials": few}
    for name, value in wanted.items():
        if not _same(said[name], value):
            yield f"{name}: the row says {_format_value(said[name])}, its search gives {_format_value(value)}"


def _params_of(tuning: str, choice: Record, choices: Mapping[str, Record]) -> Any:
    """Return what a row has to say of its parameters: both where the labels of two halves chose unlike ones."""
    second = choices.get(SECOND, choice)["params"] if tuning == TUNED else choice["params"]
    return choice["params"] if second == choice["params"] else {"halves": [choice["params"], second]}


def score(choice: Record, tuning: str) -> float | None:
    """Return the validation score of a choice for a tuning: the default has those of the others, the first stands for it."""
    scores = choice["scores"].get(tuning) or next(iter(choice["scores"].values()), None)
    return math.fsum(scores) / len(scores) if scores else None


def _trial(record: Record) -> Trial:
    """Make the trial that a record tells of, as far as choosing needs it: one entry for each validation that it met."""
    stages = [str(at) for at in range(record["validations"])]
    found = Trial(record["number"], record["params"])
    for at, stage in enumerate(stages):
        # the scores of all validations stand in the first: what is chosen follows from their mean and their number
        scores = {tuning: values if at == 0 else [] for tuning, values in record["scores"].items()}
        found.entries[stage] = {"status": record["status"], "scores": scores, "replicates": dict(record.get("replicates", {}))}
    return found


def _fits(trials: Sequence[Record]) -> int:
    return sum(trial["validations"] for trial in trials)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float | int) and isinstance(other, float | int) and not isinstance(one, bool):
        return abs(one - other) <= TOLERANCE * max(1.0, abs(one))
    return bool(one == other)


def _format_value(value: Any) -> str:
    return "nothing" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)[:80]


def _cell_words(cell: Cell) -> str:
    return f"{cell[2]} on {cell[1]}"
