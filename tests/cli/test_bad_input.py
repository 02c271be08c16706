"""What a user gets wrong ends as one line that says what, where and what to do, and exit code 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import invoke

HEAD = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


def sales(days: list[str], users: int = 3) -> str:
    """Write a log in the UCI form, one line per user and day."""
    rows = [f"9{u}{n},A,thing,1,{day},2.5,{u},UK" for n, day in enumerate(days) for u in range(users)]
    return HEAD + "\n".join(rows) + "\n"


def month(day: int) -> str:
    return f"2024-{1 + day // 28:02d}-{1 + day % 28:02d} 10:00:00"


FILES = {
    "empty.csv": "",
    "columns.csv": "who,when\na,b\n",
    "one-column.csv": HEAD.replace("CustomerID", "Customer") + "1,A,x,1,2024-01-01 10:00:00,1,7,UK\n",
    "dates.csv": sales(["yesterday", "today"]),
    "zones.csv": sales([month(0), "2024-01-02 10:00:00+02:00", month(2)]),
    "short.csv": sales([month(0), month(1), month(2)]),
    "long.csv": sales([month(d) for d in range(0, 300, 3)]),
}

CASES = {
    "missing file": (["--dataset", "retail=nowhere.csv"], ["no file or folder nowhere.csv"]),
    "empty file": (["--dataset", "retail=empty.csv"], ["empty.csv is empty"]),
    "wrong columns": (["--dataset", "retail=columns.csv"], ["columns.csv"]),
    "a misnamed column": (["--dataset", "retail=one-column.csv"], ["CustomerID", "did you mean 'Customer'"]),
    "unparseable dates": (["--dataset", "retail=dates.csv"], ["dates.csv", "InvoiceDate", "yesterday"]),
    "mixed time zones": (["--dataset", "retail=zones.csv"], ["zones.csv", "InvoiceDate"]),
    "a log too short": (["--dataset", "retail=short.csv"], ["does not fit a log from 2024-01-01 to 2024-01-03"]),
    "a horizon longer than the log": (["--dataset", "retail=long.csv", "--set", "horizon=200d"], ["horizon 200d", "test cut-off"]),
    "an unknown task": (["--task", "chrun"], ["unknown task 'chrun'", "did you mean 'churn'"]),
    "an unknown model": (["--model", "lstmm"], ["unknown model 'lstmm'", "did you mean 'lstm'"]),
    "an unknown dataset": (["--dataset", "retial"], ["unknown dataset 'retial'", "did you mean 'retail'"]),
    "an unknown option key": (["--set", "horizn=28d"], ["unknown option --set horizn=28d", "did you mean 'horizon'"]),
    "an unknown adapter option": (["--dataset", "retail", "--set", "retail.foo=1"], ["no such option"]),
    "a set without a value": (["--set", "horizon"], ["no KEY=VALUE"]),
    "no duration": (["--set", "horizon=soon"], ["horizon='soon' is no duration"]),
    "zero trials": (["--trials", "0"], ["--trials 0 leaves nothing to do"]),
    "zero workers": (["--workers", "0"], ["--workers 0"]),
    "no number": (["--trials", "many"], ["--trials", "integer"]),
    "negative seconds": (["--job-seconds", "-1"], ["--job-seconds -1 is not positive"]),
    "an unknown profile": (["--profile", "shrt"], ["unknown profile 'shrt'", "did you mean 'short'"]),
    "an unknown device": (["--device", "gpu"], ["--device 'gpu' is unknown"]),
    "a source without a dataset": (["--source", "long.csv"], ["--source goes with exactly one --dataset"]),
    "an empty path": (["--dataset", "retail="], ["path after '=' is empty"]),
    "a plugin that is not there": (["--plugin", "nowhere.py"], ["nowhere.py: no such file"]),
    "a folder of plugins that is not there": (["--plugins-dir", "nowhere"], ["nowhere: no such folder"]),
    "no time": (["--time-limit", "soon"], ["--time-limit 'soon' is no time"]),
    "a parameter of nobody": (["--dataset", "retail=long.csv", "--param", "lstmm.hidden=3"], ["no model 'lstmm' takes part"]),
    "an unknown flag": (["--modle", "lstm"], ["--modle", "--help"]),
    "a data set given twice": (["--dataset", "retail=long.csv", "--dataset", "retail=long.csv"], ["given twice"]),
    "a study that is not there": (["study.toml"], ["study.toml: no such file"]),
    "a folder that cannot be made": (["--dataset", "retail=long.csv", "--out", "long.csv/run"], ["long.csv/run"]),
}

EVERY_MODEL = {"missing file", "a log too short"}
"""Cases of a command that names no model. Where it gets as far as the models, all would be imported, torch and TensorFlow too."""


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("inputs")
@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_clear_line_and_exit_code_2(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, words = CASES[case]
    usual = {"--task": "churn", "--profile": "smoke", **({} if case in EVERY_MODEL else {"--model": "base-rate"})}
    command = ["run", "--quiet", *(word for key, value in usual.items() if key not in arguments for word in (key, value)), *arguments]
    assert invoke(command) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err
    for word in words:
        assert word in captured.err
    assert not Path("runs").exists()  # what could not begin leaves nothing behind


def test_an_error_is_a_json_document_where_json_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", "--task", "churn", "--model", "nothing", "--json"]) == 2
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["exit_code"] == 2
    assert "unknown model 'nothing'" in document["error"]
    assert captured.err == ""


def test_no_task_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run"]) == 2
    assert "bench run --task churn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("task = ", "study.toml"),
        ('task = "churn"\nmodle = "lstm"', "unknown key 'modle'; did you mean 'model'?"),
        ('task = "churn"\n[set]\nhorizn = "28d"', "did you mean 'horizon'"),
    ],
)
def test_a_broken_study_file_is_named_with_the_cure(text: str, words: str, inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inputs / "study.toml").write_text(text)
    assert invoke(["run", "study.toml", "--quiet"]) == 2
    assert words in capsys.readouterr().err


def test_one_user_and_all_churned_end_as_rows_with_the_reason(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inputs / "one.csv").write_text(sales([month(d) for d in range(0, 300, 3)], users=1))
    code = invoke(["run", "--task", "churn", "--dataset", "retail=one.csv", "--model", "base-rate", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == 1
    assert [row["status"] for row in document["rows"]] == ["skipped"]
    assert "one class only" in document["rows"][0]["reason"]
    assert "1 test users stayed" in document["rows"][0]["reason"].replace("all ", "").replace("validation", "test")


def test_options_win_over_the_study_file_and_its_keys_are_the_long_options(inputs: Path) -> None:
    from bench.cli.run import configuration

    (inputs / "study.toml").write_text('task = "churn"\ntrials = 7\nmodel = ["lstm"]\njob-seconds = 5\n[set]\nhorizon = "28d"\n')
    config = configuration(inputs / "study.toml", {"trials": 3, "models": None})
    assert (config.trials, config.models, config.job_seconds, config.options) == (3, ("lstm",), 5, {"horizon": "28d"})


def test_a_yaml_study_is_the_same_as_a_toml_study(inputs: Path) -> None:
    from bench.cli.run import configurations

    (inputs / "study.toml").write_text(
        'task = "churn"\nmodels = ["lstm", "bgnbd"]\ntime-limit = "30m"\nparam = ["lstm.hidden=64"]\n'
        '[set]\nhorizon = "28d"\ncutoffs = 2\n[space.lstm]\ndropout = [0.1, 0.3]\n'
    )
    (inputs / "study.yaml").write_text(
        "task: churn\nmodel: lstm, bgnbd\ntime_limit: 30m\nparam: {lstm: {hidden: 64}}\n"
        "set: {horizon: 28d, cutoffs: 2}\nspace: {lstm.dropout: '0.1:0.3'}\n"
    )
    [one], [other] = configurations(inputs / "study.toml", {}), configurations(inputs / "study.yaml", {})
    assert one == other
    assert (one.params, one.space) == ({"lstm.hidden": "64"}, {"lstm.dropout": "0.1:0.3"})
    assert one.options == {"horizon": "28d", "cutoffs": "2"}


@pytest.mark.parametrize(("text", "words"), [("task: [", "study.yaml"), ("- a\n", "holds no keys"), ("trials: '7'", "trials='7' is not a")])
def test_a_broken_yaml_study_is_one_line(text: str, words: str, inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inputs / "study.yaml").write_text(text)
    assert invoke(["run", "study.yaml", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_several_tasks_are_one_configuration_each_with_the_options_that_they_know() -> None:
    from bench.cli.run import configurations

    given = {"task": "churn,forecasting", "models": ["a,b"], "options": ["eligible=ever", "level=user", "retail.x=1"], "out": "here"}
    one, other = configurations(None, given)
    assert (one.task, one.out, one.options) == ("churn", "here/churn", {"eligible": "ever", "retail.x": "1"})
    assert (other.task, other.out, other.options) == ("forecasting", "here/forecasting", {"level": "user", "retail.x": "1"})
    assert one.models == other.models == ("a", "b")


def test_the_run_folder_depends_on_the_configuration_but_not_on_trials_or_workers() -> None:
    from bench.runs.config import Config

    base = Config("churn").folder()
    assert Config("churn", trials=9, workers=1, minutes=2.0).folder() == base
    assert Config("churn", seed=1).folder() != base
    assert Config("churn", options={"horizon": "7d"}).folder() != base


def process(*command: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "bench", *command], text=True, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload, no-any-return]


def test_a_reader_who_has_seen_enough_ends_a_command_without_a_word() -> None:
    read, write = os.pipe()
    os.close(read)
    done = process("list", "models", stdout=write)
    os.close(write)
    assert (done.communicate()[1], done.returncode) == ("", 141)


@pytest.mark.parametrize("imports", ["bench.cli.app", "bench.runs.config"])
def test_an_interrupted_command_ends_in_one_line_wherever_it_was(imports: str, tmp_path: Path) -> None:
    # the import hook stands for a key that is pressed while that module is read
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n\nclass Key:\n    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {imports!r}:\n            raise KeyboardInterrupt\n\nsys.meta_path.insert(0, Key())\n"
    )
    done = process("run", "--task", "churn", stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (*done.communicate(), done.returncode) == ("", "interrupted\n", 130)


def test_a_folder_that_takes_no_file_is_named(inputs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    usual = ["run", "--task", "churn", "--profile", "smoke", "--model", "recency", "--dataset", "retail", "--quiet"]
    monkeypatch.setenv("BENCH_CACHE", str(inputs / "long.csv" / "cache"))
    assert invoke([*usual, "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: cannot write simulated data to ")
    assert "set BENCH_CACHE" in error
    assert error.count("\n") == 1


def test_paths_with_blanks_and_other_alphabets_are_paths(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inputs / "Käufe 日本.csv").write_text(sales([month(d) for d in range(0, 300, 3)], users=9))
    own = ["--user", "CustomerID", "--time", "InvoiceDate", "--model", "recency", "--profile", "smoke", "--workers", "1"]
    invoke(["run", "--task", "churn", "--data", "Käufe 日本.csv", *own, "--out", "Läufe 1", "--quiet"])
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "Käufe-日本" in captured.out
    assert (inputs / "Läufe 1" / "leaderboard.parquet").is_file()


def test_a_study_may_say_what_ranks_and_who_proposes_and_the_command_line_adds_to_its_tables(inputs: Path) -> None:
    from bench.cli.run import configuration

    (inputs / "study.toml").write_text('task = "churn"\nmetric = "log-loss"\nsampler = "random"\n[set]\nhorizon = "28d"\n')
    config = configuration(inputs / "study.toml", {"options": ["cutoffs=2"]})
    assert (config.options, config.sampler) == ({"horizon": "28d", "metric": "log-loss", "cutoffs": "2"}, "random")
    assert configuration(inputs / "study.toml", {"metric": "brier"}).options["metric"] == "brier"
