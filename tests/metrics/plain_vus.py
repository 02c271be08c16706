"""VUS as its definition reads, one width, one threshold and one segment at a time: the oracle of tests and benchmark."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np


def runs(y):
    """List labelled segments as (first, last)."""
    found, start = [], None
    for t, label in enumerate([*y, 0]):
        if label and start is None:
            start = t
        elif not label and start is not None:
            found.append((start, t - 1))
            start = None
    return found


def soft_labels(y, w):
    """Widen each segment by w // 2 steps of falling weight on either side."""
    soft = np.array(y, float)
    for first, last in runs(y):
        for d in range(1, w // 2 + 1):
            for t in (first - d, last + d):
                if 0 <= t < len(y):
                    soft[t] += math.sqrt(1 - d / w)
    return np.minimum(soft, 1)


def merged(y, w):
    """List the widened segments, one where they share a step."""
    wide = []
    for first, last in runs(y):
        start, end = max(first - w // 2, 0), min(last + w // 2, len(y) - 1)
        if wide and first - w // 2 <= wide[-1][1]:
            wide[-1] = (wide[-1][0], end)
        else:
            wide.append((start, end))
    return wide


def picks(scores, K=250):
    """Pick K thresholds, falling, at even places of the sorted scores."""
    falling = np.sort(scores)[::-1]
    return [falling[at] for at in np.linspace(0, len(falling) - 1, K).astype(int)]


def plain_vus(parts, buffer, thresholds):
    """Give (VUS-ROC, VUS-PR) of entities, each (y [T_n], score [T_n]); both classes must be there."""
    steps = sum(len(y) for y, _ in parts)
    labelled = sum(int(np.sum(y)) for y, _ in parts)
    roc, pr = [], []
    for w in range(buffer + 1):
        soft = [soft_labels(y, w) for y, _ in parts]
        wide = [merged(y, w) for y, _ in parts]
        curve, precision = [(0.0, 0.0)], []
        for threshold in thresholds:
            predicted, hit, met = 0, 0.0, 0
            bonus = 0.0
            for (y, score), label, segments in zip(parts, soft, wide, strict=True):
                alert = score >= threshold
                predicted += np.sum(alert)
                hit += np.dot(label, alert)
                bonus += np.dot(label * (1 - y), alert)
                met += sum(bool(alert[a : b + 1].any()) for a, b in segments)
            positive = labelled + bonus / 2
            recall = min(hit / positive, 1) * met / sum(map(len, wide))
            curve.append((float((predicted - hit) / (steps - positive)), float(recall)))
            precision.append(hit / predicted if predicted else 0.0)
        closed = [*curve, (1.0, 1.0)]
        roc.append(sum((x1 - x0) * (t1 + t0) / 2 for (x0, t0), (x1, t1) in pairwise(closed)))
        pr.append(sum((t1 - t0) * p for (_, t0), (_, t1), p in zip(curve, curve[1:], precision, strict=False)))
    return float(np.mean(roc)), float(np.mean(pr))
