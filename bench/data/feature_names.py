"""Names and meanings of the churn task's STATIC aggregates and FEATURES, in the order of their columns; H is the horizon.

A quarter is a quarter of H, counted back from the cut-off. "Days" are days with activity. What is undefined (a gap of a
user seen on one day) is 0.
"""

from __future__ import annotations

QUARTERS = 8
"""Quarters that have a column of their own."""
KIND_SLOTS = 4
"""Kinds that have columns of their own: the first of the vocabulary."""
WINDOWS = {"h4": 1, "h2": 2, "h": 4, "2h": 8, "4h": 16}
"""Quarters in each window before the cut-off."""
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HOURS = ("night", "morning", "afternoon", "evening")
"""Six hours each, from midnight UTC."""
_SPELT = {"h4": "H/4", "h2": "H/2", "h": "H", "2h": "2 H", "4h": "4 H"}

AGGREGATES = {
    "recency": "days since the last event",
    "tenure": "days since the first event",
    "n_days": "days",
    "n_events": "events",
    "value_sum": "sum of values",
    "value_mean": "value of an event, mean",
    "gap_mean": "mean gap between days, in days",
    "gap_std": "standard deviation of the gaps",
    "count_h4": "events in the last H/4",
    "count_h2": "events in the last H/2",
    "count_h": "events in the last H",
    "count_2h": "events in the last 2 H",
}
ACTIVITY = {
    **{f"events_q{k}": f"events in quarter {k} before the cut-off" for k in range(1, QUARTERS + 1)},
    "events_4h": "events in the last 4 H",
    **{f"days_{w}": f"days in the last {spelt}" for w, spelt in _SPELT.items()},
    **{f"value_{w}": f"sum of values in the last {spelt}" for w, spelt in _SPELT.items()},
    "quarters_active": "quarters of the last 2 H with an event",
    "quarters_in_a_row": "quarters with an event, counted back from the cut-off until one has none (at most 16)",
    "slope_h": "slope of log(1 + events) over the quarters of the last H; above 0: rising",
    "slope_2h": "slope of log(1 + events) over the quarters of the last 2 H",
    "share_h4_of_h": "events of the last H/4 as a share of those of H",
    "share_h_of_2h": "events of the last H as a share of those of 2 H",
    "share_2h_of_4h": "events of the last 2 H as a share of those of 4 H",
    "share_h_of_all": "events of the last H as a share of all",
    "days_share_h_of_2h": "days of the last H as a share of those of 2 H",
    "value_share_h_of_2h": "value of the last H as a share of that of 2 H, in absolute values",
    "rate_h_to_life": "events a day in the last H over events a day since the first event",
}
RHYTHM = {
    "gap_min": "shortest gap between days, in days",
    "gap_q25": "25th percentile of the gaps",
    "gap_median": "median gap",
    "gap_q75": "75th percentile of the gaps",
    "gap_q90": "90th percentile of the gaps",
    "gap_max": "longest gap",
    "gap_last": "latest gap",
    "gap_before_last": "the gap before the latest",
    "gap_cv": "standard deviation of the gaps over their mean",
    "gap_trend": "mean of the three latest gaps over the mean of all",
    "silence_to_mean": "days since the last event over the mean gap (over H where there is no gap)",
    "silence_to_median": "days since the last event over the median gap (over H where there is no gap)",
    "silence_to_max": "days since the last event over the longest gap (over H where there is no gap)",
    "silence_z": "days since the last event less the mean gap, in standard deviations of the gaps (at least a day)",
    "silence_rank": "share of the gaps that are no longer than the days since the last event",
    "streak_longest": "most days in a row",
    "streak_last": "days in a row up to the last one",
    "events_per_day": "events on a day, mean",
    "events_most_day": "events on a day, most",
    "events_last_day": "events on the last day",
    "first_week_events": "events in the first seven days",
    "first_week_days": "days in the first seven days",
    "first_week_value": "sum of values in the first seven days",
    "first_week_share": "events of the first seven days as a share of all",
}
PROFILE = {
    "value_std": "standard deviation of the values of steps",
    "value_cv": "standard deviation of the values over their absolute mean",
    "value_min": "smallest value",
    "value_max": "largest value",
    "value_last": "value of the last step",
    "value_last_to_mean": "value of the last step over the mean",
    "value_h_to_mean": "mean value in the last H over the mean of all",
    **{f"hours_{name}": f"share of the events between {6 * k:02d}:00 and {6 * k + 6:02d}:00 UTC" for k, name in enumerate(HOURS)},
    "hour_entropy": "entropy of the 24 hours of the events, 0 to 1",
    **{name: f"share of the events on a {name.capitalize()}" for name in WEEKDAYS},
    "weekday_entropy": "entropy of the weekdays of the events, 0 to 1",
    "kinds": "different kinds of event",
    "kind_entropy": "entropy of the kinds of event, in nats",
    "other_h": "events in the last H that do not count as activity",
    "other_share": "share of the events that do not count as activity",
    **{f"kind_{k}_h": f"events of kind {k} of the vocabulary in the last H" for k in range(1, KIND_SLOTS + 1)},
    **{f"kind_{k}_share": f"share of kind {k} of the vocabulary among the events" for k in range(1, KIND_SLOTS + 1)},
    "items": "different items",
    "items_new_h": "items seen for the first time in the last H",
    "items_new_share_h": "share of the last H's events with an item that are the user's first with it",
    "item_repeats": "share of the events with an item that repeat one",
}
EVERYONE = {
    "season_h4": "share_h4_of_h over the same share of everybody's events",
    "season_h": "share_h_of_2h over the same share of everybody's events",
    "all_h_to_before": "everybody's events in the last H over those in the H before",
    "all_churned_h": "share of the users active in the H before the last who were silent in the last H",
    "all_year": "a year (364 days) ago, everybody's events in the H after over those in the H before; 1 where the log is younger",
}

FEATURES: dict[str, str] = {**ACTIVITY, **RHYTHM, **PROFILE, **EVERYONE}
