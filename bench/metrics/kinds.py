"""What a metric is, for people: its name, which way is better, and what it means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """Describe a metric for people: which way is better, how it is called and how many digits it deserves."""

    name: str
    higher_is_better: bool
    label: str
    digits: int
    help: str
