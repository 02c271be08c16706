"""A cell: one model on one data set, and the jobs that it is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.execute.jobs import Job, Limits, Plugin, job_key, stable_seed
from bench.execute.mean_of import configurations, fitted
from bench.execute.messages import Fit
from bench.execute.rungs import Rung
from bench.tasks.base import RESEEDED, Split, Stage, StageName
from bench.tune.plan import Scope
from bench.tune.trials import Entry


@dataclass(frozen=True)
class Cell:
    """One model on one data set."""

    dataset: str
    """The data set, and the family where it has several boards."""
    split: Split
    plugin: Plugin
    device: str
    key_parts: Mapping[str, Any]
    """What every job key of this cell shares."""
    context: Mapping[str, Any]
    portfolio: tuple[Mapping[str, Any], ...] = ()
    """Configurations to try right after the default."""
    pruned: bool = False
    """Trainings that are far behind are stopped early."""

    def stages(self, job: Job) -> tuple[Stage, ...]:
        """Return the stages that a job is made of: chunks of series for a local model, the whole for others."""
        whole = self.split.stages[job.stage]
        return whole.chunks if self.local(job) else (whole,)

    def local(self, job: Job) -> bool:
        """Return whether a job's model fits each series by itself, as it predicts: then it is handed chunks, and saves nothing."""
        return self.plugin.local and self.split.stages[job.stage].divisible

    @property
    def name(self) -> str:
        """Name the cell for seeds and logs."""
        return f"{self.dataset}/{self.plugin.name}"

    @property
    def scope(self) -> Scope:
        """Return what the search depends on, besides its budget."""
        seed = stable_seed(self.key_parts.get("data"), self.split.task_id, self.plugin.name)
        searched = not self.split.no_search_reason
        # losses of configurations that reconstruct other windows say nothing of which finds more
        pruned = self.pruned and self.split.context.get("loss") != "reconstruction"
        # other seeds tell nothing of what has none
        validations, unseen = self.split.validations, tuple(s for s in self.split.unseen if s != RESEEDED or not self.plugin.deterministic)
        return Scope(seed, self.split.ranking, validations, searched, portfolio=self.portfolio, pruned=pruned, unseen=unseen)

    def job(
        self, stage: StageName, params: Mapping[str, Any], seed: int, number: int, of: tuple[str, ...] = (), rungs: tuple[Rung, ...] = ()
    ) -> Job:
        """Make the spec and key of one job."""
        parts = {**self.key_parts, "stage": stage, "split": self.split.stages[stage].digest, "params": dict(params), "seed": seed}
        more = {**({"of": of} if of else {}), **({"rungs": [[rung.epoch, rung.most] for rung in rungs]} if rungs else {})}
        key = job_key({**parts, **more})
        return Job(self.name, self.plugin, stage, params, seed, key, self.context, number, keep=stage == "final", of=of, rungs=rungs)

    def bounds(self, job: Job, limits: Limits) -> Limits:
        """Return the limits of one job: as many times the seconds of a fit as it has configurations."""
        return replace(limits, seconds=limits.seconds * fitted(job.params))

    def taken_over(self, job: Job, done: Iterable[Entry]) -> tuple[int, Entry] | None:
        """Return which configuration of a mean's final fit has been fitted before with the same seed, and its entry; None: all are fitted.

        A stage's later parts hold the truth of those before, and a model is saved when it has predicted all: what a plugin
        that is not shipped has saved then is not handed to another fit.
        """
        several = configurations(job.params)
        if job.stage != "final" or len(several) == 1 or not (self.plugin.source.shipped or len(self.split.stages["final"].parts) == 1):
            return None
        for entry in done:
            whole = entry["status"] == "ok" and entry["saved"] and not entry["unsaved"] and not entry["cut_short"]
            if whole and (entry["stage"], entry["seed"]) == ("final", job.seed) and entry["params"] in several:
                return several.index(dict(entry["params"])), entry
        return None

    def request(self, job: Job, taken: tuple[int, str] = (0, "")) -> Fit:
        """Return what a worker is asked to do; `taken`: which configuration of a mean is not fitted again, and where it is saved."""
        device = "cuda:0" if self.device == "cuda" else "cpu"
        # what a local model learns, it learns in `predict`: there is nothing to keep
        save = job.keep and not self.local(job)
        return Fit(
            job.plugin.source,
            job.plugin.name,
            dict(job.params),
            job.seed,
            dict(job.context),
            device,
            save,
            () if self.local(job) else job.rungs,
            fitted=taken[0],
            saved=taken[1],
        )
