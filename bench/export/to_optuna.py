"""Write the searches of a run as Optuna studies in a SQLite file, which optuna-dashboard opens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, ConfigError
from bench.execute.task_space import space_of
from bench.export.records import BoardRecords, Records, Search

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

    Space = Mapping[str, BaseDistribution]

TOLD = ("reason", "seed", "latest_value", "fit_seconds", "predict_seconds", "peak_memory_mb", "device")


def to_optuna(records: Records, file: Path) -> str:
    """Write one study for each model and board to a new file; raise `ConfigError` where the file exists."""
    from optuna.storages import RDBStorage

    file = file.expanduser().resolve()
    if file.exists():
        raise ConfigError(f"--optuna {file}: the file exists; remove it or give another name")
    file.parent.mkdir(parents=True, exist_ok=True)
    storage = RDBStorage(f"sqlite:///{file}")
    searches = [(board, search) for board in records.boards for search in board.searches]
    spaces, unknown = _spaces(records, {search.model for _, search in searches})
    for board, search in searches:
        _write_study(storage, board, search, spaces.get(search.model, {}))
    storage.engine.dispose()
    words = f"; the ranges of {', '.join(unknown)} are those of their trials: no plugin here says more" if unknown else ""
    return f"{len(searches):,} studies in {file}; look with: optuna-dashboard sqlite:///{file}{words}"


def _write_study(storage: RDBStorage, board: BoardRecords, search: Search, space: Space) -> None:
    import optuna
    from optuna.study import StudyDirection

    name = f"{board.name} {search.model} {board.task_id}"
    direction = StudyDirection.MAXIMIZE if search.higher else StudyDirection.MINIMIZE
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(storage=storage, study_name=name, direction=direction)
    finally:
        optuna.logging.set_verbosity(level)
    for key in ("task", "task_id", "dataset", "objective", "fingerprint", "bench_version"):
        study.set_user_attr(key, search.rows[0][key])
    study.add_trials([_trial(trial, space, search.trials) for trial in search.trials])


def _trial(trial: Mapping[str, Any], space: Space, beside: Any) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    ok = trial["status"] == "ok"
    states = {"ok": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
    params = trial["params"]
    return create_trial(
        state=states.get(trial["status"], TrialState.FAIL),
        value=trial["value"] if ok else None,
        params=params,
        distributions={key: _around(key, space.get(key), beside) for key in params},
        user_attrs={"status": trial["status"], **{key: trial[key] for key in TOLD if trial.get(key) not in {None, ""}}},
    )


def _around(key: str, known: BaseDistribution | None, trials: Any) -> BaseDistribution:
    """Return a parameter's distribution, that of the plugin where every trial's value lies in it, else one around these values.

    The portfolio and fixed parameters may lie outside.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    values = [trial["params"][key] for trial in trials if key in trial["params"]]
    if known is not None and all(known._contains(known.to_internal_repr(value)) for value in values):  # noqa: SLF001 - no public test
        return known
    kinds = {type(value) for value in values}
    if kinds == {int}:
        return IntDistribution(min(values), max(values))
    if kinds <= {int, float}:
        return FloatDistribution(min(values), max(values))
    return CategoricalDistribution(list(dict.fromkeys(values)))


def _spaces(records: Records, names: set[str]) -> tuple[dict[str, Space], list[str]]:
    """Ask the plugins that are installed, and those of the run's files, for their spaces; also name the models that are not known."""
    from bench.registry import discover, models

    config = records.document["config"]
    registry = discover(config["plugins"], config["plugins_dirs"])
    known = registry.sources["bench.models"]
    found: dict[str, Space] = {}
    task = config["task"]
    for source in [*(known[name] for name in sorted(names) if name in known), *registry.files]:
        try:
            found |= {name: space_of(model, task) for name, model in models(source).items() if name in names}
        except BenchError:  # a library of the plugin is missing here; its models are named as not known
            continue
    return found, sorted(names - set(found))
