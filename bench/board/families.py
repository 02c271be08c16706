"""What beats a board's best floor, in words; and anomaly boards beside each other: which are trivial, whether families agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from bench.board.metrics import ranking_label, ranking_metric, ranking_of
from bench.board.numbers import clean, plain, several, signed, span
from bench.board.ranking import boards, candidates, merit, value
from bench.board.schema import Row

TRIVIAL = 0.8
"""VUS-PR above which a floor shows that a board is trivial."""
FLOORS = (
    "random", "abs-median", "abs-median-centred", "rolling-deviation", "rolling-deviation-centred", "rolling-variance",
    "rolling-variance-centred", "rolling-mean", "rolling-mean-centred", "seasonal-residual", "seasonal-residual-centred", "sub-pca",
    "sub-pca-whole", "iforest", "iforest-whole", "matrix-profile",
)  # fmt: skip
FLOOR, FIRST_FLOOR = "the best floor", "rolling-mean"
"""What models are compared with; boards of the first protocol compared all of them with one floor."""
LEAST = 3
"""Fewest common models of which an agreement of ranks is told."""
LEAST_FITS, TRUSTED = 6, 0.3
"""Fewest fits of which a correlation is told; below the other it is called none."""


def flag_trivial(rows: Sequence[Row]) -> list[Row]:
    """Flag all scored rows of each data set and family on which a floor's VUS-PR is above `TRIVIAL`."""
    easy = {
        (r["task_id"], r["dataset"])
        for r in rows
        if r["task"] == "anomaly" and r["status"] == "ok" and r["model"] in FLOORS and (r.get("vus_pr") or 0.0) > TRIVIAL
    }
    return [
        {**r, "flags": [*(r.get("flags") or []), "trivial"]} if r["status"] == "ok" and (r["task_id"], r["dataset"]) in easy else dict(r)
        for r in rows
    ]


def family_words(rows: Sequence[Row]) -> list[str]:
    """Describe what beats each board's best floor, whether its search agreed with the labels, and its families with each other."""
    own = [row for row in rows if row["task"] == "anomaly" or ranking_of(row).floors]
    told = [words for members in boards(own).values() if (words := _against_floor([own[at] for at in members], own))]
    own = [row for row in own if row["task"] == "anomaly"]
    told += search_agreement_words(own)
    return told + [words for dataset in dict.fromkeys(r["dataset"] for r in own) for words in _agreement(own, dataset)]


def search_agreement_words(rows: Sequence[Row]) -> list[str]:
    """Describe, for each labelled anomaly board, whether the scores that steered its search agree with the labels."""
    each = [[r for r in rows if r["task_id"] == task_id] for task_id in dict.fromkeys(r["task_id"] for r in rows)]
    return [words for own in each if (words := _search_agreement(own))]


def _against_floor(rows: Sequence[Row], own: Sequence[Row]) -> str:
    """Describe one league's models beside the best floor that it allows; `own`: the rows of both leagues."""
    standing = [rows[at] for at in candidates(rows)]
    models = [row for row in standing if row["model"] not in (*FLOORS, *ranking_of(row).floors) and row.get("above_floor") is not None]
    if not models:
        return ""
    better: list[str] = []
    worse: list[str] = []
    open_: list[str] = []
    for row in sorted(models, key=lambda r: -r["above_floor"]):
        low, high = row.get("above_floor_low"), row.get("above_floor_high")
        words = f"{clean(row['model'])} ({signed(row['above_floor'])}, {span(low, high, signed)})"
        (better if low is not None and low > 0 else worse if high is not None and high < 0 else open_).append(words)
    one = models[0]
    modes = {"causal", one.get("mode")}
    same = [r for r in own if (r["task_id"], r["dataset"]) == (one["task_id"], one["dataset"]) and r.get("mode") in modes]
    floor = _floor_words([same[at] for at in candidates(same)])
    said = [
        f"{several(better, 8)} beat{'s' * (len(better) == 1)} {floor}" if better else f"no model beats {floor} beyond doubt",
        f"not separable from it: {several(open_, 8)}" if open_ else "",
        f"below it: {several(worse, 8)}" if worse else "",
    ]
    board = ", ".join([clean(one["dataset"]), *([one["family"], one["mode"]] if one.get("family") else [])])
    return f"{board}: {'; '.join(filter(None, said))}"


def _floor_words(standing: Sequence[Row]) -> str:
    """Name the floor that a board's models were compared with."""
    if standing[0]["task_id"].startswith("anomaly/v1/"):
        return FIRST_FLOOR
    known = ranking_of(standing[0]).floors
    floors = [row for row in standing if row["model"] in known and _scored(row)]
    best = max(floors, key=lambda r: (merit(r), r["model"]), default=None)
    return FLOOR if best is None else f"{FLOOR} ({clean(best['model'])})"


def _scored(row: Row) -> bool:
    return row.get(ranking_metric(row)[0]) is not None


def _search_agreement(rows: Sequence[Row]) -> str:
    """Return how the scores that steered the search, without labels, rank the fits that the labels have scored."""
    from scipy.stats import spearmanr

    kept = [
        r
        for r in rows
        if r.get("family") == "labelled" and r["tuning"] != "tuned" and r.get("trials") and r["model"] != "ensemble"
        if r.get("valid_score") is not None and _scored(r)
    ]
    pairs = np.array([(r["valid_score"], value(r)) for r in kept], np.float64).reshape(-1, 2)
    if len(pairs) < LEAST_FITS or not np.ptp(pairs, axis=0).min() > 0:
        return ""
    rho = float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
    models = len({r["model"] for r in kept})
    doubt = "" if rho >= TRUSTED else "; do not trust what was chosen without labels"
    return (
        f"{clean(kept[0]['dataset'])}, labelled: rank correlation of the search's scores, from injections, "
        f"with {ranking_label(kept[0])} by the labels "
        f"{signed(rho, 2)} over {len(pairs)} fits of {models} models{doubt}"
    )


def agreement_words(details: Sequence[Mapping[str, Any]]) -> list[str]:
    """Describe, for each labelled anomaly board, how the models' agreement with each other ranks them beside the labels.

    `details`: task_id, dataset, model, by, at, search_score, vus_pr, as in `details.parquet`. Agreement needs no label and no
    injection: what it would have chosen stands beside the best.
    """
    told = []
    for task_id, dataset in dict.fromkeys((d["task_id"], d["dataset"]) for d in details if d.get("by") == "steering"):
        own = [d for d in details if (d["task_id"], d["dataset"], d.get("by"), d["at"]) == (task_id, dataset, "steering", "agreement")]
        if "family=labelled" in task_id and (words := _agreed(own)):
            told.append(f"{clean(dataset)}, labelled: {words}")
    return told


def _agreed(found: Sequence[Mapping[str, Any]]) -> str:
    from scipy.stats import spearmanr

    pairs = np.array([(d["search_score"], d["vus_pr"]) for d in found], np.float64).reshape(-1, 2)
    if len(pairs) < LEAST_FITS or not np.ptp(pairs, axis=0).min() > 0:
        return ""
    rho = float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
    taken, best = (found[int(pairs[:, at].argmax())] for at in (0, 1))
    return (
        f"rank correlation of the models' agreement with each other, without labels or injections, with VUS-PR {signed(rho, 2)} over "
        f"{len(pairs)} models; {clean(taken['model'])} agrees most ({plain(taken['vus_pr'])}), {clean(best['model'])} is best "
        f"({plain(best['vus_pr'])})"
    )


def _agreement(rows: Sequence[Row], dataset: str) -> list[str]:
    """Return Kendall's tau between the scores of the models that two families have in common."""
    from scipy.stats import kendalltau

    scores: dict[str, dict[str, float]] = {}
    own = [row for row in rows if row["dataset"] == dataset]
    for at in candidates(own):
        scores.setdefault(own[at]["family"], {})[own[at]["model"]] = value(own[at])
    told = []
    for one, other in combinations(sorted(scores), 2):
        common = sorted(set(scores[one]) & set(scores[other]))
        pairs = np.array([(scores[one][m], scores[other][m]) for m in common]).reshape(-1, 2)
        if len(common) >= LEAST and np.ptp(pairs, axis=0).min() > 0:
            tau = float(kendalltau(pairs[:, 0], pairs[:, 1]).statistic)
            told.append(f"{clean(dataset)}: rank agreement of {one} and {other}: Kendall tau {signed(tau, 2)} over {len(common)} models")
    return told
