"""Write a new plugin that passes its checks as it stands: a single file, or a distribution of its own."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Literal, TypeAlias

from bench.errors import ConfigError
from bench.registry import RESERVED, reserved_name_hint

Kind: TypeAlias = Literal["model", "dataset", "task"]
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def write_file(name: str, folder: Path, *, kind: Kind, taken: Iterable[str] = ()) -> Path:
    """Write `folder/NAME.py`, with `_` for `-`; raise `ConfigError` for a bad or taken name, or where the file exists."""
    refuse_name(name, taken)
    path = folder / f"{module_of(name)}.py"
    return _written({path: _filled(f"{kind}.py", name)}, path)


def write_distribution(name: str, folder: Path, *, kind: Kind, taken: Iterable[str] = ()) -> Path:
    """Write `folder/NAME/`: project file, package, tests, README; raise `ConfigError` as `write_file` does."""
    refuse_name(name, taken)
    home, module = folder / name, module_of(name)
    package = home / "src" / module
    parts = {
        home / "pyproject.toml": _project(name, kind),
        home / "README.md": _filled("README.md", name).replace("RUN", f"    {run_command(name, kind)}"),
        package / "__init__.py": "",
        package / "plugin.py": _filled(f"{kind}.py", name),
        home / "tests" / f"test_{module}.py": _filled(f"test_{kind}.py", name),
    }
    return _written(parts, home)


def run_command(name: str, kind: Kind, more: str = "") -> str:
    """Spell a first command with a plugin; `more`: what names its file where it is not installed."""
    return {
        "model": f"bench run --task churn{more} --dataset retail --model {name} --model rfm-logit",
        "dataset": f"bench run --task churn{more} --dataset {name}",
        "task": f"bench run --task {name}{more} --dataset retail",
    }[kind]


def _project(name: str, kind: Kind) -> str:
    """Fill in the project file; a task brings two models."""
    text = _filled("pyproject.toml", name)
    if kind == "model":
        return text
    own = text.replace("bench.models", f"bench.{kind}s")
    if kind == "dataset":
        return own
    line = f'{name} = "{module_of(name)}.plugin"\n'
    beside = line.replace(name, f"{name}-rate", 1) + line.replace(name, f"{name}-recent", 1)
    return own.replace(line, f'{line}\n[project.entry-points."bench.models"]\n{beside}')


def refuse_name(name: str, taken: Iterable[str]) -> None:
    """Raise `ConfigError` for what can be no plugin's name, or is one already."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name for a plugin; use small letters, digits and single '-', such as my-model")
    module = module_of(name)
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or module in {"bench", "numpy", "torch", "test", "tests"}:
        raise ConfigError(f"{name!r} would be the Python module {module!r}, which has another meaning; choose another, such as my-{name}")
    if name in RESERVED:
        raise ConfigError(f"{name!r} is {reserved_name_hint(name)}")
    if name in set(taken):
        raise ConfigError(f"{name!r} is installed already; choose another, such as my-{name}")


def module_of(name: str) -> str:
    """Return the module's name."""
    return name.replace("-", "_")


def _filled(template: str, name: str) -> str:
    """Read a template and put the name in: as it is, as a module, as a class, as words."""
    text = files("bench.testing").joinpath("templates", f"{template}.txt").read_text("utf-8")
    words = name.split("-")
    filled = {
        "my-model": name,
        "my_model": module_of(name),
        "MyModel": "".join(word.capitalize() for word in words),
        "My model": " ".join(words).capitalize(),
    }
    return re.sub("|".join(filled), lambda found: filled[found[0]], text)


def _written(parts: dict[Path, str], main: Path) -> Path:
    """Write all parts; nothing that exists is touched. Returns `main`."""
    if main.exists():
        raise ConfigError(f"{main} exists already; choose another name, or --to another folder")
    for path, text in parts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return main
