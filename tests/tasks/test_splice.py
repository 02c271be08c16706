from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.panel import DAY
from bench.errors import DataError
from bench.sources.incident_files import read_incidents
from bench.tasks.anomaly.incidents import incident_labels, simulated_incidents
from bench.tasks.anomaly.injection_plan import TAKEOVER, Incident, labels, plan, with_strength
from bench.tasks.anomaly.takeover import inject_takeovers, with_donors
from bench_datasets import ratings_simulator, retail_simulator, social_simulator
from bench_datasets.retail import Retail

few = settings(max_examples=25, deadline=None)  # seconds on a busy machine


def drawn(n=60, t=300, seed=0):
    """Draw a panel of heterogeneous users: (values [N, T], mask, until, keys)."""
    rng = np.random.default_rng(seed)
    values = rng.poisson(rng.gamma(1.0, 3.0, (n, 1)), (n, t)).astype(float)
    return values, np.ones((n, t), bool), np.full(n, t // 2), rng.permutation(10**4)[:n].astype(np.uint64)


def planned(panel, seed=0, strength=None):
    values, mask, until, keys = panel
    found = plan(keys, until, np.full(len(values), values.shape[1]), TAKEOVER, season=7, seed=seed)
    found = found if strength is None else with_strength(found, strength)
    return with_donors(values, mask, until, keys, found, season=7)


@few
@given(st.integers(0, 999))
def test_a_full_takeover_is_the_donors_own_steps_and_all_else_stays(seed):
    panel = values, mask, until, _ = drawn(seed=seed)
    found = planned(panel, seed, 1.0)
    after = inject_takeovers(values, mask, until, found, counts=True)
    takeovers = [i for i in found if not i.decoy]
    assert takeovers
    for i in takeovers:
        assert i.donor not in (-1, i.entity)
        assert i.lag % 7 == 0
        assert np.array_equal(after[i.entity, i.begin : i.end], values[i.donor, i.begin - i.lag : i.end - i.lag])
        assert not np.array_equal(after[i.entity, i.begin : i.end], values[i.entity, i.begin : i.end])
    touched = labels([replace(i, decoy=False) for i in found], values.shape)
    assert np.array_equal(after[~touched], values[~touched])


@few
@given(st.integers(0, 999))
def test_at_strength_zero_nothing_is_changed_and_labels_stay(seed):
    panel = values, mask, until, _ = drawn(seed=seed)
    found = planned(panel, seed)
    none = with_strength(found, 0.0)
    assert np.array_equal(inject_takeovers(values, mask, until, none, counts=True), values)
    assert labels(none, values.shape).sum() == labels(found, values.shape).sum() > 0


def test_strength_is_the_share_of_steps_that_are_the_donors():
    rng = np.random.default_rng(0)
    values, mask = rng.permutation(2 * 4000).reshape(2, 4000).astype(float), np.ones((2, 4000), bool)
    for strength in (0.25, 0.5, 1.0):
        after = inject_takeovers(
            values, mask, np.full(2, 1000), [Incident(0, 1000, 4000, "takeover", strength, donor=1, seed=3)], counts=True
        )
        theirs = after[0, 1000:] == values[1, 1000:]
        assert theirs.mean() == pytest.approx(strength, abs=0.03)
        assert np.array_equal(after[0, 1000:][~theirs], values[0, 1000:][~theirs])


def test_donors_have_about_the_victims_own_level():
    panel = values, _, until, keys = drawn(1000, 120)
    rank = np.lexsort((keys, values[:, : until[0]].mean(axis=1))).argsort()
    takeovers = [i for i in planned(panel) if not i.decoy]
    assert len(takeovers) > 100
    assert max(abs(rank[i.donor] - rank[i.entity]) for i in takeovers) <= 20
    assert len({i.donor for i in takeovers}) > len(takeovers) / 2


def test_the_same_steps_come_before_earlier_seasons_which_serve_where_a_donor_has_gaps():
    panel = values, mask, until, keys = drawn(12)
    takeovers = [i for i in planned(panel) if not i.decoy]
    assert {i.lag for i in takeovers} == {0}
    victim = takeovers[0]
    mask[:, victim.begin - 7 : victim.end] = False
    (again,) = with_donors(values, mask, until, keys, [victim], season=7)
    assert again.lag % 7 == 0
    assert mask[again.donor, victim.begin - again.lag : victim.end - again.lag].all()
    assert again.lag >= 14


def test_a_takeover_for_which_nobody_serves_is_left_out():
    panel = values, mask, until, keys = drawn(12)
    takeovers = [i for i in planned(panel) if not i.decoy]
    same = np.zeros_like(values)
    assert with_donors(same, mask, until, keys, takeovers, season=7) == []
    assert with_donors(values, np.zeros_like(mask), until, keys, takeovers, season=7) == []


def test_donors_do_not_depend_on_the_order_of_the_entities():
    values, mask, until, keys = drawn(60)
    found = planned((values, mask, until, keys))
    order = np.random.default_rng(1).permutation(60)
    shuffled = planned((values[order], mask[order], until[order], keys[order]))
    back = [replace(i, entity=int(order[i.entity]), donor=int(order[i.donor]) if i.donor >= 0 else -1) for i in shuffled]
    assert sorted(back, key=lambda i: (i.entity, i.begin)) == found


def test_a_takeover_without_donor_is_refused():
    values, mask, until, _ = drawn(5)
    with pytest.raises(ValueError, match="call with_donors"):
        inject_takeovers(values, mask, until, [Incident(0, 200, 205, "takeover", 1.0)], counts=True)


def table(*rows):
    return pl.DataFrame(rows, schema=["user", "start", "end", "kind"], orient="row").with_columns(
        pl.col("start", "end").str.to_datetime("%F %T", time_unit="us")
    )


GRID = np.arange(10) * DAY  # the first ten days of 1970


def test_an_incident_covers_each_step_that_it_overlaps():
    rows = table(
        ("a", "1970-01-02 12:00:00", "1970-01-04 00:00:00", "bulk"),
        ("b", "1970-01-03 00:00:00", "1970-01-03 00:00:00", "bulk"),
        ("b", "1970-01-05 23:59:59", "1970-01-06 00:00:01", "bulk"),
        ("b", "1969-12-01 00:00:00", "1969-12-31 00:00:00", "before the grid"),
        ("b", "1970-01-11 00:00:00", "1970-01-12 00:00:00", "after the grid"),
        ("nobody", "1970-01-01 00:00:00", "1970-01-09 00:00:00", "bulk"),
        ("*", "1970-01-07 00:00:00", "1970-01-09 00:00:00", "promotion"),
    )
    found = incident_labels(rows, ["a", "b", "c"], GRID, DAY)
    assert [np.flatnonzero(row).tolist() for row in found] == [[1, 2], [2, 4, 5], []]
    decoys = [i for i in simulated_incidents(rows, ["a", "b", "c"], GRID, DAY) if i.decoy]
    assert decoys == [Incident(n, 6, 8, "promotion", 1.0, decoy=True) for n in range(3)]


@pytest.mark.parametrize("simulator", [retail_simulator, ratings_simulator, social_simulator])
def test_what_each_simulator_writes_is_read(simulator, tmp_path):
    simulator.simulate(tmp_path, 300, 0)
    rows = read_incidents(tmp_path / "incidents.csv")
    assert rows.schema == {"user": pl.String, "start": pl.Datetime("us"), "end": pl.Datetime("us"), "kind": pl.String}
    assert (rows["end"] > rows["start"]).all()
    assert set(rows["user"] == "*") == {True, False}


def test_bulk_bursts_stand_out_in_the_simulated_shops_own_panel(tmp_path):
    retail_simulator.simulate(tmp_path, 400, 0)
    events = Retail().read(tmp_path, {}).frame.with_columns(pl.col("time").dt.epoch("us") // DAY, pl.col("user").cast(pl.String))
    first, last = events["time"].min(), events["time"].max()
    names = events["user"].unique().sort().to_list()
    daily = np.zeros((len(names), last - first + 1))
    np.add.at(daily, (np.searchsorted(names, events["user"].to_numpy()), events["time"].to_numpy() - first), 1)
    found = incident_labels(read_incidents(tmp_path / "incidents.csv"), names, np.arange(first, last + 1) * DAY, DAY)
    victims = found.any(axis=1)
    assert 0 < victims.sum() < 0.05 * len(names)
    assert daily[found].mean() > 5 * daily[victims][~found[victims]].mean()


def test_a_file_that_is_no_list_of_incidents_is_refused(tmp_path):
    path = tmp_path / "incidents.csv"
    path.write_text("user,start,kind\n1,2010-12-01,bulk\n")
    with pytest.raises(DataError, match="no column 'end'"):
        read_incidents(path)
    path.write_text("user,start,end,kind\n1,yesterday,today,bulk\n")
    with pytest.raises(DataError, match="column 'start' has 'yesterday'"):
        read_incidents(path)
