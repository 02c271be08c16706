"""Several channels an entity: what models are handed, how scores are combined, and what a board of them says."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import bench
from bench.errors import ConfigError, DataError
from bench.runs.predict import predict
from bench.tasks.anomaly.channels import together
from bench.tasks.anomaly.smoothing import rolling_mean
from bench.tasks.anomaly.task import Anomaly
from bench.tasks.profiles import PROFILES
from bench_datasets.series import SeriesFile
from bench_plugins.anomaly_floors import AbsMedianCentred

CHANNELS, STEPS = 3, 300
HEADER = "datetime;a;b;c;anomaly;changepoint"


def written(folder, n=7, seed=0):
    """Write a folder of wide files, one entity each: in the labelled block all channels shift a little."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for k in range(n):
        values = rng.normal(size=(STEPS, CHANNELS)) * [1.0, 10.0, 0.1]
        at = 120 + 10 * k
        values[at : at + 60] += [0.7, 7.0, 0.07]
        label = np.isin(np.arange(STEPS), range(at, at + 60)).astype(float)
        days = np.datetime64("2024-01-01") + np.arange(STEPS)
        lines = [f"{d} 00:00:00;{';'.join(f'{v:.6f}' for v in row)};{y};0.0" for d, row, y in zip(days, values, label, strict=True)]
        (folder / f"m{k}.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    return folder


def split_of(path, options=None):
    (split,) = Anomaly().splits(SeriesFile().read(path, {}), options or {}, PROFILES["short"], 0, simulated=False)
    return split


def test_a_folder_of_wide_files_is_read_with_its_label_and_without_what_else_tells_of_anomalies(tmp_path):
    found = SeriesFile().read(written(tmp_path / "machines"), {})
    assert found.channels == ("channel:a", "channel:b", "channel:c")
    assert found.names == tuple(f"m{k}" for k in range(7))
    assert found.frame["value"].equals(found.frame["channel:a"].alias("value"))
    chosen = SeriesFile().read(tmp_path / "machines", {"channels": "c,a"})
    assert chosen.channels == ("channel:c", "channel:a")
    with pytest.raises(DataError, match="no column 'd'"):
        SeriesFile().read(tmp_path / "machines", {"channels": "a,d"})


def test_models_are_handed_rows_of_one_entity_after_another_and_may_read_them_together(tmp_path):
    split = split_of(written(tmp_path / "machines"))
    (panel,) = split.stages["final"].parts
    assert (len(panel), panel.channels) == (7 * CHANNELS, CHANNELS)
    assert panel.joint.shape == (7, STEPS, CHANNELS)
    assert np.array_equal(panel.joint[2, :, 1], panel.values[2 * CHANNELS + 1])
    assert all(part.channels == CHANNELS for part in split.stages["search"].parts)
    assert split.truths["final"].mask.shape == (7, STEPS)
    assert panel.take(np.arange(CHANNELS, 3 * CHANNELS)).channels == CHANNELS
    assert panel.take(np.arange(1, CHANNELS + 1)).channels == 1
    assert all(len(rows) % CHANNELS == 0 for rows in panel.alike(4))


def test_no_part_that_steers_holds_a_step_after_a_prefix(tmp_path):
    split = split_of(written(tmp_path / "machines"))
    final = split.truths["final"]
    for part, draw in zip(split.stages["search"].parts[:-1], split.truths["search"].draws, strict=True):
        assert part.steps == int(final.until.max())
        assert draw.mask.shape == (7, part.steps)
        clean = split.stages["final"].parts[0]
        for n in range(7):
            own = slice(n * CHANNELS, (n + 1) * CHANNELS)
            shift = part.steps - int(final.until[n])
            before = clean.values[own, : final.until[n]]
            changed = (part.values[own, shift:] != before).any(axis=0)
            assert not changed[~draw.labels[n, shift:]].any()


def test_each_channel_counts_in_units_of_its_own_prefix_and_one_channel_stays_as_it_is():
    rng = np.random.default_rng(0)
    score, learnt = rng.random((4, 50)), np.arange(50) < 20
    scale = np.array([1.0, 1e6, 1e-6, 5.0])[:, None]
    learnt = np.broadcast_to(learnt, (2, 50))
    for how in ("mean", "max"):
        assert np.allclose(together(score * scale, learnt, 2, how), together(score, learnt, 2, how))
    each = score / score[:, :20].mean(axis=1)[:, None]
    assert np.allclose(together(score, learnt, 2), each.reshape(2, 2, 50).mean(axis=1))
    assert np.allclose(together(score, learnt, 2, "max"), each.reshape(2, 2, 50).max(axis=1))
    assert together(score, np.ones((4, 50), bool), 1) is score


def test_a_channel_that_stood_still_in_its_prefix_or_holds_huge_scores_leaves_finite_ones():
    score = np.zeros((2, 40))
    score[0, 30], score[1] = 1e308, 1e308
    found = together(score, np.arange(40)[None] < 20, 2)
    assert np.isfinite(found).all()
    assert found[0, 30] == found[0].max()


def test_a_board_of_channels_beats_each_of_them_and_answers_about_new_data(tmp_path):
    folder = written(tmp_path / "machines")
    models = ["random", "abs-median", "sub-pca", "vae"]
    given = {"models": models, "profile": "smoke", "trials": 1, "options": {"buffer": "20", "combine": "mean"}}
    board = bench.run("anomaly", datasets=[f"series={folder}"], out=tmp_path / "run", **given)
    assert {r["status"] for r in board.rows if r["tuning"] == "default"} == {"ok"}
    assert "/channels=3/combine=mean/" in board.rows[0]["task_id"]
    found = {r["model"]: r["vus_pr"] for r in board.rows if r["tuning"] == "default"}
    alone = bench.run(
        "anomaly",
        datasets=[f"series={folder}"],
        out=tmp_path / "alone",
        **{**given, "models": models[:2], "options": {"buffer": "20", "series.value": "a"}},
    )
    assert found["abs-median"] > {r["model"]: r["vus_pr"] for r in alone.rows}["abs-median"] + 0.05
    answers = predict(tmp_path / "run", folder, model="abs-median")
    assert set(answers["entity"]) == {f"m{k}" for k in range(7)}
    assert answers.select(pl.struct("entity", "time").is_duplicated().any()).item() is False


def test_a_way_to_combine_that_is_unknown_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="combine='sum'"):
        split_of(written(tmp_path / "machines"), {"combine": "sum"})


def test_the_mean_over_channels_finds_what_single_ones_do_not(real, tmp_path):
    folder = real / "skab" / "other"
    board = bench.run("anomaly", datasets=[f"series={folder}"], models=["random", "abs-median"], profile="smoke", out=tmp_path / "run")
    found = {r["model"]: r["vus_pr"] for r in board.rows}
    assert found["abs-median"] > 0.8
    assert found["random"] < 0.65


def test_how_channels_are_combined_is_what_finds_the_injections_into_the_prefixes(tmp_path):
    path, found, task = written(tmp_path / "machines"), {}, Anomaly()
    for how in ("mean", "max"):
        split = split_of(path, {"combine": how})
        raw = [{"prediction": AbsMedianCentred({}).predict(part, bench.Context())} for part in split.stages["search"].parts]
        scores = task.finished(split, "search", raw, causal=False).prediction
        found[how] = split.truths["search"].search_score(scores).value
    assert found["mean"] != found["max"]
    split = split_of(path)
    assert split.facts["combine"] == max(found, key=found.get)
    assert f"/combine={split.facts['combine']}/" in split.task_id


@pytest.mark.parametrize("name", ["valve2", "other"])
def test_on_real_machines_the_floor_reads_all_channels_together(real, name):
    (split,) = Anomaly().splits(SeriesFile().read(real / "skab" / name, {}), {}, PROFILES["short"], 0, simulated=False)
    assert split.facts["channels"] == 8
    task, (part,) = Anomaly(), split.stages["final"].parts
    raw = AbsMedianCentred({}).predict(part, bench.Context())
    whole = task.finished(split, "final", [{"prediction": raw}], causal=False).prediction
    ones = np.ones((1, len(split.truths["final"].group)))
    found = task.scorer(split, whole).score(ones)["vus_pr"][0]
    alone = []
    for channel in range(8):
        smooth = rolling_mean(raw[channel::8], split.facts["smooth"], centred=True, real=part.mask[channel::8])
        alone.append(task.scorer(split, [{"prediction": smooth}]).score(ones)["vus_pr"][0])
    assert found == pytest.approx(0.87, abs=0.01)
    assert found > np.median(alone) + 0.2, "most channels alone are near random"
