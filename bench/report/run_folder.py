"""Read a finished run folder into one value, for the pages to draw from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from bench.board.board import Board
from bench.board.ranking import boards, candidates
from bench.board.recommend import cost
from bench.board.schema import Row
from bench.board.view import listed
from bench.errors import RunFolderError
from bench.report.html import slug
from bench.report.page import Link
from bench.report.pages import NAMES, Figure, at_board
from bench.tasks.base import protocol_of
from bench.tune.ledger import log_name

Key = tuple[str, str]
"""A board: (task id, label), as `bench.board.ranking.boards` gives them."""
LOG_TAIL = 40
"""Lines of a cell's log that its page shows."""


@dataclass(frozen=True)
class Run:
    """What a run folder holds."""

    folder: Path
    rows: Sequence[Row]
    about: Mapping[str, Any]
    """`run.json`; empty where there is none (a published board)."""
    trials: Sequence[Mapping[str, Any]]
    details: Sequence[Mapping[str, Any]]
    figures: Sequence[Figure]
    choices: Sequence[Mapping[str, Any]] = ()
    """What each search came to; none where the run was published without."""

    @cached_property
    def boards(self) -> dict[Key, list[Row]]:
        """Return the rows of each board, in order of appearance."""
        return {key: [self.rows[at] for at in members] for key, members in boards(self.rows).items()}

    @property
    def task(self) -> str:
        """Name the task, that of all rows."""
        return str(self.rows[0]["task"]) if self.rows else str(self.about.get("config", {}).get("task", ""))

    @property
    def facts(self) -> list[str]:
        """State in short words where the numbers come from: date, version, profile."""
        config = self.about.get("config", {})
        version = self.rows[0].get("bench_version") if self.rows else None
        return [
            *([str(self.about["written"])[:10]] if "written" in self.about else []),
            *([f"bench {version}"] if version else []),
            *([f"profile {config['profile']}"] if config.get("profile") else []),
            *([] if self.about.get("finished", True) else ["unfinished run"]),
        ]

    @cached_property
    def titles(self) -> dict[Key, str]:
        """Name each board for people, no two alike."""
        return board_titles(self.boards)

    @cached_property
    def drawn(self) -> list[Figure]:
        """Return the figures of this run's boards, each with its `title` and its leader as the rows have it."""
        return [self._led(figure) for figure in self.figures if figure.get("kind") in NAMES and self._keys(figure)]

    def _keys(self, figure: Figure) -> list[Key]:
        return [key for key in self.boards if (key[0], self.dataset(key)) == at_board(figure)]

    def _led(self, figure: Figure) -> Figure:
        keys = self._keys(figure)
        rows = listed([row for key in keys for row in self.boards[key]])
        first = next((row for row in rows if row["model"] in figure["models"]), None)
        title = self.titles[keys[0]] if len(keys) == 1 else ", ".join(filter(None, [figure["dataset"], rows[0].get("family")]))
        ranked = first is not None and first.get("rank") == 1
        return {**figure, "title": title, "leader": "" if first is None else first["model"], "ranked": ranked}

    def drawn_of(self, key: Key, kind: str) -> Figure | None:
        """Return a board's figure of one kind: `overview`, `training`; None where it has none."""
        at = key[0], self.dataset(key)
        return self._by_kind.get((*at, kind))

    @cached_property
    def _by_kind(self) -> dict[tuple[str, str, str], Figure]:
        return {(f["task_id"], f["dataset"], f["kind"]): f for f in self.figures}

    @property
    def merged(self) -> bool:
        """Return whether these are the boards of a place, of one run or several."""
        return bool(self.about.get("merged"))

    def config(self, key: Key) -> Mapping[str, Any]:
        """Return the configuration by which a board was run; empty where it is not known."""
        at = key[0], self.dataset(key)
        own = next((d["config"] for d in self.about.get("datasets", ()) if (d["task_id"], d["name"]) == at and "config" in d), None)
        found: Mapping[str, Any] = self.about.get("config", {}) if own is None else own
        return found

    def dataset(self, key: Key) -> str:
        """Name the data set of a board, whose label may say more (the league)."""
        return str(self.boards[key][0]["dataset"])

    def models(self, key: Key) -> list[str]:
        """List the models of one board as its table orders them."""
        return self._models[key]

    @cached_property
    def _models(self) -> dict[Key, list[str]]:
        return {key: list(dict.fromkeys(row["model"] for row in listed(rows))) for key, rows in self.boards.items()}

    @cached_property
    def cells(self) -> dict[Key, dict[str, list[Row]]]:
        """Return the rows of each cell: board -> model -> rows."""
        found: dict[Key, dict[str, list[Row]]] = {key: {} for key in self.boards}
        for key, rows in self.boards.items():
            for row in rows:
                found[key].setdefault(row["model"], []).append(row)
        return found

    @cached_property
    def _chosen_rows(self) -> dict[Key, dict[str, Row]]:
        return {key: {rows[at]["model"]: rows[at] for at in candidates(rows)} for key, rows in self.boards.items()}

    def chosen_row(self, key: Key, model: str) -> Row:
        """Choose the row that stands for a model on a board; where none does, its first."""
        return self._chosen_rows[key].get(model) or self.cells[key][model][0]

    def of(self, what: Sequence[Mapping[str, Any]], key: Key, model: str | None = None) -> list[Mapping[str, Any]]:
        """Choose from trials, details or figures what belongs to a board, or to one of its cells."""
        at = key[0], self.dataset(key)
        if id(what) not in self._indexed:
            found: dict[tuple[str, str], dict[Any, list[Mapping[str, Any]]]] = {}
            for x in what:
                found.setdefault((x["task_id"], x["dataset"]), {}).setdefault(x.get("model"), []).append(x)
            # the sequence is kept beside its index, so that its id is not given to another
            self._indexed[id(what)] = (what, found)
        own = self._indexed[id(what)][1].get(at, {})
        return own.get(model, []) if model is not None else [x for each in own.values() for x in each]

    @cached_property
    def _indexed(self) -> dict[int, tuple[Any, dict[tuple[str, str], dict[Any, list[Mapping[str, Any]]]]]]:
        return {}

    def log(self, key: Key, model: str) -> tuple[str, list[str]]:
        """Return the last lines of a cell's log with its name; nothing where the cell wrote none."""
        families = sorted({row["family"] for row in self.boards[key] if row.get("family")})
        for title in (*(f"{self.dataset(key)} {family}" for family in families), self.dataset(key)):
            path = self.folder / log_name(title, model)
            if path.is_file():
                return log_name(title, model), path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL:]
        return "", []


def board_titles(boards: Mapping[Key, Sequence[Row]]) -> dict[Key, str]:
    """Name boards by label and family; where two have one name, the protocol's version tells them apart, or else the task id."""
    names = {key: ", ".join(filter(None, [key[1], rows[0].get("family")])) for key, rows in boards.items()}
    for more in ([protocol_of(key[0]) for key in boards], [key[0] for key in boards]):
        twice = {name for name, n in Counter(names.values()).items() if n > 1}
        names = {key: f"{name} ({told})" if name in twice else name for (key, name), told in zip(names.items(), more, strict=True)}
    return names


def read_run(folder: Path) -> Run:
    """Read a run folder; raise `RunFolderError` where it has no leaderboard or a damaged file."""
    rows = Board.read(folder).rows
    rows = [{**row, "seconds": cost(row, rows)} for row in rows]
    return Run(
        folder,
        rows,
        _json(folder / "run.json", {}),
        _table(folder / "trials.parquet"),
        _table(folder / "details.parquet"),
        _json(folder / "figures.json", []),
        _table(folder / "choices.parquet"),
    )


def board_file(key: Key) -> str:
    """Name the page of a board."""
    return f"board-{slug(key[1], beside=key[0])}.html"


def cell_file(key: Key, model: str) -> str:
    """Name the page of a cell."""
    return f"cell-{slug(key[1], model, beside=key[0])}.html"


def search_file(key: Key, model: str) -> str:
    """Name the page of a cell's search."""
    return f"search-{slug(key[1], model, beside=key[0])}.html"


def trail(run: Run, *more: Link) -> list[Link]:
    """Return the breadcrumb from the index down."""
    return [(f"{run.task} benchmark", "index.html"), *more]


def _json(path: Path, otherwise: Any) -> Any:
    if not path.exists():
        return otherwise
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunFolderError(f"{path}: not readable as JSON ({error}); give the run's command again to write it anew") from None


def _table(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        return pl.read_parquet(path).to_dicts()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RunFolderError(f"{path}: not readable as Parquet ({error}); give the run's command again to write it anew") from None
