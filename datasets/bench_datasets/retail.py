"""Retail logs: UCI Online Retail (csv, daily files, xlsx), Online Retail II, CDNOW; and a simulated shop.

`user` is the customer, `kind` is purchase or cancel (an invoice whose number starts with C), `value` is quantity times
price, negative for a cancellation (CDNOW: dollars), `item` is the stock code; `quantity`, `invoice` and `country`
are kept. Each row that is dropped is counted under the first reason that holds for it:

1. in both sheets: a row of a workbook's later sheet that repeats one of an earlier sheet (Online Retail II)
2. no user: no customer number
3. bad date: a date that cannot be read (an error where more than 1 % cannot)
4. implausible date: a day before 1970 or over ten years ahead
5. duplicate: an exact repetition of an earlier row (UCI only: repeated CDNOW rows are several orders of a day)
6. bad number: a quantity or price that cannot be read (an error where more than 1 % cannot)
7. stock correction: a negative quantity on an invoice that is no cancellation
8. no price: a price of zero or less (UCI only: CDNOW's 80 free orders are kept)
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import polars as pl

from bench.api import Dataset, DatasetCard, hookimpl
from bench.data.events import Events

from . import _retail_forms as forms
from ._retail_clean import clean_cdnow, clean_uci
from ._tables import Cleaned

ACTIVITY = ("purchase",)
CDNOW_CONTENT = {
    (69_659, 23_570): "cdnow-master",
    (6_919, 2_357): "cdnow-sample",
}
"""Rows and users of the published files; both run from the first to the last day below."""
CDNOW_DAYS = (dt.datetime(1997, 1, 1), dt.datetime(1998, 6, 30))  # noqa: DTZ001  raw times have no zone
UCI_CONTENT = {
    ("536365", dt.datetime(2010, 12, 1, 8, 26)): "online-retail",  # noqa: DTZ001
    ("489434", dt.datetime(2009, 12, 1, 7, 45)): "online-retail-ii",  # noqa: DTZ001
}
"""First invoice and its time: they also mark a file that holds only the first months."""


class Retail(Dataset):
    """Purchases of a shop's customers."""

    name = "retail"
    simulated_name = "retail-sim"
    card: ClassVar[DatasetCard] = DatasetCard(
        title="Retail logs: UCI Online Retail, Online Retail II, CDNOW",
        licence="CC BY 4.0 (both UCI sets); none stated for CDNOW, published for research and teaching",
        source="https://archive.ics.uci.edu/dataset/352 and /502; http://brucehardie.com/notes/026 (CDNOW)",
        citation="Chen, Sain & Guo 2012, doi:10.1057/dbm.2012.17; Fader & Hardie 2001, doi:10.1287/inte.31.3s.94.9683",
        activity=ACTIVITY,
        traps=(
            "UCI: about a quarter of the rows have no customer and are dropped",
            "UCI: local times of the shop without a zone, taken as UTC; the shop is closed on Saturdays and after Christmas",
            "UCI: many customers are wholesalers; a cancellation is an event but no activity",
            "Online Retail II: its two sheets overlap from 2010-12-01 to 2010-12-09; repeated rows are dropped",
            "Online Retail is contained in Online Retail II, and the CDNOW sample in the master: never load both as one log",
            "CDNOW: all customers start in the first quarter of 1997; half of them buy once; days without time of day",
            "CDNOW: repeated rows are several orders of a day and are kept",
        ),
    )

    def detect(self, path: Path) -> str | None:
        """Name the raw form at `path`: `uci-csv`, `uci-ii-xlsx`, `cdnow-sample`, ...; looks at first lines only."""
        return forms.form_of(path)

    def read(self, path: Path, options: Mapping[str, str]) -> Events:
        """Read and clean the log at `path`, a file or a folder of daily files; raise `DataError`."""
        files = forms.log_files(path)
        if forms.is_cdnow(files[0]):
            cleaned = clean_cdnow(forms.read_cdnow(files[0]))
            columns, name = ["quantity"], _cdnow_name(cleaned)
        else:
            parts = [part for file in files for part in forms.read_parts(file)]
            cleaned = clean_uci(parts, sheets=len(parts) > len(files))
            columns, name = ["item", "quantity", "invoice", "country"], _uci_name(cleaned)
        return Events.build(
            cleaned.clean_rows.select("user", "time", "kind", "value", *columns),
            name=name or self.plain_name(path),
            activity=ACTIVITY,
            where=str(path),
            rows_read=len(cleaned.rows),
            cleaning=cleaned.counts,
        )

    def simulate(self, folder: Path, size: int, seed: int) -> None:
        """Write the log of a simulated shop with `size` customers; see `retail_simulator`."""
        from .retail_simulator import simulate

        simulate(folder, size, seed)


def _cdnow_name(cleaned: Cleaned) -> str | None:
    rows = cleaned.rows
    name = CDNOW_CONTENT.get((len(rows), rows["user"].n_unique()))
    return name if (rows["time"].min(), rows["time"].max()) == CDNOW_DAYS else None


def _uci_name(cleaned: Cleaned) -> str | None:
    first = cleaned.rows.filter(pl.col("time") == pl.col("time").min()).select("invoice", "time").unique()
    return next((UCI_CONTENT[row] for row in first.iter_rows() if row in UCI_CONTENT), None)


@hookimpl
def bench_datasets() -> list[type[Dataset]]:
    """Offer the retail adapter."""
    return [Retail]
