"""The churn protocol: against a plain transcription of its rules, and against leaks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.api import STATIC, ChurnInputs
from bench.data.events import Events
from bench.data.ragged import id_hashes
from bench.errors import ConfigError, PluginError, ProtocolError
from bench.metrics.churn import churn_metrics
from bench.tasks.base import is_unseen
from bench.tasks.churn.history import DAY, prepare, rows_at
from bench.tasks.churn.protocol import Protocol, _tested_only, choose, default_horizon, label
from bench.tasks.churn.rows import joined
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import PROFILES, Profile

START = datetime(2024, 1, 1, tzinfo=UTC)
FULL = PROFILES["full"]
FIELDS = (
    "offsets", "days_before_cutoff", "gap", "kind", "value", "count", "static", "features", "cutoff", "group", "item", "item_offsets",
)  # fmt: skip


def log(
    rows: list[tuple[str, float, str, float | None]], activity: tuple[str, ...] = ("purchase",), items: list[str | None] | None = None
) -> Events:
    """Make a log of (user, day, kind, value), and the item of each row where they name one."""
    user, day, kind, value = zip(*rows, strict=True)
    frame = pl.DataFrame(
        {"user": user, "time": [START + timedelta(days=d) for d in day], "kind": kind, "value": pl.Series(value, dtype=pl.Float64)}
    )
    return Events.build(
        frame if items is None else frame.with_columns(item=pl.Series(items, dtype=pl.String)), name="made", activity=activity
    )


def random_log(seed: int, users: int = 300, days: int = 200) -> Events:
    rng = np.random.default_rng(seed)
    rate = rng.gamma(1.0, 8.0, users)
    user = np.repeat(np.arange(users), rng.poisson(rate) + 1)
    day = rng.integers(0, days * 24, len(user)) / 24
    kind = np.where(rng.random(len(user)) < 0.1, "cancel", "purchase")
    rows = [(f"u{u}", d, str(k), v) for u, d, k, v in zip(user, day, kind, rng.gamma(2, 10, len(user)).round(2), strict=True)]
    return log(rows, items=[None if i == 0 else f"i{i}" for i in rng.integers(0, 30, len(user))])


def plain_row(events: Events, user: str, cutoff: int, horizon: int) -> dict[str, float]:
    """Transcribe the aggregates for one user, event by event."""
    own = events.frame.filter(pl.col("user").cast(pl.String) == user)
    time = own["time"].to_physical().to_numpy()
    active = (own["kind"].cast(pl.String) == "purchase").to_numpy() & (time <= cutoff)
    t, value = time[active], own["value"].fill_null(0).to_numpy()[active]
    days = sorted({x // DAY for x in t.tolist()})
    gaps = np.diff(days)
    counts = {
        f"count_{name}": ((t > cutoff - w) & (t <= cutoff)).sum()
        for name, w in zip(("h4", "h2", "h", "2h"), (horizon // 4, horizon // 2, horizon, 2 * horizon), strict=True)
    }
    return {
        "recency": (cutoff - t.max()) / DAY, "tenure": (cutoff - t.min()) / DAY, "n_days": len(days), "n_events": len(t),
        "value_sum": value.sum(), "value_mean": value.mean(), "gap_mean": gaps.mean() if len(gaps) else 0.0,
        "gap_std": gaps.std() if len(gaps) else 0.0, **counts,
    }  # fmt: skip


def same(a: ChurnInputs, b: ChurnInputs) -> bool:
    """Compare two inputs bit by bit."""
    return a.kinds == b.kinds and all(getattr(a, f).tobytes() == getattr(b, f).tobytes() for f in FIELDS)


@pytest.mark.parametrize("seed", range(3))
def test_the_aggregates_equal_a_plain_transcription(seed: int) -> None:
    events = random_log(seed, users=40)
    history = prepare(events)
    cutoff, horizon = history.first + 120 * DAY + 12345, 28 * DAY
    labelled = label(history, cutoff, Protocol(horizon, ever=True, by_user=False, fit=(), valid=0, test=0), None, ("?",))
    names = events.frame["user"].dtype.categories
    assert len(labelled.users) > 20
    for row, user in enumerate(labelled.users):
        wanted = plain_row(events, names[int(user)], cutoff, horizon)
        got = dict(zip(STATIC, labelled.inputs.static[row], strict=True))
        assert got == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("ever", [True, False])
def test_eligibility_and_labels_follow_the_rule(ever: bool) -> None:
    events = random_log(7)
    history = prepare(events)
    cutoff, horizon = history.first + 100 * DAY, 7 * DAY
    labelled = label(history, cutoff, Protocol(horizon, ever=ever, by_user=False, fit=(), valid=0, test=0), None, ("?",))
    active = events.frame.filter(pl.col("kind").cast(pl.String) == "purchase").with_columns(t=pl.col("time").to_physical())
    low = 0 if ever else cutoff - horizon
    eligible = set(active.filter((pl.col("t") > low) & (pl.col("t") <= cutoff))["user"].cast(pl.String))
    stays = set(active.filter((pl.col("t") > cutoff) & (pl.col("t") <= cutoff + horizon))["user"].cast(pl.String))
    names = events.frame["user"].dtype.categories
    assert {names[int(u)]: bool(y) for u, y in zip(labelled.users, labelled.y, strict=True)} == {u: u not in stays for u in eligible}


def test_boundaries_are_closed_on_the_right() -> None:
    events = log([("at-cutoff", 10, "purchase", 1), ("at-end", 5, "purchase", 1), ("at-end", 17, "purchase", 1), ("late", 5, "purchase", 1),
                  ("late", 17.001, "purchase", 1), ("old", 3, "purchase", 1)])  # fmt: skip
    history = prepare(events)
    cutoff = int((START + timedelta(days=10)).timestamp()) * 1_000_000
    labelled = label(history, cutoff, Protocol(7 * DAY, ever=False, by_user=False, fit=(), valid=0, test=0), None, ("?",))
    names = events.frame["user"].dtype.categories
    got = {names[int(u)]: int(y) for u, y in zip(labelled.users, labelled.y, strict=True)}
    assert got == {"at-cutoff": 1, "at-end": 0, "late": 1}  # `old` bought at cutoff - H exactly: outside (t - H, t]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), keep=st.floats(0, 1), shift=st.floats(0, 30))
def test_changing_or_deleting_the_future_leaves_every_feature_bit_identical(seed: int, keep: float, shift: float) -> None:
    events = random_log(seed % 50)
    history = prepare(events)
    cutoff, horizon = history.first + 110 * DAY, 14 * DAY
    kinds = ("?", "cancel", "purchase")
    rng = np.random.default_rng(seed)
    frame = events.frame.with_columns(pl.col(c).cast(pl.String) for c in ("user", "kind", "item"))
    past = frame.filter(pl.col("time").to_physical() <= cutoff)
    future = frame.filter(pl.col("time").to_physical() > cutoff).filter(pl.Series(rng.random(len(frame) - len(past)) < keep))
    future = future.with_columns(
        pl.col("time") + timedelta(days=shift), pl.col("value") * 7, kind=pl.lit("purchase"), user=pl.concat_str(pl.lit("a"), "user"),
        item=pl.concat_str(pl.lit("a"), "item"),
    )  # fmt: skip
    changed = prepare(Events.build(pl.concat([past, future]), name="made", activity=("purchase",)))
    protocol = Protocol(horizon, ever=True, by_user=False, fit=(), valid=0, test=0)
    before, after = (label(h, cutoff, protocol, 32, kinds).inputs for h in (history, changed))
    # rows stand in the order of user names: new names may move them, so they are compared by user
    order_before, order_after = np.argsort(before.group), np.argsort(after.group)
    assert len(before.item) > 100
    assert same(before.take(order_before), after.take(order_after))


def test_the_future_of_real_purchases_changes_no_feature(real: Path) -> None:
    from bench_datasets.retail import Retail

    events = Retail().read(real / "cdnow" / "CDNOW_master.txt", {})
    split = Churn().split(events, {"horizon": "91d", "cutoffs": "1"}, FULL, 0)
    valid = pl.lit(datetime(1997, 12, 30, tzinfo=UTC)).cast(pl.Datetime("us", "UTC"))
    frame = events.frame.with_columns(pl.col(c).cast(pl.String) for c in ("user", "kind", "item"))
    wrong = frame.with_columns(pl.when(pl.col("time") > valid).then(-1e6).otherwise(pl.col("value")).alias("value"))
    blind = Churn().split(Events.build(wrong, name="x", activity=events.activity), {"horizon": "91d", "cutoffs": "1"}, FULL, 0)
    assert same(split.stages["search"].parts[0], blind.stages["search"].parts[0])
    assert same(split.stages["search"].train, blind.stages["search"].train)
    assert not same(split.stages["final"].parts[0], blind.stages["final"].parts[0])


def test_no_stage_holds_an_event_after_its_cutoff_nor_labels_of_its_inputs() -> None:
    split = Churn().split(random_log(3), {"horizon": "14d"}, FULL, 0)
    for name, stage in split.stages.items():
        assert (stage.parts[0].days_before_cutoff >= 0).all()
        assert (stage.train.days_before_cutoff >= 0).all()
        assert not hasattr(stage.parts[0], "y")
        # training labels end where the inputs' history ends, or else are those of other users
        if not is_unseen(name):
            assert stage.train.cutoff.max() + 14 <= stage.parts[0].cutoff.min()


def test_cdnow_has_the_published_cutoffs_sizes_and_rates(real: Path) -> None:
    from bench_datasets.retail import Retail

    events = Retail().read(real / "cdnow" / "CDNOW_master.txt", {})
    ever = Churn().split(events, {"horizon": "91d", "eligible": "ever", "cutoffs": "1"}, FULL, 0)
    assert ever.facts["fit_cutoffs"] == ["1997-09-30"]
    assert (ever.facts["valid_cutoff"], ever.facts["test_cutoff"]) == ("1997-12-30", "1998-03-31")
    assert ever.facts["n_test"] == 23_570
    assert ever.facts["base_rate"] == pytest.approx(0.859, abs=5e-4)
    active = Churn().split(events, {"horizon": "91d", "cutoffs": "1"}, FULL, 0)
    assert (active.facts["n_test"], round(active.facts["base_rate"], 3)) == (3_831, 0.539)


def test_the_task_id_spells_every_choice_and_cap() -> None:
    split = Churn().split(random_log(1), {"horizon": "14d", "eligible": "ever", "split": "time+user"}, PROFILES["short"], 0)
    assert split.task_id == ("churn/v2/h=14d/elig=ever/split=time+user/cutoffs=3/valid=3/activity=purchase/rows=20000/history=32/epochs=5")


def test_caps_cut_training_rows_and_histories_but_nothing_that_is_scored() -> None:
    events = random_log(2)
    small = Profile("tiny", users=0, rows=100, history=3, epochs=1, trials=1, seeds=1)
    capped, whole = (Churn().split(events, {"horizon": "14d"}, p, 0) for p in (small, FULL))
    assert len(capped.stages["search"].train) == 100
    assert len(whole.stages["search"].train) > 100
    assert capped.stages["final"].parts[0].lengths.max() == 3
    assert np.array_equal(capped.truths["final"].y, whole.truths["final"].y)
    assert capped.stages["final"].parts[0].static.tobytes() == whole.stages["final"].parts[0].static.tobytes()
    assert any("trains on 100 of" in note for note in capped.notes)


def test_users_held_for_testing_are_never_trained_on() -> None:
    split = Churn().split(random_log(5, users=2000), {"horizon": "14d", "split": "time+user"}, FULL, 0)
    tested = set(split.truths["final"].group.tolist())
    trained = set(split.stages["final"].train.group.tolist()) | set(split.stages["search"].parts[0].group.tolist())
    assert tested
    assert not tested & trained
    assert 0.1 < len(tested) / (len(tested) + len(trained)) < 0.3


def test_the_horizon_covers_the_90th_percentile_of_gaps_and_steps_down_on_short_logs() -> None:
    weekly = [(f"u{u}", d + u / 100, "purchase", 1.0) for u in range(20) for d in range(0, 300, 7)]
    assert default_horizon(prepare(log(weekly)), 2) == 7 * DAY
    monthly = [(f"u{u}", d, "purchase", 1.0) for u in range(20) for d in range(0, 600, 25)]
    assert default_horizon(prepare(log(monthly)), 2) == 28 * DAY
    yearly = [(f"u{u}", d, "purchase", 1.0) for u in range(20) for d in range(0, 900, 150)]
    assert default_horizon(prepare(log(yearly)), 2) == 91 * DAY
    short = [(f"u{u}", d, "purchase", 1.0) for u in range(20) for d in range(0, 150, 25)]
    assert default_horizon(prepare(log(short)), 2) == 7 * DAY


def test_a_horizon_that_does_not_fit_is_refused_with_the_dates() -> None:
    with pytest.raises(ProtocolError, match=r"made: horizon 91d does not fit a log from 2024-01-01 to .*test cut-off .*try --set horizon="):
        Churn().split(random_log(1), {"horizon": "91d"}, FULL, 0)


def test_the_horizon_that_the_refusal_proposes_is_accepted() -> None:
    events = random_log(1)
    with pytest.raises(ProtocolError) as error:
        choose(prepare(events), {"horizon": "91d"}, "made")
    proposed = str(error.value).rpartition("horizon=")[2]
    assert choose(prepare(events), {"horizon": proposed}, "made").fit


@pytest.mark.parametrize(
    ("key", "value"), [("horizon", "soon"), ("eligible", "now"), ("cutoffs", "0"), ("split", "user"), ("horizon", "0d")]
)
def test_an_unknown_choice_is_refused_with_its_name(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}="):
        Churn().split(random_log(1), {key: value}, FULL, 0)


def test_few_users_mark_the_split_underpowered_and_one_class_gives_a_reason() -> None:
    few = Churn().split(random_log(1, users=60), {"horizon": "14d"}, FULL, 0)
    assert few.flags == ("underpowered",)
    assert not few.reason
    faithful = log([(f"u{u}", d, "purchase", 1.0) for u in range(10) for d in range(200)])
    assert "one class only" in Churn().split(faithful, {"horizon": "14d"}, FULL, 0).reason


def test_a_log_without_activity_is_refused() -> None:
    with pytest.raises(ProtocolError, match="no event is of an activity kind"):
        Churn().split(log([("a", 1, "cancel", 1.0), ("b", 90, "cancel", 1.0)]), {}, FULL, 0)


def test_cancellations_are_history_but_no_activity() -> None:
    events = log([("a", 1, "purchase", 5.0), ("a", 3, "cancel", -5.0), ("a", 20, "cancel", -1.0)])
    history = prepare(events)
    inputs = rows_at(history, np.array([0]), history.first + 10 * DAY, 7 * DAY, None, ("?", "cancel", "purchase"))
    assert inputs.kind.tolist() == [2, 1]
    assert inputs.column("n_events").tolist() == [1]
    assert inputs.column("value_sum").tolist() == [5.0]


def test_kinds_unseen_before_the_first_training_cutoff_are_unknown() -> None:
    rows = [(f"u{u}", d, "purchase", 1.0) for u in range(30) for d in range(0, 200, 3 + u)]
    events = log([*rows, ("u1", 190.0, "gift", 1.0)])
    split = Churn().split(events, {"horizon": "14d"}, FULL, 0)
    assert split.stages["final"].parts[0].kinds == ("?", "purchase")
    assert split.stages["search"].train.kind.min() == 1


def test_events_of_one_user_time_and_kind_are_one_step() -> None:
    events = log([("a", 1, "purchase", 2.0), ("a", 1, "purchase", None), ("a", 1, "cancel", -1.0), ("a", 4, "purchase", 3.0)])
    history = prepare(events)
    inputs = rows_at(history, np.array([0]), history.first + 10 * DAY, 7 * DAY, None, ("?", "cancel", "purchase"))
    assert (inputs.kind.tolist(), inputs.value.tolist(), inputs.count.tolist()) == ([1, 2, 2], [-1.0, 2.0, 3.0], [1.0, 2.0, 1.0])
    assert inputs.gap.tolist() == [0.0, 0.0, 3.0]
    assert inputs.days_before_cutoff.tolist() == [10.0, 10.0, 7.0]


def test_a_step_tells_of_all_items_that_its_events_name() -> None:
    rows = [
        ("a", 1, "purchase", 2.0),
        ("a", 1, "purchase", 3.0),
        ("a", 1, "purchase", 3.0),
        ("a", 4, "purchase", 3.0),
        ("b", 2, "purchase", 1),
    ]
    rows += [("a", 6, "purchase", 1.0), ("a", 99, "purchase", 1.0)]
    history = prepare(log(rows, items=["egg", None, "tea", "tea", "tea", None, "never"]))
    inputs = rows_at(history, np.array([0, 1]), history.first + 10 * DAY, 7 * DAY, None, ("?", "purchase"))
    egg, tea = (id_hashes(np.array([name]))[0].astype(np.uint32) for name in ("egg", "tea"))
    assert inputs.item.tolist() == [egg, tea, tea, tea]
    assert inputs.item_offsets.tolist() == [0, 2, 3, 3, 4]
    other = inputs.take(np.array([1, 0]))
    assert (other.item.tolist(), other.item_offsets.tolist()) == ([tea, egg, tea, tea], [0, 1, 3, 4, 4])
    assert joined([inputs, other])["item_offsets"].tolist() == [0, 2, 3, 3, 4, 5, 7, 8, 8]
    late = rows_at(history, np.array([0]), history.first + 10 * DAY, 7 * DAY, 2, ("?", "purchase"))
    assert (late.item.tolist(), late.item_offsets.tolist()) == ([tea], [0, 1, 1])


def test_items_that_fit_no_steps_are_refused() -> None:
    inputs = Churn().split(random_log(4), {"horizon": "14d"}, FULL, 0).stages["final"].parts[0]
    short = {name: getattr(inputs, name)[:3] for name in ("kind", "gap", "value", "count", "days_before_cutoff")}
    with pytest.raises(PluginError, match="item_offsets for 3 steps; take their items by `items_at`"):
        replace(inputs, offsets=np.array([0, 3]), **short)


def test_the_holdout_parts_users_and_take_keeps_each_rows_events() -> None:
    train = Churn().split(random_log(4), {"horizon": "14d"}, FULL, 0).stages["search"].train
    fit, held = train.holdout(0)
    assert len(fit) + len(held) == len(train)
    assert not set(fit.group.tolist()) & set(held.group.tolist())
    assert 0.08 < len(held) / len(train) < 0.22
    rows = np.array([5, 0, 5])
    taken = train.take(rows)
    for k, row in enumerate(rows):
        own = slice(train.offsets[row], train.offsets[row + 1])
        assert np.array_equal(taken.value[taken.offsets[k] : taken.offsets[k + 1]], train.value[own])
    assert np.array_equal(taken.y, train.y[rows])


def test_permuted_labels_bring_the_score_to_chance() -> None:
    from bench.api import Context
    from bench_plugins.rfm_logit import RfmLogit

    split = Churn().split(random_log(6, users=2000), {"horizon": "14d"}, FULL, 0)
    stage, truth, ctx = split.stages["final"], split.truths["final"], Context(horizon=14.0)
    rng = np.random.default_rng(0)
    scores = []
    for y in (stage.train.y, *(rng.permutation(stage.train.y) for _ in range(20))):
        model = RfmLogit({"C": 1.0})
        model.fit(replace(stage.train, y=y), ctx)
        scores.append(churn_metrics(truth.y, model.predict(stage.parts[0], ctx), base_rate=0.5)["roc_auc"][0])
    assert scores[0] > 0.7
    # one permutation may by chance point along activity, another against it: chance is their mean
    assert abs(np.mean(scores[1:]) - 0.5) < 0.07


@pytest.mark.parametrize("by_user", [False, True])
def test_training_tells_of_everyone_first_seen_before_its_latest_cutoff_and_of_nobody_held_for_testing(by_user: bool) -> None:
    events = random_log(3)
    split = Churn().split(events, {"horizon": "14d", "split": "time+user" if by_user else "time"}, FULL, 0)
    train, history = split.stages["search"].train, prepare(events)
    cutoff = round(train.cutoff.max() * DAY)
    seen = np.flatnonzero(history.active.events_until(cutoff))
    kept = ~_tested_only(events)[seen] if by_user else np.ones(len(seen), bool)
    assert len(train.everyone) == kept.sum() > (train.cutoff == train.cutoff.max()).sum()
    assert sorted(train.everyone[:, STATIC.index("n_events")]) == sorted(history.active.events_until(cutoff)[seen[kept]])
    assert train.take(np.arange(3)).everyone is train.everyone


def test_all_cutoffs_reach_as_far_back_as_the_log_and_dense_ones_lie_a_quarter_of_a_horizon_apart() -> None:
    events, horizon = random_log(4), 28 * DAY
    history = prepare(events)
    every, dense = (choose(history, {"horizon": "28d", "cutoffs": c}, "made") for c in ("all", "dense"))
    for protocol, step in ((every, horizon), (dense, horizon // 4)):
        assert protocol.fit[0] == protocol.valid - horizon, "labels end before the validation cut-off"
        assert set(-np.diff(protocol.fit)) == {step}
        assert 0 <= protocol.fit[-1] - horizon - history.first // DAY * DAY < step
    assert dense.between == tuple(dense.valid - k * 7 * DAY for k in (1, 2, 3))
    split = Churn().split(events, {"horizon": "28d", "cutoffs": "dense"}, FULL, 0)
    assert f"cutoffs={len(dense.fit)}-dense/" in split.task_id
    days = {stage: {round(t * DAY) for t in np.unique(split.stages[stage].train.cutoff)} for stage in ("search", "final")}
    assert days == {"search": set(dense.fit), "final": {*dense.fit, *dense.between, dense.valid}}
    assert max(days["final"]) + horizon <= dense.test


def test_cutoffs_without_an_eligible_user_are_named() -> None:
    rows = [(f"u{n % 40}", float(day), "purchase", 1.0) for n, day in enumerate(np.r_[np.linspace(0, 20, 200), np.linspace(60, 100, 900)])]
    split = Churn().split(log(rows), {"horizon": "7d", "cutoffs": "all"}, FULL, 0)
    idle = next(note for note in split.notes if note.startswith("no eligible user at "))
    assert "2024-02-" in idle
    assert split.facts["test_cutoff"] not in idle


def test_the_last_known_rate_is_that_of_the_validation_cutoff() -> None:
    split = Churn().split(random_log(5), {"horizon": "28d"}, PROFILES["short"], 0)
    known = split.truths["search"].y.mean()
    assert split.facts["last_rate"] == pytest.approx(known)
    assert split.facts["last_rate"] != pytest.approx(split.facts["train_rate"])
    constant = [{"prediction": np.full(len(split.truths["final"].y), known)}]
    found = Churn().scorer(split, constant).score(np.ones((1, len(constant[0]["prediction"]))))
    assert found["log_loss_skill_last"][0] == pytest.approx(0, abs=1e-12)
    assert abs(found["log_loss_skill"][0]) > 1e-6
