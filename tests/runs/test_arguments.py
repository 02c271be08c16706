"""What people write as arguments becomes a configuration, or one line that says what was given and what is expected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bench
from bench.cli import invoke
from bench.errors import ConfigError
from bench.runs.arguments import configuration, configurations, parts

WRONG = {
    "trials": ({"trials": "3"}, "trials='3' is not a whole number; write it without quotes"),
    "a fraction": ({"trials": 2.5}, "trials=2.5 is not a whole number"),
    "true": ({"trials": True}, "trials=True is not a whole number"),
    "minutes": ({"minutes": "5"}, "minutes='5' is not a number; write it without quotes"),
    "device": ({"device": 0}, "device=0 is not a text"),
    "models": ({"models": 3}, "is not a name or a list of names"),
    "a model that is none": ({"models": ["lstm", 3]}, "is not a name or a list of names"),
    "options": ({"options": "horizon"}, "options='horizon' is not keys with a value each"),
    "an option": ({"options": {"horizon": {"days": 7}}}, "option horizon={'days': 7} is no single value"),
    "an unknown argument": ({"modles": "lstm"}, "unknown argument 'modles'; did you mean 'models'?"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_of_python_is_one_line(case: str) -> None:
    given, words = WRONG[case]
    with pytest.raises(ConfigError) as error:
        bench.run("churn", **given)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


LINES = ('trials = "7"', "trials = true", 'job-seconds = "5"', "device = 0", "model = 3", "out = 7", "set = 7")


@pytest.mark.parametrize("line", LINES)
def test_a_wrong_value_in_a_study_file_is_one_line_that_names_the_file(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study.toml"
    study.write_text(f'task = "churn"\n{line}\n')
    assert invoke(["run", str(study), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: study file {study}: ")
    assert error.count("\n") == 1


def test_none_is_the_default_and_one_name_will_do_where_several_are_meant() -> None:
    config = configuration({"task": "churn", "device": None, "trials": None, "models": "rfm-logit", "datasets": None, "seeds": np.int64(3)})
    assert (config.device, config.trials, config.models, config.datasets, config.seeds) == ("auto", None, ("rfm-logit",), (), 3)
    assert configuration({"task": "churn", "minutes": 5}).minutes == 5.0
    assert configuration({"task": "churn", "out": Path("here")}).out == "here"


def test_names_with_commas_are_several_and_paths_are_whole() -> None:
    assert configuration({"task": "churn", "models": "lstm, bgnbd"}).models == ("lstm", "bgnbd")
    assert configuration({"task": "churn", "models": ["lstm,bgnbd", "recency"]}).models == ("lstm", "bgnbd", "recency")
    assert parts("retail,netflix") == ["retail", "netflix"]
    assert parts("retail=a,b.csv") == ["retail=a,b.csv"]
    assert parts("social,retail=a.csv,netflix=b") == ["social", "retail=a.csv", "netflix=b"]


def test_options_are_spelt_as_the_command_line_takes_them() -> None:
    options = {"horizon": "14d", "cutoffs": 2, "retail.strict": True, "users": [1, 2]}
    assert configuration({"task": "churn", "options": options}).options == {
        "horizon": "14d",
        "cutoffs": "2",
        "retail.strict": "true",
        "users": "1,2",
    }


def test_of_several_tasks_each_takes_its_own_metric_and_all_are_checked_first() -> None:
    one, other = configurations({"task": "churn,forecasting", "options": {"metric": "log-loss, wql"}})
    assert (one.options, other.options) == ({"metric": "log-loss"}, {"metric": "wql"})
    with pytest.raises(ConfigError, match="--metric log_loss: log_loss ranks no board of forecasting"):
        configurations({"task": "churn,forecasting", "options": {"metric": "log_loss"}})
    with pytest.raises(ConfigError, match="--metric ece: calibration error ranks no board of churn"):
        configurations({"task": "churn", "options": {"metric": "ece"}})


def test_a_studys_tables_are_kept_beside_what_the_command_line_adds() -> None:
    from bench.runs.arguments import merged

    study = {"task": "churn", "trials": 3, "options": {"horizon": "28d", "cutoffs": "2"}, "params": {"lstm.hidden": "64"}}
    found = merged(study, {"trials": 5, "options": {"cutoffs": "3"}})
    assert found == {**study, "trials": 5, "options": {"horizon": "28d", "cutoffs": "3"}}
