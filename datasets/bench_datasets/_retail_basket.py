"""What is in the simulated shop's invoices: lines with stock codes, quantities and prices, and cancellations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from bench.api import Array

ITEMS = 1_500
ZIPF = 0.9
"""Exponent of the popularity of stock codes by rank."""
PRICE_MEDIAN, PRICE_SIGMA = 2.5, 0.8
EXTRA_LINES = (2.0, 1.5)
"""Shape and scale of the gamma distribution of a customer's mean number of lines above the first."""
PACKS, PACK_SHARES = (1, 2, 3, 4, 6, 8, 10, 12, 24), (0.24, 0.16, 0.08, 0.09, 0.13, 0.05, 0.06, 0.14, 0.05)
BULK = 20
COUNTRIES, COUNTRY_SHARES = ("United Kingdom", "Germany", "France", "EIRE", "Spain"), (0.9, 0.035, 0.035, 0.015, 0.015)
FIRST_INVOICE = 800_001
"""Above all numbers of the real logs, so that a simulated log is never taken for one of them."""
ADJECTIVES = ("RED", "WHITE", "VINTAGE", "RETRO", "SMALL", "LARGE", "FLORAL", "WOODEN", "GLASS", "METAL")
NOUNS = ("LANTERN", "MUG", "CLOCK", "CAKE STAND", "LUNCH BAG", "DOORMAT", "CANDLE", "FRAME", "BUNTING", "NAPKINS, SET OF 20")


@dataclass(frozen=True)
class Invoices:
    """Invoices, [N] each: the user's number (-1: nobody), the day with its fraction, 1.0 where it is a bulk order."""

    user: Array
    day: Array
    bulk: Array

    @classmethod
    def joined(cls, several: Sequence[Invoices]) -> Invoices:
        """Put several together, in the order of time."""
        user, day, bulk = (np.concatenate([getattr(i, name) for i in several]) for name in ("user", "day", "bulk"))
        order = np.argsort(day, kind="stable")
        return cls(user[order], day[order], bulk[order])


def lines(invoices: Invoices, users: int, cancelled: float, is_open: Array, rng: np.random.Generator) -> pl.DataFrame:
    """Draw the lines of the invoices and the cancellations that follow; numbered in the order of time.

    `is_open`: bool [days]. Gives columns of the raw form and `user`, `day`.
    """
    extra = rng.gamma(*EXTRA_LINES, users)
    sold = _sold(invoices, extra, rng)
    sent_back = _sent_back(sold, cancelled, is_open, rng)
    table = pl.concat([sold, sent_back]).sort("day", "order", "back", maintain_order=True)
    number = (pl.struct("order", "back").rle_id() + FIRST_INVOICE).cast(pl.String)
    code, price, description = _catalogue(rng)
    country = rng.choice(len(COUNTRIES), users, p=COUNTRY_SHARES)
    item, user = table["item"].to_numpy(), table["user"].to_numpy()
    return table.with_columns(
        InvoiceNo=pl.when(pl.col("back")).then("C" + number).otherwise(number),
        StockCode=code[item],
        Description=description[item],
        UnitPrice=price[item],
        Country=np.array(COUNTRIES)[np.where(user >= 0, country[user], 0)],
    )


def _sold(invoices: Invoices, extra: Array, rng: np.random.Generator) -> pl.DataFrame:
    """Draw how many lines an invoice has, and of each the item and the quantity."""
    n = 1 + rng.poisson(np.where(invoices.user >= 0, extra[invoices.user], np.prod(EXTRA_LINES)))
    which = np.repeat(np.arange(len(n)), n)
    popularity = np.arange(1, ITEMS + 1.0) ** -ZIPF
    quantity = rng.choice(PACKS, len(which), p=PACK_SHARES) * np.where(invoices.bulk[which] > 0, BULK, 1)
    return pl.DataFrame({
        "order": which,
        "back": np.zeros(len(which), bool),
        "user": invoices.user[which],
        "day": invoices.day[which],
        "item": rng.choice(ITEMS, len(which), p=popularity / popularity.sum()),
        "Quantity": quantity,
    })  # fmt: skip


def _sent_back(sold: pl.DataFrame, share: float, is_open: Array, rng: np.random.Generator) -> pl.DataFrame:
    """Send back part of the first line of some invoices, 1 to 10 days later, on the next day that the shop is open."""
    first = sold.filter(pl.col("order").is_first_distinct() & (pl.col("user") >= 0))
    back = first.filter(rng.random(len(first)) < share)
    days = np.arange(len(is_open))
    next_open = np.minimum.accumulate(np.where(is_open, days, len(is_open))[::-1])[::-1]
    due = np.floor(back["day"].to_numpy()).astype(np.int64) + rng.integers(1, 11, len(back))
    inside = due < len(is_open)
    arrival = np.where(inside, next_open[np.minimum(due, len(is_open) - 1)], len(is_open))
    quantity = -np.ceil(back["Quantity"].to_numpy() * rng.uniform(0, 1, len(back))).astype(np.int64)
    late = back.with_columns(back=pl.lit(value=True), day=arrival + rng.random(len(back)), Quantity=quantity)
    return late.filter(arrival < len(is_open))


def _catalogue(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Draw codes, prices and descriptions of the items, [ITEMS] each; which code is popular is left to chance."""
    code = rng.permutation(np.arange(20_000, 20_000 + ITEMS)).astype(str)
    price = np.maximum(np.round(PRICE_MEDIAN * np.exp(rng.normal(0, PRICE_SIGMA, ITEMS)), 2), 0.05)
    words = [f"{ADJECTIVES[i % 10]} {NOUNS[i // 10 % 10]} {i // 100 + 1}" for i in range(ITEMS)]
    return code, price, np.array(words)
