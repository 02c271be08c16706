"""A run folder made by hand: ties, failures, names that attack a page, and figures of real shape."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.board import Board
from bench.board.schema import write_rows
from bench.tasks.anomaly import figures as anomaly_figures
from bench.tasks.churn import figures as churn_figures
from bench.tasks.forecasting import figures as forecast_figures

ATTACK = '<img src=x onerror="window.hacked=1">'
MARKUP = "<b>bold</b> & </script><script>window.hacked=2</script>"
LONG = "a-model-with-a-name-that-is-exactly-sixty-characters-long-ab"
RIGHT_TO_LEFT = "נמוך-מודל"
CYRILLIC = "модель-прогноза"
MODELS = ("lightgbm-lags", "seasonal-naive", "theta", LONG, RIGHT_TO_LEFT, CYRILLIC, MARKUP, ATTACK)
TASK_ID = "forecasting/v1/level=item/freq=D/h=14/season=7/windows=2"
DATASETS = ("retail-sim", "shop <log>")
HORIZON, SERIES, STEPS = 14, 9, 140
LEVELS = tuple(np.round(np.arange(0.1, 1.0, 0.1), 1))


def row(dataset: str, at: int, model: str, **more: Any) -> dict[str, Any]:
    """Make a row that scored: the further down the list, the worse; the first three are told apart by nothing."""
    mase = 0.8 + 0.04 * at + (0.0 if dataset == DATASETS[0] else 0.1)
    behind = 0.04 * at
    return {
        "task": "forecasting",
        "task_id": TASK_ID,
        "dataset": dataset,
        "simulated": dataset == DATASETS[0],
        "level": "item",
        "model": model,
        "plugin": "seqbench (x)",
        "plugin_version": "1",
        "source_hash": "0" * 64,
        "tuning": "tuned" if at % 2 else "default",
        "seed": 0,
        "status": "ok",
        "reason": "",
        "flags": ["clipped"] if at == 2 else [],
        "horizon_days": 14.0,
        "n_test": SERIES,
        "mase": mase,
        "mase_low": mase - 0.05,
        "mase_high": mase + 0.06,
        "sql": mase / 2,
        "wape": mase / 3,
        "coverage_60": 0.5 + 0.02 * at,
        "coverage_80": 0.7 + 0.02 * at,
        "coverage_80_low": 0.675 + 0.02 * at,
        "coverage_80_high": 0.715 + 0.02 * at,
        "reference": "seasonal-naive",
        "skill": 0.84 - mase,
        "skill_low": 0.78 - mase,
        "skill_high": 0.9 - mase,
        "behind": behind,
        "behind_low": behind - (0.1 if at < 3 else 0.02),
        "behind_high": behind + 0.05,
        "objective": "mase",
        "valid_score": mase + 0.02,
        "trials": 8 if at % 2 else 0,
        "failed_trials": 0,
        "stopped_by": "trials",
        "search_seconds": 3.0**at / 9,
        "fit_seconds": 0.4,
        "predict_seconds": 0.1,
        "device": "cpu",
        "workers": 2,
        "peak_memory_mb": 200.0 + at,
        "params": json.dumps({"lr": 0.001234567, "kind": MARKUP}) if at % 2 else "{}",
        "protocol": "forecasting/v1",
        "bench_version": "0.1.0",
        "git_commit": "",
        "created": datetime(2026, 1, 2, tzinfo=UTC),
        **more,
    }


def failed(dataset: str, model: str, status: str, reason: str) -> dict[str, Any]:
    """Make a row that did not score."""
    plain = {
        k: v for k, v in row(dataset, 1, model).items() if not k.startswith(("mase", "skill", "behind", "sql", "wape", "coverage", "valid"))
    }
    return {**plain, "status": status, "reason": reason, "flags": []}


def rows() -> list[dict[str, Any]]:
    """Make all rows: every model on both data sets, and two failures."""
    made = [row(dataset, at, model) for dataset in DATASETS for at, model in enumerate(MODELS)]
    return [*made, failed(DATASETS[0], "gru", "oom", f"4.1 GB, limit 4.0 {ATTACK}"), failed(DATASETS[1], "gru", "skipped", "not run")]


def trials(seed: int = 0) -> pl.DataFrame:
    """Make eight trials of each tuned cell, one of them failed."""
    rng = np.random.default_rng(seed)
    made = []
    for dataset in DATASETS:
        for model in MODELS[1::2]:
            for number in range(8):
                params = {
                    "lr": float(rng.uniform(1e-4, 1e-2)),
                    "hidden": int(rng.integers(8, 256)),
                    "kind": str(rng.choice(["a", "b"])),
                    "same": 1,
                }
                status = "timeout" if number == 5 else "ok"
                value = None if number == 5 else 0.9 + 0.1 * params["lr"] * 100 + rng.normal(0, 0.01)
                made.append(
                    {
                        "task_id": TASK_ID,
                        "dataset": dataset,
                        "model": model,
                        "number": number,
                        "seed": number,
                        "status": status,
                        "reason": "",
                        "value": value,
                        "fit_seconds": 1.5,
                        "predict_seconds": 0.1,
                        "peak_memory_mb": 100.0,
                        "device": "cpu",
                        "params": json.dumps(params),
                    }
                )
    return pl.DataFrame(made, infer_schema_length=None)


def forecasts(seed: int = 0) -> dict[str, Any]:
    """Collect figures of nine weekly series, forecast in two windows, with a gap in one of them."""
    rng = np.random.default_rng(seed)
    t = np.arange(STEPS)
    values = 40 + 10 * np.sin(2 * np.pi * t / 7) + rng.normal(0, 4, (SERIES, STEPS)) + 5 * np.arange(SERIES)[:, None]
    cutoffs = [STEPS - 2 * HORIZON, STEPS - HORIZON]
    predictions, scores = {}, {}
    for at, model in enumerate(MODELS):
        parts = []
        for cutoff in cutoffs:
            median = values[:, cutoff - 7 : cutoff][:, np.arange(HORIZON) % 7] + 0.4 * at
            parts.append({"quantiles": median[:, :, None] + 8 * (np.array(LEVELS) - 0.5) * (1 + 0.05 * np.arange(HORIZON)[:, None])})
        predictions[model] = parts
        scores[model] = np.abs(rng.normal(0.9, 0.2, SERIES)) + 0.04 * at
    values[0, STEPS - 20] = np.nan
    names = [MARKUP, *(f"item-{n}" for n in range(1, SERIES))]
    time = [str(np.datetime64("2024-01-01") + int(n)) for n in t]
    by_step = {model: list(0.7 + 0.03 * at + 0.02 * np.arange(HORIZON)) for at, model in enumerate(MODELS)}
    return forecast_figures.collect(
        names, time, values, cutoffs, HORIZON, LEVELS, predictions, scores, MODELS[0], metric="MASE", by_step=by_step
    )


def anomalies(seed: int = 0, steps: int = 3000) -> dict[str, Any]:
    """Collect figures of five series with marked incidents."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (5, steps)) + np.sin(np.arange(steps) / 40)
    windows = [[(1500, 1560), (2300, 2310)], [(2000, 2040)], [], [(1300, 1400)], [(2900, 2999)]]
    scores = {}
    for model in ("rolling-mean", ATTACK):
        score = np.abs(rng.normal(0, 1, (5, steps)))
        score[:, :1000] = np.nan
        for n, own in enumerate(windows):
            for first, last in own:
                values[n, first : last + 1] += 4
                score[n, first : last + 1] += 2.5
        scores[model] = score
    names = [f"cpu-{n}" for n in range(4)] + [ATTACK]
    judged = {model: np.array([0.7, 0.5, np.nan, 0.4, 0.9]) for model in scores}
    time = [str(np.datetime64("2024-01-01T00:00") + 5 * n) for n in range(steps)]
    thresholds = dict.fromkeys(scores, 3.2)
    return anomaly_figures.collect(names, time, values, scores, thresholds, windows, [1000] * 5, "rolling-mean", judged=judged)


CHURN_ID = "churn/v1/h=28d/elig=h/split=time/cutoffs=2/activity=purchase/rows=all"
CHURN_MODELS = ("lstm", "rfm-logit", ATTACK, LONG, RIGHT_TO_LEFT, MARKUP, "base-rate")


LOST = [
    {"group": "kind", "what": "purchase", "drop": 0.2, "low": 0.15, "high": 0.25},
    {"group": "time", "what": "the last 7 days", "drop": 0.05, "low": 0.01, "high": 0.09},
    {"group": "aggregate", "what": "recency", "drop": -0.01, "low": -0.02, "high": 0.0},
    {"group": "aggregate", "what": "tenure", "drop": 0, "low": 0, "high": 0},
]
"""What a model is told to look at."""


def churn(seed: int = 0, users: int = 900, off: float = 0.0) -> dict[str, Any]:
    """Collect figures of seven models at two cut-offs, each worse than the one before; `off` is added to all predictions."""
    rng = np.random.default_rng(seed)
    cutoffs = ("2024-03-01", "2024-03-29")
    chance = {cutoff: rng.beta(2, 2, users) for cutoff in cutoffs}
    truth = {cutoff: (rng.random(users) < p).astype(np.int8) for cutoff, p in chance.items()}

    def blurred(p: np.ndarray, at: int) -> np.ndarray:
        return np.clip(p + rng.normal(0, 0.08 * at, users) + off, 0, 1)

    predictions = {m: {cutoff: blurred(p, at) for cutoff, p in chance.items()} for at, m in enumerate(CHURN_MODELS[:-1])}
    predictions[CHURN_MODELS[-1]] = {cutoff: np.full(users, 0.5 + off) for cutoff in cutoffs}
    rates = {"2024-02-02": 0.45, **{cutoff: float(y.mean()) for cutoff, y in truth.items()}}
    return churn_figures.collect(rates, truth, predictions, "lstm", reference="rfm-logit")


def churn_row(at: int, model: str) -> dict[str, Any]:
    """Make a row of a churn board."""
    auc = 0.8 - 0.03 * at
    kept = {k: v for k, v in row("shop", at, model).items() if not k.startswith(("mase", "sql", "wape", "coverage", "level", "skill"))}
    scores = {"roc_auc": auc, "roc_auc_low": auc - 0.02, "roc_auc_high": auc + 0.02, "ap_churn": auc, "skill": auc - 0.77}
    own = {"task": "churn", "task_id": CHURN_ID, "n_test": 900, "reference": "rfm-logit", "objective": "roc_auc"}
    return {**kept, **own, **scores, "simulated": False, "horizon_days": 28.0, "base_rate": 0.5, "protocol": "churn/v1"}


def write_churn_run(folder: Path, figure: dict[str, Any] | None = None) -> Path:
    """Write the run folder of a churn board: rows, and the figures."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "leaderboard.parquet", Board.build([churn_row(at, model) for at, model in enumerate(CHURN_MODELS)]).rows)
    asked = {"key": "k", "reason": "", "users": 900, "auc": 0.8, "rows": LOST}
    figures = [{"task_id": CHURN_ID, "dataset": "shop", **(figure or {**churn(), "looks_at": {"lstm": asked}})}]
    (folder / "figures.json").write_text(json.dumps(figures, allow_nan=False))
    return folder


def write_run(folder: Path) -> Path:
    """Write the run folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "leaderboard.parquet", Board.build(rows()).rows)
    trials().write_parquet(folder / "trials.parquet")
    figures = [{"task_id": TASK_ID, "dataset": dataset, **forecasts(at)} for at, dataset in enumerate(DATASETS)]
    (folder / "figures.json").write_text(json.dumps(figures, allow_nan=False))
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / "retail-sim-gru.txt").write_text(f"Traceback\nMemoryError {ATTACK}\n")
    config = {
        "task": "forecasting",
        "datasets": ["retail", "series=my file.csv"],
        "profile": "short",
        "options": {"horizon": "14"},
        "seed": 0,
        "device": "auto",
    }
    datasets = [
        {"name": d, "task_id": TASK_ID, "facts": {"series": SERIES, "horizon_days": 14.0}, "notes": [f"9 series {MARKUP}"]}
        for d in DATASETS
    ]
    models = [{"name": m, "source_hash": "0" * 64, "versions": {"python": "3.11"}, "status": "ok", "reason": ""} for m in MODELS]
    about = {
        "config": config,
        "finished": True,
        "written": "2026-01-02T03:04:05+00:00",
        "bench_version": "0.1.0",
        "hardware": {"workers": 2},
    }
    (folder / "run.json").write_text(json.dumps({**about, "datasets": datasets, "models": models}))
    return folder
