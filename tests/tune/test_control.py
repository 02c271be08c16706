"""What a user settles of a search: fixed parameters, narrowed ranges, and one line for what cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution, distribution_to_json, json_to_distribution

from bench.errors import ConfigError
from bench.execute.jobs import Plugin
from bench.registry import Source
from bench.tune.control import controlled

SPACE = {
    "hidden": IntDistribution(16, 256, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
    "cell": CategoricalDistribution(["gru", "lstm", "rnn"]),
}
NET = Plugin(
    "net", Source("net", ""), space={k: distribution_to_json(v) for k, v in SPACE.items()},
    default={"hidden": 128, "dropout": 0.2, "cell": "lstm"},
)  # fmt: skip
OTHER = Plugin("other", Source("other", ""))


def net(params: dict[str, str] | None = None, space: dict[str, str] | None = None) -> tuple[dict, dict]:
    made, other = controlled([NET, OTHER], params or {}, space or {})
    assert other == OTHER
    return {name: json_to_distribution(text) for name, text in made.space.items()}, dict(made.default)


def test_a_fixed_parameter_is_the_only_one_that_is_tried() -> None:
    space, default = net({"net.hidden": "64", "net.cell": "gru"})
    assert (default["hidden"], default["cell"], default["dropout"]) == (64, "gru", 0.2)
    assert space["hidden"].single()
    assert space["hidden"].choices == (64,)
    assert space["dropout"] == SPACE["dropout"]


def test_where_all_is_fixed_there_is_nothing_to_search() -> None:
    assert net({"net.hidden": "64", "net.cell": "gru", "net.dropout": "0"}) == ({}, {"hidden": 64, "cell": "gru", "dropout": 0.0})


def test_a_narrowed_range_keeps_its_scale_and_draws_the_default_inside() -> None:
    space, default = net(space={"net.hidden": "32:64", "net.dropout": "0.1:0.4:log", "net.cell": "gru|rnn"})
    assert space["hidden"] == IntDistribution(32, 64, log=True)
    assert space["dropout"] == FloatDistribution(0.1, 0.4, log=True)
    assert space["cell"].choices == ("gru", "rnn")
    assert default == {"hidden": 64, "dropout": 0.2, "cell": "gru"}


def test_what_is_not_named_is_left_as_it_is() -> None:
    assert controlled([NET, OTHER], {}, {}) == [NET, OTHER]


@pytest.mark.parametrize(
    ("params", "space", "words"),
    [
        ({"nett.hidden": "1"}, {}, "--param nett.hidden: no model 'nett' takes part; did you mean 'net'?"),
        ({"net.hiden": "1"}, {}, "the model has no such parameter; did you mean 'hidden'?"),
        ({"hidden": "1"}, {}, "write MODEL.KEY, such as lstm.hidden"),
        ({"net.hidden": "many"}, {}, "--param net.hidden=many: 'many' is not a whole number"),
        ({"net.hidden": "1.5"}, {}, "'1.5' is not a whole number"),
        ({"net.hidden": "8"}, {}, "8 lies outside the model's space, 16 to 256"),
        ({"net.cell": "lsmt"}, {}, "'lsmt' is no choice; did you mean 'lstm'?"),
        ({}, {"net.hidden": "32"}, "--space net.hidden=32: write LOW:HIGH or LOW:HIGH:log"),
        ({}, {"net.hidden": "64:32"}, "64 is more than 32"),
        ({}, {"net.hidden": "16:1000"}, "1000 lies outside the model's space, 16 to 256"),
        ({}, {"net.hidden": "16:32:lin"}, "write LOW:HIGH or LOW:HIGH:log"),
        ({}, {"net.cell": "gru|tcn"}, "'tcn' is no choice"),
    ],
)
def test_what_cannot_be_is_one_line(params: dict[str, str], space: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        net(params, space)
    assert words in str(error.value)


def test_what_a_task_adds_stands_in_the_space_of_that_task_alone_and_can_be_fixed() -> None:
    added = replace(NET, choices={"churn": {"context": ["history", "features"]}})
    assert added.asked("anomaly") == added
    (asked,) = controlled([added.asked("churn")], {"net.context": "features"}, {})
    assert (asked.default["context"], asked.default["hidden"]) == ("features", 128)
    assert json_to_distribution(asked.space["context"]).single()
    whole = added.asked("churn")
    assert json_to_distribution(whole.space["context"]) == CategoricalDistribution(["history", "features"])
    assert whole.default == {**NET.default, "context": "history"}
    assert whole.space.keys() == {*SPACE, "context"}
    assert whole.asked("churn") == whole
