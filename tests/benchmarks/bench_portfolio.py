"""Which configurations do well on many logs? The scores behind the portfolios that a search begins with.

    python tests/benchmarks/bench_portfolio.py score FOLDER --task churn --dataset retail --dataset social=CollegeMsg.txt
    python tests/benchmarks/bench_portfolio.py write FOLDER [FOLDER ...]
    python tests/benchmarks/bench_portfolio.py carry --task churn --model lstm --model self-attention

`score` fits the author's default and fifteen configurations, spread over the space and the same for every log, on the latest
validation of each log: no test truth is read. A simulator is another log with every `--seed`. `write` puts all scores, as
advantages over the default, into `bench/tune/portfolio.json`, from which a run chooses greedily, its own log left out; models
that no folder has scored stay as they are. `carry` is for a model whose space a task has added choices to (`Model.choices`), the
first of which is what the model did before: its stored configurations are the same fits as ever, and are given that choice.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from optuna.distributions import distribution_to_json
from studies import run_plan

from bench.execute.task_space import first, space_of
from bench.registry import discover, models
from bench.runs.config import Config
from bench.tune import plan as plans
from bench.tune.portfolio import FILE, space_digest
from bench.tune.search import spread
from bench.tune.trials import Trial, difference

POINTS = 15


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("do", choices=("score", "write", "carry"))
    parser.add_argument("folder", type=Path, nargs="*")
    parser.add_argument("--task", default="churn")
    parser.add_argument("--dataset", action="append")
    parser.add_argument("--model", action="append")
    parser.add_argument("--seed", type=int, default=21)
    given = parser.parse_args()
    if given.do == "write":
        write(given.folder)
    elif given.do == "carry":
        carry(given.task, given.model)
    else:
        (folder,) = given.folder
        found = list(scored(given.task, given.dataset, given.model, given.seed, folder))
        (folder / "scores.json").write_text(json.dumps(found, indent=1))


def scored(task: str, datasets: Sequence[str], models: Sequence[str], seed: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Score the same configurations of each model on each log."""
    kept: dict[tuple[str, str], list[Trial]] = {}

    def study(plugin: Any, budget: Any, make: Any, scope: Any) -> plans.Plan:
        params = [dict(plugin.default), *(spread(plugin.space, 0, POINTS) if plugin.space else [])]
        trials: list[Trial] = []
        yield from plans._validate([Trial(n, p) for n, p in enumerate(params)], scope.validations[:1], budget, make, trials)
        kept[make.__self__.split.task_id + make.__self__.dataset, plugin.name] = trials
        return plans.Outcome((), trials[0].merged(), {}, {}, "trials")

    options = {"trials": 1, "seeds": 1, "seed": seed, "sandbox": "off", "out": str(folder)}
    config = Config(task, tuple(datasets), models=tuple(models), **options).checked()
    _, problems = run_plan(config, study)
    for problem in problems:
        higher = problem.split.ranking.higher
        for plugin in problem.plugins:
            trials = kept.get((problem.split.task_id + problem.title, plugin.name), [])
            if not plugin.space or not trials or not trials[0].ok:
                continue
            tuning = next(iter(plans._tunings(trials)))
            each = [difference(t, trials[0], tuning, higher=higher) if t.ok else None for t in trials]
            yield {
                "task": task,
                "model": plugin.name,
                "space": space_digest(plugin.space),
                "data": problem.title + (f", seed {seed}" if problem.simulated else ""),
                "fingerprint": problem.fingerprint,
                "params": [dict(t.params) for t in trials],
                "gains": [None if d is None else round(d.mean, 6) for d in each],
                "errors": [None if d is None else round(d.error, 6) for d in each],
            }


def write(folders: Sequence[Path]) -> None:
    """Join the scores of several folders, one file for all tasks; what they have not scored stays."""
    every = [row for folder in folders for row in json.loads((folder / "scores.json").read_text())]
    joined: dict[tuple[str, str], dict[str, Any]] = {}
    for row in every:
        own = joined.setdefault((row["task"], row["model"]), {"space": row["space"], "params": row["params"], "logs": []})
        assert (own["space"], own["params"]) == (row["space"], row["params"]), f"{row['model']}: scored with another space"
        own["logs"].append({name: row[name] for name in ("data", "fingerprint", "gains", "errors")})
    tasks: dict[str, dict[str, Any]] = json.loads(FILE.read_text())
    for (task, model), own in joined.items():
        tasks.setdefault(task, {})[model] = own
    FILE.write_text(json.dumps(tasks) + "\n")


def carry(task: str, names: Sequence[str]) -> None:
    """Give stored configurations the first choice of what the task has added to the space of their model since they were scored."""
    tasks = json.loads(FILE.read_text())
    for name in names:
        model, own = models(discover().sources["bench.models"][name])[name], tasks[task][name]
        before, now = ({k: distribution_to_json(d) for k, d in space.items()} for space in (model.space(), space_of(model, task)))
        assert own["space"] == space_digest(before), f"{name}: more has changed than the task's own choices; score it again"
        own["space"] = space_digest(now)
        own["params"] = [{**params, **first(model.choices(task))} for params in own["params"]]
    FILE.write_text(json.dumps(tasks) + "\n")


if __name__ == "__main__":
    main()
