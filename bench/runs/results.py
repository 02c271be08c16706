"""The board of a run, with what only a run has: fitted models, predictions on new data, plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.board import Board
from bench.board.schema import Row
from bench.errors import ConfigError, PluginError, RunFolderError, suggest
from bench.runs.saved_models import board_of, chosen_row, fits, run_document

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from bench.api import Model


class RunBoard(Board):
    """A leaderboard with its run folder behind it."""

    def best(self, dataset: str = "", family: str = "") -> Row:
        """Return the row that leads: of the one board, or of a data set's (and an anomaly family's).

        Raises `ConfigError` where there are several boards to choose from, `RunFolderError` where no model worked.
        """
        return chosen_row(self._rows_of(dataset, family), "", "no model worked on this board; its rows say why")

    def model(self, name: str = "", dataset: str = "", family: str = "") -> Model:
        """Load a fitted model of the run, the leader where no name is given; its plugin is imported into this process.

        Raises `ConfigError` for an ensemble, which is several models, and `PluginError` where the plugin is not installed.
        """
        from bench.execute.mean_of import make
        from bench.registry import discover, models

        folder = self._folder()
        document = run_document(folder)
        fitted = fits(folder, board_of(document, dataset, family), name)
        if len(fitted) > 1:
            raise ConfigError(f"the ensemble is several models; name one: {', '.join(one.model for one in fitted)}")
        wanted, config = fitted[0], document["config"]
        registry = discover(config["plugins"], config["plugins_dirs"])
        known = registry.sources["bench.models"]
        for source in [known[wanted.model]] if wanted.model in known else registry.files:
            if wanted.model in (offered := models(source)):
                made: Model = make(offered[wanted.model], wanted.entry["params"])
                if wanted.saved is not None:
                    made.load(wanted.saved)
                return made
        raise PluginError(f"model {wanted.model!r} is not installed here; install the plugin that brought it")

    def predict(self, data: Any, **arguments: Any) -> pl.DataFrame:
        """Predict on new data with a model of the run; the arguments are those of `bench.predict`."""
        from bench.runs.python import predict

        return predict(self._folder(), data, **arguments)

    def plot(self, kind: Literal["forest", "pareto"] = "forest", dataset: str = "", family: str = "") -> go.Figure:
        """Draw a board with plotly: `forest` (scores with their intervals), or `pareto` (scores against seconds)."""
        from bench.runs.plots import PLOTS

        if kind not in PLOTS:
            raise ConfigError(f"kind={kind!r} of plot is unknown; {suggest(kind, list(PLOTS))}")
        return PLOTS[kind](self._rows_of(dataset, family))

    def _folder(self) -> Path:
        if self.path is None or not self.path.is_dir():
            raise RunFolderError("the board was not read from a run folder: it holds no models; use bench.load(RUN)")
        return self.path

    def _rows_of(self, dataset: str, family: str) -> list[Row]:
        """Choose the rows of one board; raise `ConfigError` where several are left."""
        names = sorted({r["dataset"] for r in self.rows})
        if dataset and dataset not in names:
            raise ConfigError(f"the run has no data set {dataset!r}; {suggest(dataset, names)}")
        rows = [r for r in self.rows if (not dataset or r["dataset"] == dataset) and (not family or r["family"] == family)]
        boards = sorted({" ".join(filter(None, (r["dataset"], r["family"]))) for r in rows})
        if len({(r["task_id"], r["dataset"]) for r in rows}) > 1:
            raise ConfigError(f"there are several boards ({', '.join(boards)}); choose with dataset= and, for anomalies, family=")
        return rows
