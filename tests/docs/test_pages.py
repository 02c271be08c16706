"""Every page: its commands are parsed by the command line itself, its Python is run or compiled, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from bench.cli.app import app
from bench.cli.study import read_study
from bench.registry import discover
from bench.runs import truth_seed
from bench.tasks.lookup import NAMES, task_named
from bench.tasks.profiles import PROFILES

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "examples").glob("*.md"))
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *OUTSIDE])
FENCED = re.compile(r"^[ ]*```(\w*)\n(.*?)^[ ]*```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(bench [a-z][^`]*)`")
SHOWN = {"", "text", "bash", "console", "sh"}
"""Languages of the blocks that hold commands, or what they print."""
OTHERS = {"overdue", "above-rate", "above-recent"}
"""Models of the tutorials."""


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each `bench` command of a page, those in running text too."""
    # running text may name a command without what it takes
    found = [command for command in INLINE.findall(text) if not re.fullmatch(r"bench( [a-z]+)+", command)]
    for language, body in FENCED.findall(text):
        if language in SHOWN:
            parts = [
                part for line in body.replace("\\\n", " ").splitlines() for part in re.split(r"&&|;|\|", line.strip().removeprefix("$ "))
            ]
            found += [part for part in parts if re.match(r"\s*bench [a-z]", part)]
    for command in found:
        words = shlex.split(command, comments=True)[1:]
        if not any("..." in word for word in words):
            yield words


def parse(words: list[str]) -> tuple[str, dict[str, object]]:
    """Parse a command as the program would, without calling it; return its name and what was given."""
    command, name = typer.main.get_command(app), "bench"
    context = command.make_context(name, list(words), resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args] if hasattr(context, "_protected_args") else list(context.args)
        if not rest:
            break
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return str(name), context.params


def refused(words: list[str]) -> str:
    """Return why a command is none; empty: it is one."""
    if words[-1] in {"--help", "--install-completion"}:
        words = words[:-1]
        known = typer.main.get_command(app)
        for word in words:
            if word not in getattr(known, "commands", {}):
                return f"no command {word}"
            known = known.commands[word]
        return ""
    try:
        name, given = parse(words)
    except Exception as error:  # noqa: BLE001 - typer's own kinds of usage errors differ by its version
        return str(getattr(error, "message", "") or error)
    return "" if name not in {"run", "predict"} else unknown(given)


def unknown(given: dict[str, object]) -> str:
    """Return what a command names that is not there: a task, a profile, a model, an option of a task."""
    tasks = str(given.get("task") or "").split(",")
    if bad := [task for task in tasks if task and task not in {*NAMES, "above"}]:
        return f"no task {bad}"
    if given.get("profile") not in {None, *PROFILES}:
        return f"no profile {given['profile']}"
    models = given.get("model") or []
    named_models = [m for word in ([models] if isinstance(models, str) else models) for m in word.split(",")]
    known = {*discover().names("bench.models"), *OTHERS}
    if bad := [model for model in named_models if model not in known]:
        return f"no model {bad}"
    options = {key for task in NAMES for key in task_named(task).options} | {truth_seed.KEY}
    keys = [pair.partition("=")[0] for pair in given.get("set_") or []]
    return "".join(f"no option {key} " for key in keys if "." not in key and key not in options)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_of_a_page_is_one(page):
    wrong = {" ".join(words): why for words in commands(page.read_text("utf-8")) if (why := refused(words))}
    assert not wrong


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("bench run --tusk churn", "tusk"),
        ("bench run --task chrun", "no task"),
        ("bench run --task churn --model lstmm", "no model"),
        ("bench run --task churn --set horizont=3", "no option"),
        ("bench board shw RUN", "shw"),
        ("bench publish", "run_folder"),
    ],
)
def test_a_command_that_is_none_is_found(command, why):
    (words,) = commands(f"```bash\n{command}\n```\n")
    assert why in refused(words)


def test_there_are_as_many_commands_as_a_reader_needs():
    assert sum(1 for page in PAGES for _ in commands(page.read_text("utf-8"))) > 100


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_python_of_a_page_compiles(page):
    for language, body in FENCED.findall(page.read_text("utf-8")):
        if language == "python" and "--8<--" not in body:
            compile(body, named(page), "exec")


def test_every_study_file_of_a_page_is_one(tmp_path):
    studies = [body for page in PAGES for language, body in FENCED.findall(page.read_text("utf-8")) if language == "toml"]
    assert studies
    for body in studies:
        (tmp_path / "study.toml").write_text(body)
        assert read_study(tmp_path / "study.toml")["task"] in NAMES


def test_the_workflow_gives_commands_that_exist():
    import yaml

    workflow = yaml.safe_load((ROOT / "examples" / "github-action.yml").read_text("utf-8"))
    steps = [step["run"] for step in workflow["jobs"]["run"]["steps"] if "run" in step]
    found = list(commands("```bash\n" + "\n".join(steps) + "\n```\n"))
    assert [words[0] for words in found] == ["run", "publish", "verify"]
    assert not [why for words in found if (why := refused(words))]


def test_the_image_is_made_of_what_the_distribution_needs():
    text = (ROOT / "Dockerfile").read_text("utf-8")
    copied = {name for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for name in line.split()}
    assert all((ROOT / name).exists() for name in copied)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {package.partition("/")[0] for package in packages} <= copied


def test_the_first_python_of_the_documentation_runs_and_is_that_of_the_readme(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (start,) = [body for language, body in FENCED.findall((ROOT / "docs" / "start.md").read_text("utf-8")) if language == "python"]
    exec(compile(start, "start.md", "exec"), {})
    assert "rfm-logit" in capsys.readouterr().out
    (readme,) = [body for language, body in FENCED.findall((ROOT / "README.md").read_text("utf-8")) if language == "python"]
    assert readme.splitlines()[:4] == start.splitlines()[:4]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_links_of_a_page_lead_to_files(page):
    generated = {"command-line.md", "metrics.md", "contributing.md", "changelog.md"}
    text = re.sub(r"`[^`\n]*`", "", FENCED.sub("", page.read_text("utf-8")))
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists() or Path(target).name in generated, target


def test_the_readme_has_its_two_commands_and_is_short():
    text = (ROOT / "README.md").read_text("utf-8")
    assert "pip install -e '.[all]' && bench run --task churn\npip install -e '.[all,dev]' && pytest -n auto\n" in text
    assert len(text.splitlines()) < 100
