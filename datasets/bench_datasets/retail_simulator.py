"""Simulate a shop: heterogeneous gamma-Poisson purchasing with dropout, cycles, promotions and labelled incidents.

The model, customer by customer:

- Purchases follow the NBD (Ehrenberg 1959): rates are gamma distributed over customers. Lifetimes follow the Pareto/NBD
  (Schmittlein, Morrison & Colombo 1987, doi:10.1287/mnsc.33.1.1): exponential, with gamma distributed dropout rates.
- Gaps are gamma distributed with a shape of the customer's own, so that some buy like clockwork and some at random
  (Platzer & Reutterer 2016, doi:10.1287/mksc.2015.0963).
- Most customers slow down before they drop out: in the last weeks the rate falls linearly to a fraction. This is what
  recency and frequency do not see and a model of sequences can.
- Time runs on the shop's clock: a weekly cycle (closed on Saturdays and after Christmas, as the shop of Online Retail;
  Chen, Sain & Guo 2012), a yearly cycle with a peak before Christmas, promotions that multiply everybody's rate.
- Stock codes have Zipf popularity and lognormal prices. Some invoices are partly cancelled, some have no customer.

Labelled incidents: promotions (shop-wide) and bulk bursts (a customer orders in bulk many times within days).
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
from bench.data.ragged import spans
from bench.errors import ConfigError

from ._laws import write_law
from ._retail_basket import ZIPF, Invoices, lines

DAY = 86_400
OPENS, OPEN_HOURS = 8, 10


@dataclass(frozen=True)
class Shop:
    """The parameters of the model; lengths of time are in days of the shop's clock."""

    start: str = "2023-01-02"
    days: int = 560
    founders: float = 0.3
    """Share of customers who are there in the first month; the others join evenly until the end."""
    rate_shape: float = 1.6
    """Shape of the gamma distribution of rates; the NBD's r."""
    mean_gap: float = 16.0
    """1 / the mean rate."""
    dropout_shape: float = 1.3
    """Shape of the gamma distribution of dropout rates; the Pareto's s."""
    dropout_scale: float = 240.0
    """The Pareto's beta: half of the customers last at most (2 ** (1 / s) - 1) * beta."""
    gap_shapes: tuple[float, float] = (0.8, 10.0)
    """Range of the log-uniform shapes of gaps: 1 is Poisson, more is more regular."""
    slowing: float = 0.8
    """Share of customers who slow down before they drop out."""
    slow_days: tuple[float, float] = (30.0, 120.0)
    slow_to: float = 0.15
    """What is left of the rate at the end."""
    week: tuple[float, ...] = (1.05, 1.15, 1.1, 1.3, 0.95, 0.0, 0.65)
    """Factors of Monday to Sunday."""
    christmas: float = 0.7
    promotions: int = 6
    promotion_factors: tuple[float, float] = (1.6, 2.4)
    cancelled: float = 0.02
    """Share of invoices of which one line is sent back."""
    anonymous: float = 0.03
    """Share of invoices without a customer."""
    bursts: float = 0.01
    """Share of customers with a bulk burst."""


@dataclass(frozen=True)
class Incidents:
    """Labelled incidents: a user's number, -1 for the whole shop; start and end in days from the first."""

    user: Array
    start: Array
    end: Array
    kind: Array


@dataclass(frozen=True)
class Customers:
    """What differs between customers, [N] each; `joined` and `gone` are on the shop's clock."""

    joined: Array
    gone: Array
    rate: Array
    gap_shape: Array
    slow: Array
    """How long before `gone` the rate begins to fall; 0: not at all."""


def simulate(folder: Path, size: int, seed: int, shop: Shop | None = None) -> None:
    """Write `sales.csv` (the form of UCI Online Retail), `incidents.csv`, `law.parquet` and `simulation.json` into `folder`."""
    if size < 1:
        raise ConfigError(f"a simulated shop needs at least 1 customer, got {size}")
    shop = shop or Shop()
    rng = np.random.default_rng(seed)
    promotions, factors = _promotions(shop, rng)
    clock = _clock(shop, promotions, factors)
    customers = _customers(shop, clock, size, rng)
    bought = _invoices(shop, customers, clock, rng)
    bulk, bursts = _bursts(shop, bought, clock, size, rng)
    walk_in = _walk_in(round(len(bought.user) * shop.anonymous), clock, rng)
    table = lines(Invoices.joined([bought, bulk, walk_in]), size, shop.cancelled, np.diff(clock) > 0, rng)
    folder.mkdir(parents=True, exist_ok=True)
    _sales(table, shop).write_csv(folder / "sales.csv")
    _incident_table(shop, [promotions, bursts]).write_csv(folder / "incidents.csv")
    popular = table.select("item", "StockCode").unique("item").sort("item")
    write_law(folder, dt.datetime.fromisoformat(shop.start), popular["StockCode"], (popular["item"].to_numpy() + 1.0) ** -ZIPF)
    facts = {"adapter": "retail", "name": "retail-sim", "model": __doc__.splitlines()[0] if __doc__ else "", "size": size, "seed": seed}
    (folder / SIMULATION).write_text(json.dumps(facts | {"parameters": asdict(shop)}, indent=1) + "\n", "utf-8")


def _promotions(shop: Shop, rng: np.random.Generator) -> tuple[Incidents, Array]:
    """Place promotions of 3 to 7 days, one in each stretch of the log, and draw their factors."""
    stretch = shop.days / shop.promotions
    start = np.floor(np.arange(shop.promotions) * stretch + rng.uniform(10, stretch - 10, shop.promotions))
    end = start + rng.integers(3, 8, shop.promotions)
    everybody = np.full(shop.promotions, -1)
    return Incidents(everybody, start, end, np.full(shop.promotions, "promotion")), rng.uniform(*shop.promotion_factors, shop.promotions)


def _clock(shop: Shop, promotions: Incidents, factors: Array) -> Array:
    """Tabulate the shop's clock at the start of each day, float64 [days + 1]: it stands while the shop is closed."""
    day = np.arange(shop.days)
    first = dt.date.fromisoformat(shop.start)
    of_year = (first.timetuple().tm_yday + day) % 365
    pace = np.array(shop.week)[(first.weekday() + day) % 7]
    pace = pace * (1 + shop.christmas * np.exp(-0.5 * ((of_year - 325) / 18) ** 2))
    pace[(of_year >= 358) | (of_year <= 3)] = 0
    on = (day[:, None] >= promotions.start) & (day[:, None] < promotions.end)  # [days, promotions]
    pace = pace * np.where(on, factors, 1.0).prod(axis=1)
    return np.concatenate([[0.0], np.cumsum(pace)])


def _customers(shop: Shop, clock: Array, size: int, rng: np.random.Generator) -> Customers:
    founder = rng.random(size) < shop.founders
    joined = np.where(founder, rng.uniform(0, 30, size), rng.uniform(0, clock[-1], size))
    dropout = rng.gamma(shop.dropout_shape, 1 / shop.dropout_scale, size)
    lifetime = rng.exponential(1, size) / dropout
    slows = rng.random(size) < shop.slowing
    return Customers(
        joined=joined,
        gone=joined + lifetime,
        rate=rng.gamma(shop.rate_shape, 1 / shop.rate_shape / shop.mean_gap, size),
        gap_shape=np.exp(rng.uniform(np.log(shop.gap_shapes[0]), np.log(shop.gap_shapes[1]), size)),
        slow=np.where(slows, np.minimum(rng.uniform(*shop.slow_days, size), lifetime), 0.0),
    )


def _invoices(shop: Shop, who: Customers, clock: Array, rng: np.random.Generator) -> Invoices:
    """Draw each customer's purchases: the first on joining, then gamma gaps on a clock that slows before the end.

    More gaps are drawn than a lifetime can hold, for all customers at once; what lies past it is cut off.
    """
    size = len(who.rate)
    lifetime = np.minimum(who.gone, clock[-1]) - who.joined
    expected = lifetime * who.rate
    drawn = np.ceil(1.3 * expected + 6 * np.sqrt(expected / who.gap_shape) + 10).astype(np.int64)
    at, offsets = spans(np.zeros(size, np.int64), drawn)
    user = np.repeat(np.arange(size), drawn)
    gaps = rng.gamma(who.gap_shape[user]) / (who.gap_shape * who.rate)[user]
    gaps[at == 0] = 0.0  # the purchase with which a customer joins
    total = np.cumsum(gaps)
    age = _slowed(total - total[offsets[:-1]][user], (who.gone - who.joined)[user], who.slow[user], shop.slow_to)
    kept = age < lifetime[user]
    days = np.interp((who.joined[user] + age)[kept], clock, np.arange(shop.days + 1.0))
    return Invoices(user[kept], days, np.zeros(int(kept.sum())))


def _slowed(own: Array, lifetime: Array, slow: Array, left: float) -> Array:
    """Turn a customer's own clock into the shop's, [E]: in the last `slow` days its pace falls linearly from 1 to `left`.

    On the shop's clock, u after the fall begins, the own clock has gone u - (1 - left) u^2 / (2 slow); this solves for u.
    Past the end the answer is infinite.
    """
    past = own - (lifetime - slow)
    width = np.maximum(slow, 1e-9)
    inner = 1 - 2 * (1 - left) * past / width
    u = width / (1 - left) * (1 - np.sqrt(np.maximum(inner, 0)))
    u = np.where(past > width * (1 + left) / 2, np.inf, u)
    return np.where(past > 0, lifetime - slow + u, own)


def _walk_in(n: int, clock: Array, rng: np.random.Generator) -> Invoices:
    """Draw `n` purchases of people who leave no number."""
    days = np.interp(rng.uniform(0, clock[-1], n), clock, np.arange(float(len(clock))))
    return Invoices(np.full(n, -1), days, np.zeros(n))


def _bursts(shop: Shop, bought: Invoices, clock: Array, size: int, rng: np.random.Generator) -> tuple[Invoices, Incidents]:
    """Let some customers order in bulk, 6 to 12 times within 3 open days, from one of their own purchases on."""
    n = max(3, round(size * shop.bursts))
    chosen = rng.choice(len(bought.user), min(n, len(bought.user)), replace=False)
    user, first = np.unique(bought.user[chosen], return_index=True)
    begin = np.floor(bought.day[chosen][first])
    orders = rng.integers(6, 13, len(user))
    calendar = np.arange(shop.days + 1.0)
    from_, to = clock[begin.astype(np.int64)], np.minimum(np.interp(begin, calendar, clock) + 3.0, clock[-1])
    which = np.repeat(np.arange(len(user)), orders)
    day = np.interp(rng.uniform(from_[which], to[which]), clock, calendar)
    end = np.zeros(len(user))
    np.maximum.at(end, which, np.floor(day) + 1)
    return Invoices(user[which], day, np.ones(len(which))), Incidents(user, begin, end, np.full(len(user), "bulk burst"))


def _sales(table: pl.DataFrame, shop: Shop) -> pl.DataFrame:
    """Format the table as the raw form does: `17850.0`, seconds always 00, opening hours only."""
    day = pl.col("day").floor()
    minute = ((pl.col("day") - day) * OPEN_HOURS * 60).floor() + OPENS * 60
    time = pl.lit(dt.datetime.fromisoformat(shop.start)) + pl.duration(days=day.cast(pl.Int64), minutes=minute.cast(pl.Int64))
    return table.select(
        "InvoiceNo",
        "StockCode",
        "Description",
        "Quantity",
        time.dt.strftime("%Y-%m-%d %H:%M:%S").alias("InvoiceDate"),
        "UnitPrice",
        pl.when(pl.col("user") >= 0).then(_customer_id(pl.col("user")) + ".0").alias("CustomerID"),
        "Country",
    )


def _incident_table(shop: Shop, incidents: list[Incidents]) -> pl.DataFrame:
    table = pl.concat(pl.DataFrame({"user": i.user, "start": i.start, "end": i.end, "kind": i.kind}) for i in incidents)
    times = [(pl.lit(dt.datetime.fromisoformat(shop.start)) + pl.duration(days=c)).dt.strftime("%F %T").alias(c) for c in ("start", "end")]
    user = pl.when(pl.col("user") >= 0).then(_customer_id(pl.col("user"))).otherwise(pl.lit("*"))
    return table.with_columns(pl.col("start", "end").cast(pl.Int64)).select(user.alias("user"), *times, "kind").sort("start", "user")


def _customer_id(number: pl.Expr) -> pl.Expr:
    return (number + 20_001).cast(pl.String)
