"""Simulate a network of messages: self-exciting and reciprocal, with users who join, slow down and leave.

The model is a marked Hawkes process (Hawkes 1971, doi:10.1093/biomet/58.1.83), drawn by its branching structure (Hawkes &
Oakes 1974, doi:10.2307/3212693): first the messages that nobody caused, then generation by generation those they cause.

- Causeless messages: a Poisson process for each user while they are there. Rates are gamma distributed over users, lifetimes
  exponential with gamma distributed rates (Schmittlein, Morrison & Colombo 1987, doi:10.1287/mnsc.33.1.1).
- Half of the users slow down before they leave: in the last weeks their rate, and their readiness to answer, falls linearly to
  a fraction (the process is thinned: Lewis & Shedler 1979, doi:10.1002/nav.3800260304).
- Self-excitation: each message is followed by others of the same user, after exponential delays, mostly to the same partner.
- Reciprocity: the receiver, if there, answers with a probability of their own, after a lognormal delay (Stouffer, Malmgren &
  Amaral 2006, arXiv:physics/0605027). Two-way excitation of this kind: Blundell, Heller & Beck 2012 (NIPS 25).
- Partners: each user has a few, met by preferential attachment, so that the n-th user to join is met in proportion to
  n ** -1/2 (Barabási & Albert 1999, doi:10.1126/science.286.5439.509), and written to with Zipf weights.
- Time runs on the network's clock: a weekly and a daily cycle, and surges that multiply everybody's pace. Delays are on
  this clock too: a night's sleep delays an answer.

Labelled incidents: surges (network-wide) and spam (an account writes to many strangers within two hours).
Everything is drawn from one numpy Generator: the same size and seed give the same bytes.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from bench.api import SIMULATION, Array
from bench.errors import ConfigError

from ._laws import write_law
from ._social_cascade import HOUR, Messages, Network, Users, cascade, causeless, join
from ._social_law import addressed

LAWFUL = 0.25
"""Share of the days, the last ones, of which the law is written: a test lies there."""


@dataclass(frozen=True)
class Incidents:
    """Labelled incidents: a user's number, -1 for the whole network; start and end in days from the first."""

    user: Array
    start: Array
    end: Array
    kind: str


def simulate(folder: Path, size: int, seed: int, network: Network | None = None) -> None:
    """Write `messages.txt` (SNAP's form), `incidents.csv`, `law.parquet` and `simulation.json` into `folder`."""
    if size < 2:
        raise ConfigError(f"a simulated network needs at least 2 users, got {size}")
    network = network or Network()
    rng = np.random.default_rng(seed)
    surges, factors = _surges(network, rng)
    clock = _clock(network, surges, factors)
    users = join(network, size, clock[-1], rng)
    sent = cascade(causeless(network, users, clock[-1], rng), network, users, clock[-1], rng)
    spam, spammers = _spam(network, sent, size, clock, rng)
    folder.mkdir(parents=True, exist_ok=True)
    _edges(network, [sent, spam], clock).write_csv(folder / "messages.txt", include_header=False, separator=" ")
    _incident_table(network, [surges, spammers]).write_csv(folder / "incidents.csv")
    _law(folder, network, users, sent, clock)
    facts = {"adapter": "social", "name": "social-sim", "model": __doc__.splitlines()[0] if __doc__ else "", "size": size, "seed": seed}
    (folder / SIMULATION).write_text(json.dumps(facts | {"parameters": asdict(network)}, indent=1) + "\n", "utf-8")


def _surges(network: Network, rng: np.random.Generator) -> tuple[Incidents, Array]:
    """Place surges of one to three days, one in each stretch of the log, and draw their factors."""
    stretch = network.days / network.surges
    start = np.floor(np.arange(network.surges) * stretch + rng.uniform(4, stretch - 4, network.surges))
    end = start + rng.integers(1, 4, network.surges)
    return Incidents(np.full(network.surges, -1), start, end, "surge"), rng.uniform(*network.surge_factors, network.surges)


def _clock(network: Network, surges: Incidents, factors: Array) -> Array:
    """Tabulate the network's clock at the start of each hour, float64 [days * 24 + 1]; a plain day is about one long."""
    hour = np.arange(network.days * 24)
    day = hour / 24
    weekday = dt.date.fromisoformat(network.start).weekday()
    pace = np.array(network.week)[(weekday + hour // 24) % 7]
    pace = pace * (1 - network.night * np.cos((hour + 0.5 - network.quiet_hour) * np.pi / 12))
    on = (day[:, None] >= surges.start) & (day[:, None] < surges.end)  # [hours, surges]
    return np.concatenate([[0.0], np.cumsum(pace * np.where(on, factors, 1.0).prod(axis=1)) / 24])


def _spam(network: Network, sent: Messages, size: int, clock: Array, rng: np.random.Generator) -> tuple[Messages, Incidents]:
    """Let some accounts write to 30 to 90 users at random within two hours, from one of their own messages on."""
    n = min(max(3, round(size * network.spam)), len(sent.time))
    chosen = rng.choice(len(sent.time), n, replace=False)
    user, first = np.unique(sent.source[chosen], return_index=True)
    begin = np.floor(_calendar(sent.time[chosen][first], clock) * 24) / 24
    begin = np.minimum(begin, network.days - 2 * HOUR)
    which = np.repeat(np.arange(len(user)), rng.integers(30, 91, len(user)))
    target = rng.integers(0, size - 1, len(which))
    day = begin[which] + 2 * HOUR * rng.random(len(which))
    time = np.interp(day * 24, np.arange(float(len(clock))), clock)
    return Messages.unasked(user[which], target + (target >= user[which]), time), Incidents(user, begin, begin + 2 * HOUR, "spam")


def _law(folder: Path, network: Network, users: Users, sent: Messages, clock: Array) -> None:
    """Write by what law each late message was addressed; spam is addressed evenly, which tells nothing."""
    days = _calendar(sent.time, clock)
    late = np.flatnonzero(days >= (1 - LAWFUL) * network.days)
    message, target, weight = addressed(network, users, sent, late[np.argsort(days[late], kind="stable")])
    start = pl.lit(dt.datetime.fromisoformat(network.start))
    table = pl.DataFrame({"user": sent.source[message] + 1, "message": message, "second": _seconds(days[message])})
    table = table.with_columns(
        pl.col("user").cast(pl.String), start=start + pl.duration(seconds="second"), target=target + 1, weight=weight
    )
    # of one second the first message stands: models are asked about moments
    first = table.unique(["user", "second"], keep="first", maintain_order=True).select("message")
    kept = table.join(first, on="message", how="semi", maintain_order="left")
    write_law(folder, kept["start"], kept["target"].cast(pl.String), kept["weight"].to_numpy(), kept["user"])


def _seconds(days: Array) -> Array:
    """Return whole seconds since the start."""
    return np.asarray(np.floor(days * 86_400), np.int64)


def _calendar(time: Array, clock: Array) -> Array:
    """Turn the network's clock into days since the start."""
    return np.asarray(np.interp(time, clock, np.arange(float(len(clock)))) / 24)


def _edges(network: Network, parts: list[Messages], clock: Array) -> pl.DataFrame:
    """Format messages as SNAP does, in the order of time: source, target, Unix seconds."""
    start = int(dt.datetime.fromisoformat(network.start).replace(tzinfo=dt.UTC).timestamp())
    sent = Messages.joined(parts)
    seconds = _seconds(_calendar(sent.time, clock)) + start
    return pl.DataFrame({"source": sent.source + 1, "target": sent.target + 1, "time": seconds}).sort("time", "source", "target")


def _incident_table(network: Network, incidents: list[Incidents]) -> pl.DataFrame:
    table = pl.concat(
        pl.DataFrame({"user": i.user + 1, "start": i.start, "end": i.end}).with_columns(kind=pl.lit(i.kind)) for i in incidents
    )
    start = pl.lit(dt.datetime.fromisoformat(network.start))
    times = [
        (start + pl.duration(minutes=(pl.col(c) * 1440).round().cast(pl.Int64))).dt.strftime("%F %T").alias(c) for c in ("start", "end")
    ]
    user = pl.when(pl.col("user") > 0).then(pl.col("user").cast(pl.String)).otherwise(pl.lit("*"))
    return table.select(user.alias("user"), *times, "kind").sort("start", "user")
