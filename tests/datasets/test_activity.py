"""The activity adapter: daily counts become events, the truth becomes labels, and what is wrong is said."""

from __future__ import annotations

import datetime as dt
import gzip
import logging

import polars as pl
import pytest

from bench.api import Context
from bench.errors import DataError, PluginError
from bench.metrics.churn import churn_metrics
from bench.sources.cache import read_cached
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import PROFILES
from bench_datasets.activity import KINDS, Activity, bench_datasets
from bench_plugins.rfm_logit import RfmLogit

HEAD = "enrollment_id,time,event_access,event_video"
ROWS = ("7,2014-05-28,2,0", "7,2014-05-29,0,0", "8,2014-05-28,0,0", "8,2014-05-29,1,3")
TRUTH = ("enrollment_id,label", "7,1", "8,0")


def read(path):
    return Activity().read(path, {})


def written(folder, *rows, head=HEAD, name="trainCourse2.csv", truth=TRUTH, truth_name="truth.csv"):
    (folder / name).write_text("\n".join([head, *rows]) + "\n")
    if truth:
        (folder / truth_name).write_text("\n".join(truth) + "\n")
    return folder


@pytest.fixture(scope="module")
def cup(real):
    return read(real / "kddcup2015_mooc")


# ---- the published files


def test_the_four_courses_are_read_with_every_row_accounted_for(real, cup):
    assert Activity().detect(real / "kddcup2015_mooc") == "kddcup2015-wide"
    assert (cup.name, cup.rows_read, cup.cleaning) == ("kddcup2015-mooc", 92_190, {"all zero": 86_077})
    assert cup.rows_read == 3_073 * 30
    assert cup.users == 3_073
    assert cup.frame.select("user", "time").n_unique() == 92_190 - 86_077
    assert len(cup) == 18_869
    assert cup.frame["count"].sum() == 108_562
    assert cup.kinds == cup.activity == KINDS
    assert cup.frame.group_by(pl.col("kind").cast(pl.String)).agg(pl.col("count").sum()).sort("kind").rows() == [
        ("access", 44_983), ("discussion", 7_624), ("navigate", 15_170), ("page_close", 14_797), ("problem", 13_605),
        ("video", 11_575), ("wiki", 808),
    ]  # fmt: skip
    assert (cup.frame["value"] == cup.frame["count"]).all()


def test_no_enrolment_stands_in_two_courses(real, cup):
    ids = [set(pl.read_csv(f)["enrollment_id"]) for f in sorted((real / "kddcup2015_mooc").glob("trainCourse*.csv"))]
    assert [len(i) for i in ids] == [645, 761, 769, 898]
    assert sum(map(len, ids)) == len(set().union(*ids))
    assert not cup.frame["user"].cast(pl.String).str.contains("/", literal=True).any()


@pytest.mark.parametrize(
    ("file", "n", "first", "last", "rate"),
    [
        ("trainCourse645.csv", 645, dt.date(2014, 5, 28), dt.date(2014, 6, 26), 0.898),
        ("trainCourse761.csv", 761, dt.date(2014, 6, 15), dt.date(2014, 7, 14), 0.861),
        ("trainCourse769.csv", 769, dt.date(2014, 5, 19), dt.date(2014, 6, 17), 0.913),
        ("trainCourse898.csv", 898, dt.date(2014, 6, 9), dt.date(2014, 7, 8), 0.885),
    ],
)
def test_each_course_has_its_dates_and_dropout_rate(real, file, n, first, last, rate):
    path = real / "kddcup2015_mooc" / file
    assert Activity().detect(path) == "kddcup2015-wide"
    course = read(path)
    assert (course.name, course.rows_read, len(course.labels)) == (file.removesuffix(".csv"), 30 * n, n)
    assert (course.frame["time"].min().date(), course.frame["time"].max().date()) == (first, last)
    assert round(course.labels["y"].mean(), 3) == rate
    assert course.labels["cutoff"].unique().to_list() == [dt.datetime.combine(last, dt.time(), dt.UTC) + dt.timedelta(1)]
    assert course.cleaning["label without activity file"] == 3_073 - n


def test_labels_and_active_days_are_as_published(cup):
    assert (len(cup.labels), round(cup.labels["y"].mean(), 3), cup.horizon) == (3_073, 0.889, "10d")
    days = cup.frame.group_by("user").agg(pl.col("time").n_unique()).join(cup.labels, on="user").group_by("y").agg(pl.col("time").mean())
    means = dict(days.iter_rows())
    assert 5 < means[0] < 6
    assert 1.5 < means[1] < 1.8


def test_the_events_equal_the_raw_cells(real, cup):
    raw = pl.concat(pl.read_csv(f) for f in (real / "kddcup2015_mooc").glob("trainCourse*.csv"))
    cells = {
        (str(row["enrollment_id"]), row["time"], name.removeprefix("event_"), float(n))
        for row in raw.iter_rows(named=True)
        for name, n in row.items()
        if name.startswith("event_") and n > 0
    }
    ours = cup.frame.select(pl.col("user").cast(pl.String), pl.col("time").dt.strftime("%F"), pl.col("kind").cast(pl.String), "value")
    assert set(ours.iter_rows()) == cells


def test_the_cup_can_be_learnt_by_the_given_protocol(cup):
    split = Churn().split(cup, {}, PROFILES["full"], 0)
    assert (split.facts["n_fit"], split.facts["n_valid"], split.facts["n_test"]) == (1_844, 615, 614)
    assert all(rate == pytest.approx(0.889, abs=2e-3) for rate in split.facts["churn_by_cutoff"].values())
    assert (split.flags, split.reason, split.facts["horizon_days"]) == ((), "", 10.0)
    assert split.stages["final"].parts[0].column("n_events").max() > 100  # counts, not rows
    model, stage, ctx = RfmLogit({"C": 1.0}), split.stages["final"], Context(horizon=10.0)
    model.fit(stage.train, ctx)
    assert 0.84 < churn_metrics(split.truths["final"].y, model.predict(stage.parts[0], ctx), base_rate=0.5)["roc_auc"][0] < 0.90


def test_the_cup_comes_back_from_the_cache_unchanged(real):
    first, second = (read_cached(Activity(), real / "kddcup2015_mooc", {}) for _ in range(2))
    assert (first.hit, second.hit) == (False, True)
    assert first.data.labels.equals(second.data.labels)
    assert second.data.horizon == "10d"


@pytest.mark.parametrize("other", ["online_retail/by-day", "college_msg", "nab/realTweets", "cdnow", "no such"])
def test_other_data_is_not_claimed(real, other):
    assert Activity().detect(real / other) is None


# ---- forms that the tests write


def test_positive_cells_become_events_at_midnight(tmp_path):
    events = read(written(tmp_path, *ROWS))
    assert events.frame.select("user", pl.col("time").dt.strftime("%F %T"), "kind", "value", "count").rows() == [
        ("7", "2014-05-28 00:00:00", "access", 2.0, 2),
        ("8", "2014-05-29 00:00:00", "access", 1.0, 1),
        ("8", "2014-05-29 00:00:00", "video", 3.0, 3),
    ]
    assert (events.rows_read, events.cleaning, events.activity) == (4, {"all zero": 2}, ("access", "video"))
    cutoff = dt.datetime(2014, 5, 30, tzinfo=dt.UTC)
    assert events.labels.rows() == [("7", 1, cutoff), ("8", 0, cutoff)]


def test_an_enrolment_without_any_event_keeps_its_label(tmp_path):
    events = read(written(tmp_path, *ROWS, "9,2014-05-28,0,0", truth=(*TRUTH, "9,1")))
    assert (events.users, len(events.labels)) == (2, 3)


def test_the_cups_own_truth_without_a_header_is_read(tmp_path):
    one = read(written(tmp_path, *ROWS)).labels
    (tmp_path / "truth.csv").unlink()
    assert read(written(tmp_path, *ROWS, truth=TRUTH[1:], truth_name="truth_train.csv")).labels.equals(one)


def test_packed_courses_and_one_file_with_the_truth_beside_it_are_read(tmp_path):
    written(tmp_path, *ROWS)
    packed = tmp_path / "x.csv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "trainCourse2.csv").read_bytes()))
    assert read(packed).frame.equals(read(tmp_path / "trainCourse2.csv").frame)


def test_courses_with_different_kinds_are_one_log(tmp_path):
    written(tmp_path, *ROWS)
    written(tmp_path, "9,2014-05-28,4", head="enrollment_id,time,event_wiki", name="b.csv", truth=(*TRUTH, "9,0"))
    events = read(tmp_path)
    assert (events.users, events.activity) == (3, ("access", "video", "wiki"))


def test_without_the_truth_the_log_is_read_and_it_is_said(tmp_path, caplog):
    caplog.set_level(logging.INFO, "bench")
    events = read(written(tmp_path, *ROWS, truth=()))
    assert (events.labels, events.horizon, len(events)) == (None, "", 3)
    assert "no truth.csv or truth_train.csv beside trainCourse2.csv: read without churn labels" in caplog.text


def test_enrolments_without_a_label_and_labels_without_a_row_are_told(tmp_path, caplog):
    caplog.set_level(logging.INFO, "bench")
    events = read(written(tmp_path, *ROWS, truth=(TRUTH[0], "7,1", "99,0", "98,1")))
    assert events.cleaning == {"all zero": 2, "label without activity file": 2}
    assert events.labels["user"].to_list() == ["7"]
    assert "1 enrolments have no label in truth.csv" in caplog.text


def test_an_id_of_two_courses_is_two_users_unless_the_truth_cannot_tell_them_apart(tmp_path):
    written(tmp_path, *ROWS, truth=())
    written(tmp_path, "8,2014-06-28,5,0", name="other.csv", truth=())
    assert read(tmp_path).frame["user"].cast(pl.String).unique().sort().to_list() == ["7", "other/8", "trainCourse2/8"]
    written(tmp_path, *ROWS)
    with pytest.raises(DataError, match=r"truth\.csv: enrolment '8' stands for .*give one course at a time"):
        read(tmp_path)


def test_each_dropped_row_is_counted_under_the_first_reason_that_holds(tmp_path):
    many = [f"{i},2014-05-28,1,0" for i in range(100, 400)]
    rows = [",2014-05-28,1,1", "7,never,1,1", "7,2014-05-30,-1,1", "7,2014-05-31,0.5,1", "100,2014-05-28,9,9", "8,2014-06-01,0,0"]
    events = read(written(tmp_path, *many, *rows, truth=()))
    assert events.cleaning == {"no user": 1, "bad date": 1, "bad count": 2, "duplicate": 1, "all zero": 1}
    assert len(events) == 300


# ---- what is wrong with a file


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["7,28/05/2014,1,1", "7,29/05/2014,1,1"], r"column 'time' cannot be read on 2 of 2 rows, first on row 1 \('28/05/2014'\)"),
        (["7,2014-05-28,x,1", "7,2014-05-29,y,1"], r"column 'event_access' cannot be read on 2 of 2 rows.*write whole numbers"),
        (["7,2014-05-28,1,1,1"], r"line 2 has more than 4 fields"),
        ([], "no event is left after cleaning"),
    ],
)
def test_unreadable_courses_are_errors_that_name_the_place(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        read(written(tmp_path, *rows, truth=()))


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (("enrollment_id,label", "7,2"), r"truth\.csv: column 'label' is '2' on row 1; write 1 for dropout"),
        (("enrollment_id,label", "7,1", "7,0"), r"enrolment '7' is labelled twice"),
        (("enrolment,label", "7,1"), r"no column 'enrollment_id'; did you mean 'enrolment'"),
        (("7,1,3",), r"has 3 fields; expected enrollment_id,label"),
    ],
)
def test_a_wrong_truth_is_an_error_that_names_the_place(tmp_path, truth, message):
    with pytest.raises(DataError, match=message):
        read(written(tmp_path, *ROWS, truth=truth))


def test_a_folder_without_a_course_says_what_it_needs(tmp_path):
    (tmp_path / "truth.csv").write_text("enrollment_id,label\n1,1\n")
    assert Activity().detect(tmp_path) is None
    with pytest.raises(DataError, match="holds no course file; it needs enrollment_id,time,event_access"):
        read(tmp_path)


def test_the_plugin_offers_the_adapter_without_a_simulator(tmp_path):
    assert bench_datasets() == [Activity]
    assert (Activity.card.horizon, Activity.simulated_name) == ("10d", "")
    with pytest.raises(PluginError, match="activity has no simulator"):
        Activity().simulate(tmp_path, 10, 0)


def test_a_header_that_ends_with_a_number_is_refused_with_the_cure(tmp_path):
    file = tmp_path / "course.csv"
    file.write_text("enrollment_id,time,event_access,0\n1,2014-05-01,1,1\n2,2014-05-02,1,1\n")
    with pytest.raises(DataError, match=r"course.csv: its first line is no header with 'enrollment_id'; mend it"):
        read(file)
