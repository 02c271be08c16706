"""Social logs: temporal edges of networks (SNAP), labelled series of activity (NAB); and a simulated network.

Edges: lines `SRC DST UNIXTS` with any white space (SNAP: CollegeMsg, email-Eu-core, Stack Exchange, ...), the weighted
form `source,target,rating,time`, or either with a header; `.gz` is unpacked; lines that begin with # are comments. `user`
is the source, `item` the target, `value` the weight (null without one), `kind` is message. Several files in a folder are
kinds of events, named by their stems (messages, posts, ...), all of them activity. Each row that is dropped is counted
under the first reason that holds for it:

1. no user: no source or no target
2. bad time: no Unix seconds (an error where more than 1 % are none)
3. implausible date: over ten years ahead; a Unix time that was cut short among whole ones
4. bad weight: a weight that is no number
5. self-loop: an edge from a user to the same user
6. duplicate: an exact repetition of an earlier row of its kind, with `duplicates=drop` only: messages have times in
   seconds, and several within one (CollegeMsg: 37) are as real as others

NAB: csv files `timestamp,value` with `labels/combined_windows.json` beside or above them become `Series`; see `_social_nab`.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import polars as pl

from bench.api import Dataset, DatasetCard, hookimpl
from bench.data.events import Events
from bench.data.series import Series
from bench.errors import ConfigError, suggest

from . import _social_forms as forms
from ._social_clean import CleanEdges, clean
from ._social_nab import WINDOWS, nab_files, read_nab

COLLEGE_MSG = (59_835, dt.datetime(2004, 4, 15, 14, 56, 1, tzinfo=dt.UTC), dt.datetime(2004, 10, 26, 7, 52, 22, tzinfo=dt.UTC))
"""Rows, first and last second of the published file."""
CHOICES = {"receive": ("false", "true"), "duplicates": ("keep", "drop")}
"""What each option may be, the default first."""

log = logging.getLogger("bench")


class Social(Dataset):
    """Who wrote to whom and when; or how much was written."""

    name = "social"
    companions = (WINDOWS,)
    simulated_name = "social-sim"
    options: ClassVar[Mapping[str, str]] = {
        "receive": "true: each edge is also an event of kind receive of its target, and activity (default false)",
        "duplicates": "keep (default) or drop exact repetitions of a row",
    }
    card: ClassVar[DatasetCard] = DatasetCard(
        title="Social logs: SNAP temporal networks (CollegeMsg), NAB realTweets and realKnownCause",
        licence="none stated for CollegeMsg beyond citation; MIT (NAB)",
        source="https://snap.stanford.edu/data/CollegeMsg.html; https://github.com/numenta/NAB",
        citation="Panzarasa, Opsahl & Carley 2009, doi:10.1002/asi.21015; Lavin & Ahmad 2015, doi:10.1109/ICMLA.2015.141",
        activity=("message",),
        traps=(
            "CollegeMsg: a boom and a long tail (37,698 messages in May 2004, 824 in October): churn rates drift",
            "CollegeMsg: 549 of 1,899 users only receive; they are no users of the log unless receive=true",
            "SNAP: several messages within one second are exact duplicates, and real",
            "SNAP: the Stack Exchange file without a suffix is the union of those with one: never load both as one log",
            "NAB: windows cover about 10 % of each series by construction: a step inside one need not look odd",
            "NAB: local times without a zone, taken as UTC; machine_temperature is not in the order of time",
            "NAB: 23 rows repeat an earlier time; the first is kept",
        ),
    )

    def detect(self, path: Path) -> str | None:
        """Name the raw form at `path`: `snap`, `snap-weighted`, `snap-folder`, `nab`, `nab-folder`; looks at first lines only."""
        if nab_files(path):
            return "nab-folder" if path.is_dir() else "nab"
        return forms.form_of(path)

    def read(self, path: Path, options: Mapping[str, str]) -> Events | Series:
        """Read and clean the log at `path`, a file or a folder; raise `DataError`."""
        chosen = _chosen(options)
        if nab_files(path):
            if options:
                raise ConfigError(f"social.{min(options)} is for edges, and {path} holds series of NAB; leave it out")
            return read_nab(path, self.plain_name(path))
        parts = forms.read_edges(path)
        cleaned = clean(parts, drop_duplicates=chosen["duplicates"] == "drop")
        if cleaned.duplicates and chosen["duplicates"] == "keep":
            log.info("%d exact duplicates are kept; --set social.duplicates=drop drops them", cleaned.duplicates)
        receive = chosen["receive"] == "true"
        return Events.build(
            _events(cleaned.rows, receive=receive),
            name=_content_name(cleaned) or self.plain_name(path),
            activity=(*sorted(p.kind for p in parts), *(["receive"] if receive else [])),
            where=str(path),
            rows_read=cleaned.rows_read,
            cleaning=cleaned.counts,
        )

    def simulate(self, folder: Path, size: int, seed: int) -> None:
        """Write the log of a simulated network of `size` users; see `social_simulator`."""
        from .social_simulator import simulate

        simulate(folder, size, seed)


def _chosen(options: Mapping[str, str]) -> dict[str, str]:
    """Complete the options; raise `ConfigError` for what they may not be."""
    for key, value in options.items():
        if value not in CHOICES[key]:
            raise ConfigError(f"social.{key}={value!r} is unknown; {suggest(value, CHOICES[key])}")
    return {key: options.get(key, known[0]) for key, known in CHOICES.items()}


def _events(edges: pl.DataFrame, *, receive: bool) -> pl.DataFrame:
    """Turn edges into events of their sources and, with `receive`, of their targets."""
    sent = edges.rename({"source": "user", "target": "item"})
    if not receive:
        return sent
    got = edges.rename({"target": "user", "source": "item"}).with_columns(kind=pl.lit("receive"))
    return pl.concat([sent, got.select(sent.columns)])


def _content_name(cleaned: CleanEdges) -> str | None:
    time = cleaned.rows["time"]
    return "college-msg" if (cleaned.rows_read, time.min(), time.max()) == COLLEGE_MSG else None


@hookimpl
def bench_datasets() -> list[type[Dataset]]:
    """Offer the social adapter."""
    return [Social]
