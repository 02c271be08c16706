"""What a user settles of a search: parameters that are fixed, and ranges that are narrowed, for single models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.errors import ConfigError, suggest
from bench.execute.jobs import Plugin

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def controlled(plugins: Sequence[Plugin], params: Mapping[str, str], space: Mapping[str, str]) -> list[Plugin]:
    """Fix `params` (MODEL.KEY -> value) and narrow to `space` (MODEL.KEY -> LOW:HIGH[:log], or choices A|B) in the plugins.

    Raises `ConfigError` for a model that takes no part, a parameter that it has not, and what lies outside the model's space.
    """
    names = [plugin.name for plugin in plugins if plugin.status == "ok"]
    for option, given in (("param", params), ("space", space)):
        for key in given:
            model, dot, name = key.partition(".")
            if not dot or not name:
                raise ConfigError(f"--{option} {key}: write MODEL.KEY, such as lstm.hidden")
            if model not in names:
                raise ConfigError(f"--{option} {key}: no model {model!r} takes part; {suggest(model, names)}")
    return [_controlled(plugin, _own(params, plugin.name), _own(space, plugin.name)) for plugin in plugins]


def _own(given: Mapping[str, str], model: str) -> dict[str, str]:
    return {key.partition(".")[2]: value for key, value in given.items() if key.partition(".")[0] == model}


def _controlled(plugin: Plugin, params: Mapping[str, str], space: Mapping[str, str]) -> Plugin:
    if not params and not space:
        return plugin
    from optuna import distributions as kinds

    found = {name: kinds.json_to_distribution(text) for name, text in plugin.space.items()}
    default = dict(plugin.default)
    for name, text in space.items():
        found[name] = _narrowed(found[_checked_parameter(name, found, plugin, "space")], text, f"--space {plugin.name}.{name}={text}")
        default[name] = _inside(default[name], found[name])
    for name, text in params.items():
        value = _value(found[_checked_parameter(name, found, plugin, "param")], text, f"--param {plugin.name}.{name}={text}")
        found[name], default[name] = kinds.CategoricalDistribution([value]), value
    # where nothing is left to choose, there is nothing to search
    left = {} if all(kind.single() for kind in found.values()) else found
    return replace(plugin, space={name: kinds.distribution_to_json(kind) for name, kind in left.items()}, default=default)


def _checked_parameter(name: str, space: Mapping[str, Any], plugin: Plugin, option: str) -> str:
    if name not in space:
        raise ConfigError(f"--{option} {plugin.name}.{name}: the model has no such parameter; {suggest(name, list(space))}")
    return name


def _value(kind: BaseDistribution, text: str, where: str) -> Any:
    """Read one value as the distribution's; it must lie inside."""
    from optuna import distributions as kinds

    if isinstance(kind, kinds.CategoricalDistribution):
        return _choice(kind, text, where)
    assert isinstance(kind, kinds.IntDistribution | kinds.FloatDistribution)
    value = _number(kind, text, where)
    if not kind.low <= value <= kind.high:
        raise ConfigError(f"{where}: {value:g} lies outside the model's space, {kind.low:g} to {kind.high:g}")
    return value


def _number(kind: Any, text: str, where: str) -> float:
    from optuna import distributions as kinds

    try:
        return int(text) if isinstance(kind, kinds.IntDistribution) else float(text)
    except ValueError:
        wanted = "a whole number" if isinstance(kind, kinds.IntDistribution) else "a number"
        raise ConfigError(f"{where}: {text!r} is not {wanted}") from None


def _choice(kind: Any, text: str, where: str) -> Any:
    by_text = {str(choice): choice for choice in kind.choices}
    if text not in by_text:
        raise ConfigError(f"{where}: {text!r} is no choice; {suggest(text, list(by_text))}")
    return by_text[text]


def _narrowed(kind: BaseDistribution, text: str, where: str) -> BaseDistribution:
    """Read a range inside a distribution's: LOW:HIGH, LOW:HIGH:log, or choices with | between."""
    from optuna import distributions as kinds

    if isinstance(kind, kinds.CategoricalDistribution):
        return kinds.CategoricalDistribution([_choice(kind, part, where) for part in text.split("|")])
    low, colon, rest = text.partition(":")
    high, second, scale = rest.partition(":")
    if not colon or (second and scale != "log"):
        raise ConfigError(f"{where}: write LOW:HIGH or LOW:HIGH:log")
    ends = [_value(kind, end, where) for end in (low, high)]
    if ends[0] > ends[1]:
        raise ConfigError(f"{where}: {low} is more than {high}; write the lower end first")
    log = bool(second) or bool(getattr(kind, "log", False))
    if isinstance(kind, kinds.IntDistribution):
        return kinds.IntDistribution(ends[0], ends[1], log=log, step=1 if log else kind.step)
    return kinds.FloatDistribution(ends[0], ends[1], log=log)


def _inside(value: Any, kind: Any) -> Any:
    """Bring a default into a narrowed range: its nearest end, or the first choice."""
    choices = getattr(kind, "choices", None)
    if choices is not None:
        return value if value in choices else choices[0]
    return min(max(value, kind.low), kind.high)
