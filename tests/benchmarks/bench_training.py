"""The torch training loop against the plain one: CPU seconds of a fit and its scores, as ratios in one run.

    python tests/benchmarks/bench_training.py [CDNOW_master.txt] [--seeds 5] [--model lstm ...] [--panel]

The plain loop makes each batch anew with numpy, keeps the size of its batches, and clips, steps and averages weight by
weight. Default configurations and profile (20,000 rows, 32 steps, 5 epochs), one thread; fits are interleaved, and CPU seconds
are those of the process. Of a Keras network only the growth of batches is compared. The log is CDNOW's master, or without a
path the simulated shop. `--panel`: instead, the forecasts of 360 simulated weekly series of 80 to 2,600 steps, H = 13, with and
without the cut of an epoch's long windows.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from sklearn.metrics import log_loss, roc_auc_score

from bench.api import Context, Panel
from bench.data.panel import calendar, filled
from bench.neural import torch_model, training
from bench.neural.batches import batches
from bench.neural.loop import LOSSES, Loop
from bench.registry import discover, models
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import PROFILES

TORCH = ("lstm", "vae", "seq2seq", "self-attention")
SHORT, GROWTH = PROFILES["short"], training.GROWTH
WEEK = 7 * 86400 * 10**6


class Plain(Loop):
    """Learn in the way that first comes to mind."""

    def __post_init__(self):
        self.net.to(self.ctx.device)
        self.size = self.recipe.batch
        self.levels = torch.tensor(self.recipe.levels)
        self.followed = [p.detach().clone() for p in self.net.parameters()]
        self.steps = 0
        self.objective = getattr(self.net, "objective", None)

    def run(self, fit, held):
        return super(Loop, self).run(fit, held)

    def optimiser(self):
        return torch.optim.Adam(self.net.parameters(), lr=self.recipe.lr, fused=True)

    def epoch(self, rows, optimiser, epoch):
        for batch in batches(rows.lengths, self.recipe.batch, seed=(self.ctx.seed, epoch)):
            self.step(rows, batch, optimiser)

    def step(self, rows, batch, optimiser):
        self.net.train()
        x, length, target = (torch.from_numpy(part) for part in (*rows.padded(batch), rows.target[batch]))
        if self.objective is not None:
            loss = self.objective(x, length, target, self.loss)
        else:
            loss = LOSSES[self.recipe.loss](self.net(x, length), target, self.levels)
        optimiser.zero_grad()
        (loss / self.recipe.batch).backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip)
        optimiser.step()
        self.steps += 1
        for mean, now in zip(self.followed, self.net.parameters(), strict=True):
            mean.lerp_(now.detach(), training.average_rate(self.steps))

    def swap(self):
        for mean, now in zip(self.followed, self.net.parameters(), strict=True):
            held = now.detach().clone()
            now.detach().copy_(mean)
            mean.copy_(held)


def events(path: str | None) -> Any:
    """Read the log, or make one."""
    adapter: Any = discover().dataset("retail")
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            adapter.simulate(Path(folder), SHORT.users, 0)
        return adapter.read(Path(path or folder), {})


def tried(kind: Any, loop: type[Loop], final: Any, truth: Any, seed: int) -> tuple[float, float, float]:
    """Fit and ask once with a loop: ROC AUC, log-loss, CPU seconds of the fit."""
    torch_model.Loop = loop  # type: ignore[misc]
    training.GROWTH = () if loop is Plain else GROWTH  # a Keras network has the one loop, with batches that stay or grow
    ctx = Context(seed=seed, horizon=91.0, epochs=SHORT.epochs, history=SHORT.history, rows=SHORT.rows)
    model, began = kind(kind.default()), time.process_time()
    model.fit(final.train, ctx)
    took = time.process_time() - began
    p = np.asarray(model.predict(final.parts[0], ctx))
    return float(roc_auc_score(truth, p)), float(log_loss(truth, p)), took


def compared(name: str, final: Any, truth: Any, seeds: int) -> None:
    """Print the ratio of seconds and the differences of scores, with their intervals over the seeds (Student's, 95 %)."""
    kind = models(discover().sources["bench.models"][name])[name]
    pairs = []
    for seed in range(seeds):
        order = (Loop, Plain) if seed % 2 else (Plain, Loop)
        found = {loop: tried(kind, loop, final, truth, seed) for loop in order}
        pairs.append((found[Loop], found[Plain]))
    ours, plain = np.array(pairs).transpose(1, 0, 2)  # [seeds, 3] each
    apart = ours - plain
    half = student.ppf(0.975, seeds - 1) * apart.std(0, ddof=1) / np.sqrt(seeds) if seeds > 1 else np.full(3, np.nan)
    print(
        f"{name:14} {ours[:, 2].mean():6.2f} s of {plain[:, 2].mean():6.2f} s = {ours[:, 2].sum() / plain[:, 2].sum():.2f} x"
        f"   AUC {plain[:, 0].mean():.4f} {apart[:, 0].mean():+.4f} +- {half[0]:.4f}"
        f"   log-loss {plain[:, 1].mean():.4f} {apart[:, 1].mean():+.4f} +- {half[1]:.4f}",
        flush=True,
    )


def weekly(series: int = 360, longest: int = 2600, horizon: int = 13) -> Panel:
    """Simulate weekly series of very different lengths: a random walk, a year's wave and noise."""
    rng, clock = np.random.default_rng(0), np.arange(longest + horizon)[None] * WEEK
    steps = np.exp(rng.uniform(np.log(80), np.log(longest), series)).astype(int)
    steps[0] = longest
    values = np.full((series, longest), np.nan)
    for n, k in enumerate(steps):
        wave = 0.1 * rng.uniform() * np.sin(2 * np.pi * (np.arange(longest)[-k:] / 52 + rng.uniform()))
        values[n, -k:] = np.exp(rng.normal(5, 1) + np.cumsum(rng.normal(0, 0.01, k)) + wave + rng.normal(0, 0.02, k))
    value, mask, start = filled(values)
    until, known = np.full(series, longest), calendar(clock, clock // WEEK, 52, WEEK)
    return Panel(values=value, mask=mask, start=start, until=until, time=clock, known=known, freq="W", season=52, horizon=horizon)


def forecasts(names: list[str], seeds: int) -> None:
    """Print CPU seconds and error of a forecaster's fit with the default profile, as it is and with every window in each epoch.

    The last H steps are held back; the error is the mean absolute one of the median, in units of the naive forecast's within the
    series (MASE).
    """
    panel = weekly()
    past, truth = panel.ending(np.full(len(panel), panel.steps - panel.horizon)), panel.values[:, -panel.horizon :]
    steps = np.abs(np.diff(past.values, axis=1)) * (np.arange(1, past.steps) > past.start[:, None])
    unit = steps.sum(1) / np.maximum(past.lengths - 1, 1)
    levels = tuple(np.round(np.arange(0.1, 1, 0.1), 1).tolist())
    for name in names:
        kind = models(discover().sources["bench.models"][name])[name]
        for seed in range(seeds):
            for way, usual in (("ours", training.USUAL), ("every window", 10**9)):
                before, training.USUAL = training.USUAL, usual
                ctx = Context(seed=seed, horizon=13.0, epochs=SHORT.epochs, history=SHORT.history, rows=SHORT.rows, quantiles=levels)
                model, began, cpu = kind(kind.default()), time.perf_counter(), time.process_time()
                model.fit(past, ctx)
                took, clock = time.process_time() - cpu, time.perf_counter() - began
                error = np.abs(model.predict(past, ctx).quantiles[..., 4] - truth).mean(1) / unit
                training.USUAL = before
                print(
                    f"{name:12} seed {seed} {way:13} fit {took:5.1f} s of CPU, {clock:5.1f} s by the clock   MASE {error.mean():.4f}",
                    flush=True,
                )


def main() -> None:
    """Compare each model on one log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--model", action="append")
    parser.add_argument("--panel", action="store_true")
    asked = parser.parse_args()
    if asked.panel:
        forecasts(asked.model or ["lstm"], asked.seeds)
        return
    cut = Churn().split(events(asked.path), {"horizon": "91d"}, SHORT, 0)
    final, truth = cut.stages["final"], cut.truths["final"].y
    print(f"{cut.task_id}: {len(final.train):,} training rows, {len(truth):,} test rows; ours of plain, {asked.seeds} seeds")
    for name in asked.model or TORCH:
        compared(name, final, truth, asked.seeds)


if __name__ == "__main__":
    main()
