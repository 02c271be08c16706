"""Make the pages that are read off the code: the command line, the metrics, and copies of files at the root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site; none of them is committed."""
    for path, content in pages().items():
        files.append(File.generated(config, path, content=content))
    return files


def pages() -> dict[str, str]:
    """Return the text of each generated page, by its path in the documentation."""
    return {
        "reference/command-line.md": command_line(),
        "reference/metrics.md": metrics(),
        "project/contributing.md": (ROOT / "CONTRIBUTING.md").read_text("utf-8"),
        "project/changelog.md": (ROOT / "CHANGELOG.md").read_text("utf-8"),
    }


def command_line() -> str:
    """Describe every command with its arguments and options, as the command line itself knows them."""
    import typer.main

    from bench.cli.app import app

    head = "# Command line\n\nMade from the program itself. `bench COMMAND --help` prints the same.\n\n"
    codes = "Exit codes: 0 done, 1 no usable row, 2 bad arguments or data, 3 not verified, 130 interrupted.\n"
    return head + codes + "".join(_commands("bench", typer.main.get_command(app)))


def _commands(name: str, command: Any) -> Iterator[str]:
    if subs := getattr(command, "commands", None):
        for sub in subs:
            yield from _commands(f"{name} {sub}", subs[sub])
        return
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    words = " ".join(f"[{m}]" if not p.required and not m.startswith("[") else m for p in arguments if (m := p.metavar or p.name.upper()))
    yield f"\n## {name}\n\n{command.help}\n\n```text\n{' '.join(filter(None, (name, words, '[OPTIONS]' * bool(options))))}\n```\n"
    rows = [(p.metavar or p.name.upper(), getattr(p, "help", "") or "") for p in arguments]
    rows += [(f"{', '.join(p.opts)}{'' if p.is_flag else f' {_value(p)}'}", p.help or "") for p in options]
    if rows:
        yield "\n| argument or option | meaning |\n| --- | --- |\n"
        yield "".join(f"| `{what}` | {_text(meaning)} |\n" for what, meaning in rows)


def _value(option: Any) -> str:
    return str(option.metavar or option.name.upper())


def _text(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;").replace("*", r"\*").replace("_", r"\_")


def metrics() -> str:
    """List the metrics of each task: column, name, which way is better, and what it is."""
    from bench.tasks.lookup import NAMES, task_named

    parts = ["# Metrics\n\nMade from the tables of each task. Formulas and sources: [Protocols and formulas](protocols.md).\n"]
    for name in NAMES:
        task = task_named(name)
        ranked = {rule.metric for rule in task.rankings.values()}
        parts.append(f"\n## {name}\n\n| column | name | better | what it is |\n| --- | --- | --- | --- |\n")
        for metric in task.metrics.values():
            better = "higher" if metric.higher_is_better else "lower"
            parts.append(f"| `{metric.name}`{' (ranks)' * (metric.name in ranked)} | {metric.label} | {better} | {_text(metric.help)} |\n")
    return "".join(parts)
