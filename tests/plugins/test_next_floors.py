"""Floors of the next-event task: published baskets, and an implementation of each definition that shares no code."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from bench.api import Context
from bench.data.ranking import NextInputs, NextTrain
from bench.errors import PluginError
from bench.metrics.next_event import Targets, places_of, ranking_scorer
from bench_plugins._item_links import inverse
from bench_plugins.next_als import ALS
from bench_plugins.next_floors import LastItem, PersonalTop, Popular, RecentPopular
from bench_plugins.next_links import EASE, ItemKNN, Markov

CTX = Context()
FLOORS = (Popular, RecentPopular, PersonalTop, LastItem, Markov, ItemKNN, EASE, ALS)


def histories(lists: list[list[int]], items: int, times: list[list[float]] | None = None, **fields) -> NextTrain:
    item = np.array([i for one in lists for i in one], np.int32)
    time = np.concatenate([np.arange(len(one), dtype=float) for one in lists]) if times is None else np.concatenate(times)
    return NextTrain(
        offsets=np.r_[0, np.cumsum([len(one) for one in lists])].astype(np.int64), item=item, kind=np.zeros(len(item), np.int16),
        time=time.astype(float), group=np.arange(len(lists)), items=items, until=float(time.max(initial=0)) + 1, **fields,
    )  # fmt: skip


def answered(model, train: NextTrain, inputs: NextInputs | None = None):
    model.fit(train, CTX)
    return model.predict(train if inputs is None else inputs, CTX)


@pytest.fixture(scope="module")
def baskets(real: Path) -> tuple[NextTrain, Targets]:
    """Read the baskets of Ta-Feng; items are numbered by the order of the file of popularity."""
    folder = real / "ta_feng"
    past, future = (json.loads((folder / f"tafeng_{name}.json").read_text()) for name in ("history", "future"))
    with (folder / "tafeng_pop.csv").open() as file:
        order = [int(line["product_id"]) for line in csv.DictReader(file)]
    known = {i for user in past.values() for basket in user[1:-1] for i in basket} | {i for b in future.values() for i in b[1]}
    order += sorted(known - set(order))
    number = {item: at for at, item in enumerate(order)}
    lists = [[number[i] for basket in past[user][1:-1] for i in basket] for user in future]
    times = [np.repeat(np.arange(len(past[u]) - 2), [len(b) for b in past[u][1:-1]]).astype(float) for u in future]
    wanted = [[number[i] for i in basket[1]] for basket in future.values()]
    offsets, n = np.r_[0, np.cumsum([len(w) for w in wanted])], len(wanted)
    item = np.array([i for w in wanted for i in w], np.int32)
    some = np.ones(n, bool)
    return histories(lists, len(order), times), Targets(offsets, item, np.zeros(len(item), bool), some, some, np.arange(n), len(order))


def recall_ndcg_phr(targets: Targets, items: np.ndarray) -> list[float]:
    n = len(targets.group)
    scores = ranking_scorer(targets, items).score(np.ones((1, n)))
    hit = np.bincount(targets.row, weights=places_of(targets, items) < 10, minlength=n) > 0
    return [round(float(v), 4) for v in (scores["recall_10"][0], scores["ndcg_10"][0], hit.mean())]


def own_alone(train: NextTrain, items: np.ndarray) -> np.ndarray:
    """Keep the items of a user's own history: the floors without what fills them up."""
    pairs = train.row * train.items + train.item
    return np.where(np.isin(np.arange(len(items))[:, None] * train.items + items, pairs), items, -1)


@pytest.mark.parametrize(
    ("model", "filled", "own"),
    [
        (Popular({}), [0.0803, 0.0875, 0.2489], None),
        (PersonalTop({"half_life": 1e9, "everybody": 1e-4}), [0.1195, 0.1069, 0.3721], [0.1062, 0.1014, 0.3513]),
        (LastItem({}), None, [0.0991, 0.0801, 0.3337]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_next_baskets_of_ta_feng_are_found_as_often_as_published(model, filled, own, baskets):
    train, targets = baskets
    items = answered(model, train).items
    assert filled is None or recall_ndcg_phr(targets, items) == filled
    assert own is None or recall_ndcg_phr(targets, own_alone(train, items)) == own


@pytest.fixture(scope="module")
def films(real: Path) -> tuple[NextTrain, Targets]:
    """Split MovieLens at one time: histories before it, and what each user of them rated after it for the first time."""
    with next((real / "movielens_latest_small").rglob("ratings.csv")).open() as file:
        rows = sorted((int(r["userId"]), int(r["timestamp"]), int(r["movieId"])) for r in csv.DictReader(file))
    cut = sorted(time for _, time, _ in rows)[len(rows) * 8 // 10]
    count: dict[int, int] = {}
    for _, time, film in rows:
        count[film] = count.get(film, 0) + (time < cut)
    order = sorted((f for f, n in count.items() if n >= 10), key=lambda f: (-count[f], f))
    number = {film: at for at, film in enumerate(order)}
    past: dict[int, list[int]] = {}
    later: dict[int, list[int]] = {}
    for user, time, film in rows:
        if film in number:
            (past if time < cut else later).setdefault(user, []).append(number[film])
    users = sorted(past)
    wanted = [later.get(user, []) for user in users]
    asked = [at for at, films in enumerate(wanted) if films]
    train = histories([past[user] for user in users], len(order), once=True)
    item = np.array([i for at in asked for i in wanted[at]], np.int32)
    offsets, some = np.r_[0, np.cumsum([len(wanted[at]) for at in asked])], np.ones(len(asked), bool)
    return train, Targets(offsets, item, np.zeros(len(item), bool), some, some, np.array(asked), len(order))


def scored_by_hand(scores: np.ndarray, had: np.ndarray, targets: Targets) -> tuple[float, float]:
    """Mask, sort full rows and compute nDCG@10 and recall@10: plain numpy from the definitions, float64."""
    scores = np.where(had > 0, -np.inf, scores)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    ndcgs, recalls = [], []
    for at, row in enumerate(targets.group):
        wanted = set(targets.item[targets.offsets[at] : targets.offsets[at + 1]].tolist())
        gains = [1 / np.log2(k + 2) for k, item in enumerate(order[row].tolist()) if item in wanted]
        ndcgs.append(sum(gains) / sum(1 / np.log2(k + 2) for k in range(min(10, len(wanted)))))
        recalls.append(len(gains) / len(wanted))
    return float(np.mean(ndcgs)), float(np.mean(recalls))


def popularity_by_hand(had: np.ndarray, _: NextTrain) -> np.ndarray:
    return np.broadcast_to(had.sum(0), had.shape)


def neighbours_by_hand(had: np.ndarray, train: NextTrain) -> np.ndarray:
    common, size = had.T @ had, np.sqrt(had.sum(0))
    alike = common / (np.outer(size, size) + 10.0)
    np.fill_diagonal(alike, 0.0)
    scores = np.zeros_like(had)
    for item in range(train.items):
        near = np.argsort(-alike[item], kind="stable")[:50]
        scores[:, item] = had[:, near] @ alike[item, near]
    return scores


def ease_by_hand(had: np.ndarray, train: NextTrain) -> np.ndarray:
    inverse = np.linalg.inv(had.T @ had + 200.0 * np.eye(train.items))
    links = np.eye(train.items) - inverse / np.diag(inverse)
    return had @ links


@pytest.mark.parametrize(
    ("model", "by_hand"),
    [
        (Popular({}), popularity_by_hand),
        (ItemKNN({"neighbours": 50, "shrinkage": 10.0}), neighbours_by_hand),
        (EASE({"penalty": 200.0}), ease_by_hand),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_films_are_found_as_often_as_by_an_independent_implementation(model, by_hand, films):
    train, targets = films
    had = np.zeros((len(train), train.items))
    had[train.row, train.item] = 1.0
    items = answered(model, train).items[targets.group]
    scores = ranking_scorer(targets, items).score(np.ones((1, len(items))))
    assert (scores["ndcg_10"][0], scores["recall_10"][0]) == pytest.approx(scored_by_hand(by_hand(had, train), had, targets), abs=5e-5)


def test_markov_is_the_smoothed_share_of_what_followed():
    train = histories([[0, 1, 0, 1, 2], [0, 2]], 3)
    found = answered(Markov({"smoothing": 1.0}), train, histories([[1, 0], [2], [3]], 3))
    chance = {(row, int(i)): float(s) for row in range(3) for i, s in zip(found.items[row], found.scores[row], strict=True)}
    share = np.array([3, 2, 2]) / 7
    assert [chance[0, i] for i in range(3)] == pytest.approx((np.array([0, 2, 1]) + share) / 4)
    assert [chance[1, i] for i in range(3)] == pytest.approx(share), "nothing followed"
    assert [chance[2, i] for i in range(3)] == pytest.approx(share), "not in the catalogue"


def test_recent_popularity_counts_the_window_and_then_the_past():
    train = histories([[0, 0, 0, 1, 2, 2]], 4, [np.array([0, 1, 2, 3, 95.0, 99.0])])
    found = answered(RecentPopular({"days": 28.0}), train)
    assert found.items[0].tolist() == [2, 0, 1, 3]


def test_a_personal_favourite_fades():
    train = histories([[0, 0, 0, 1]], 3, [np.array([0, 1, 2, 300.0])])
    assert answered(PersonalTop({"half_life": 3650.0, "everybody": 1e-4}), train).items[0].tolist() == [0, 1, 2]
    assert answered(PersonalTop({"half_life": 30.0, "everybody": 1e-4}), train).items[0].tolist() == [1, 0, 2]


def test_als_finds_the_block_that_a_user_belongs_to():
    pytest.importorskip("implicit")
    rng = np.random.default_rng(0)
    lists = [(rng.permutation(10)[:6] + 10 * (user % 2)).tolist() for user in range(60)]
    train = histories(lists, 20, once=True)
    model = ALS({"factors": 2, "penalty": 0.1, "weight": 10.0})
    top = answered(model, train).items[:, :4]
    assert ((top // 10) == (np.arange(60) % 2)[:, None]).all()


def test_als_folds_a_history_in_as_its_library_does():
    als = pytest.importorskip("implicit.cpu.als")
    from scipy import sparse
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(1)
    train = histories([rng.permutation(20)[:6].tolist() for _ in range(40)], 20)
    model = ALS({"factors": 5, "penalty": 0.3, "weight": 7.0})
    model.fit(train, CTX)
    matrix = sparse.csr_matrix((np.full(len(train.item), 7.0, np.float32), (train.row, train.item)), shape=(40, 20))
    with threadpool_limits(1, "blas"):
        library = als.AlternatingLeastSquares(factors=5, regularization=0.3, alpha=1.0, num_threads=1)
        library.item_factors = model.state["factors"]
        factors = library.recalculate_user(np.arange(40), matrix)
    assert model.scores(train) == pytest.approx(factors @ model.state["factors"].T, abs=1e-4)


@pytest.mark.parametrize("model_class", FLOORS, ids=lambda m: m.name)
@pytest.mark.parametrize("once", [False, True])
def test_floors_answer_for_nobody_and_the_unknown_and_keep_rows_apart(model_class, once, tmp_path):
    if model_class.requires:
        pytest.importorskip(model_class.requires[0])
    rng = np.random.default_rng(3)
    train = histories([rng.integers(0, 13, n).tolist() for n in (0, 1, 9, 30, 4, 7, 12)], 12, once=once)
    model = model_class(model_class.default())
    model.fit(train, CTX)
    asked = histories([[], [12], [3, 12, 5], rng.integers(0, 12, 40).tolist()], 12, once=once)
    whole = model.predict(asked, CTX)
    for row, shown in enumerate(whole.items):
        ranked = shown[shown >= 0].tolist()
        had = set(asked.item[asked.offsets[row] : asked.offsets[row + 1]].tolist()) - {12} if once else set()
        assert sorted(ranked) == sorted(set(range(12)) - had)
        alone = model.predict(asked.take(np.array([row])), CTX)
        assert (alone.items[0] == shown).all()
    model.save(tmp_path)
    again = model_class(model_class.default())
    again.load(tmp_path)
    assert (again.predict(asked, CTX).items == whole.items).all()


def test_floors_serve_kinds_with_probabilities():
    train = histories([[0, 1, 1, 2], [1, 0, 1]], 3, target="kind")
    for model_class in FLOORS[:7]:
        scores = answered(model_class(model_class.default()), train).scores
        assert scores.sum(1) == pytest.approx(1.0, abs=1e-5), model_class.name
        assert (scores >= 0).all()


def test_als_fits_more_factors_than_there_are_items():
    pytest.importorskip("implicit", reason="needs implicit: pip install 'seqbench[als]'")
    # every user has had nearly all of seven kinds: the penalty alone keeps the equations regular
    rng = np.random.default_rng(0)
    lists = [rng.permutation(7)[: 5 + n % 3].tolist() for n in range(3000)]
    found = answered(ALS({**ALS.default(), "weight": 100.0}), histories(lists, 7))
    assert np.isfinite(found.scores).all()
    assert (np.sort(found.items, axis=1) == np.arange(7)).all()


@pytest.mark.parametrize("number", [np.float32, np.float64])
def test_a_matrix_of_items_is_inverted_where_it_lies(number: type) -> None:
    shared = np.random.default_rng(0).normal(size=(700, 900)).astype(number)  # more rows than are mirrored at once
    matrix = shared @ shared.T + 9 * np.eye(700, dtype=number)
    wanted = np.linalg.inv(matrix.astype(np.float64))
    found = inverse(matrix)
    assert np.shares_memory(found, matrix)
    assert found == pytest.approx(wanted, abs=1e-4 * np.abs(wanted).max() if number is np.float32 else 1e-12)
    with pytest.raises(PluginError, match="raise the penalty"):
        inverse(np.array([[1.0, 2.0], [2.0, 1.0]], number))


def test_counting_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    train = histories([rng.integers(0, 13, n).tolist() for n in rng.integers(0, 9, 60)], 12)
    whole = {model: answered(model(model.default()), train) for model in (Markov, ItemKNN, EASE)}
    monkeypatch.setattr("bench_plugins.next_links.PAIRS", 5)
    monkeypatch.setattr("bench_plugins._item_links.AT_ONCE", 24)
    for model, ranking in whole.items():
        again = answered(model(model.default()), train)
        assert np.array_equal(again.items, ranking.items), model.name
        assert again.scores == pytest.approx(ranking.scores, abs=1e-6)


def test_ease_in_single_precision_ranks_as_in_double(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    train = histories([rng.integers(0, 40, n).tolist() for n in rng.integers(1, 30, 200)], 40)
    double = answered(EASE(EASE.default()), train)
    monkeypatch.setattr("bench_plugins.next_links.EXACT_ITEMS", 0)
    assert answered(EASE(EASE.default()), train).scores == pytest.approx(double.scores, abs=1e-4)
