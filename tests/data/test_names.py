"""One rule says what may be a name, wherever it comes from."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cli import invoke
from bench.data.names import as_name, is_name
from bench.errors import PluginError
from bench.registry import discover, models

STRANGE = [" ", "", "a\nb", "../../etc/x", "a/b", "-rf", "x" * 5_000, "a\x1b[31m", "a b", "\u202ename"]
MODEL = """
import bench


class Odd(bench.ArrayModel):
    name = {name!r}
    tasks = frozenset({{"churn"}})


@bench.hookimpl
def bench_models():
    return [Odd]
"""


@pytest.mark.parametrize("name", ["lstm", "rfm-logit", "m4.daily", "käufe", "2024", "a+b", "x" * 80])
def test_usual_names_are_names(name: str) -> None:
    assert is_name(name)
    assert as_name(name) == name


@pytest.mark.parametrize("name", STRANGE)
def test_a_model_of_a_strange_name_is_refused_in_one_short_line(name: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    file.write_text(MODEL.format(name=name))
    with pytest.raises(PluginError) as found:
        models(discover([file], []).files[0])
    assert len(str(found.value)) < 400
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("name", [name for name in STRANGE if not name.startswith("-")])
def test_a_data_set_is_registered_under_no_strange_name(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.csv").write_text("user,time\na,2024-01-01\n")
    assert invoke(["data", "add", name, str(tmp_path / "log.csv"), "--adapter", "events"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert len(error) < 400


@given(st.text())
def test_whatever_a_file_is_called_a_name_comes_of_it(text: str) -> None:
    assert is_name(as_name(text))
    assert as_name(as_name(text)) == as_name(text)
