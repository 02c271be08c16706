"""The words of a report: flags that are explained, parameters that are laid out."""

from __future__ import annotations

from bench.board.schema import FLAGS
from bench.report.words import FLAG_WORDS, params_table


def test_every_flag_of_a_row_is_explained() -> None:
    assert set(FLAG_WORDS) == set(FLAGS)


def test_the_parameters_of_a_mean_stand_side_by_side() -> None:
    assert params_table('{"lr": 0.00123456789, "n": 3}') == (("parameter", "value"), [("lr", "0.00123457"), ("n", "3")])
    head, rows = params_table('{"mean_of": [{"lr": 0.1, "kind": "a"}, {"lr": 0.2, "kind": "b"}]}')
    assert head == ("parameter", "configuration 1", "configuration 2")
    assert rows == [("kind", "a", "b"), ("lr", "0.1", "0.2")]
    assert params_table(None)[1] == []
