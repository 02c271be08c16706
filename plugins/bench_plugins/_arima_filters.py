"""Residuals of many seasonal ARMA models at once, and what a least-squares step needs of them.

    phi(B) Phi(B^m) w_t = theta(B) Theta(B^m) e_t,   phi(B) = 1 - phi_1 B - ...,   theta(B) = 1 + theta_1 B + ...

(Box & Jenkins, "Time series analysis", chapter 9.) Every row R is one model of one series; arrays are [L, R], time first, so
that a recursion over time works on contiguous rows. Before the first step w and e are 0 (the conditional sum of squares).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Array

EDGE = 0.99
"""Largest partial autocorrelation: polynomials stay that far inside the region of stationarity and invertibility."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Describe how the K columns of the coefficients [R, K] are laid out: phi_1..p, theta_1..q, Phi, Theta."""

    p: int
    q: int
    season: int
    """Steps of the season; 1: the two seasonal columns are not used."""

    @property
    def size(self) -> int:
        """Return the number of columns, K."""
        return self.p + self.q + 2

    def parts(self, coefficients: Array) -> tuple[Array, Array, Array, Array]:
        """Split [R, K] into phi [R, p], theta [R, q], Phi [R], Theta [R]."""
        phi, theta = coefficients[:, : self.p], coefficients[:, self.p : self.p + self.q]
        return phi, theta, coefficients[:, -2], coefficients[:, -1]


def moving(x: Array, coefficients: Array, step: int = 1) -> Array:
    """Compute x_t + sum_i c_i x_(t - i step), [L, R]; coefficients [R, k]."""
    out = x.copy()
    for i, c in enumerate(coefficients.T, 1):
        if i * step < len(x) and c.any():
            out[i * step :] += c * x[: -i * step]
    return out


def recursive(x: Array, coefficients: Array, step: int = 1) -> Array:
    """Solve y_t + sum_i c_i y_(t - i step) = x_t for y, [L, R]; a block of `step` steps at a time. coefficients [R, k]."""
    if not coefficients.any():
        return x
    y = x.copy()
    for t in range(step, len(x), step):
        for i, c in enumerate(coefficients.T, 1):
            if i * step <= t:
                y[t : t + step] -= c * y[t - i * step : t - i * step + len(y[t : t + step])]
    return y


def residuals(w: Array, coefficients: Array, shape: Shape) -> Array:
    """Compute the one-step residuals e, [L, R]."""
    phi, theta, phi_m, theta_m = shape.parts(coefficients)
    ar = moving(moving(w, -phi_m[:, None], shape.season), -phi)
    return recursive(recursive(ar, theta), theta_m[:, None], shape.season)


@dataclass(frozen=True, slots=True)
class Normal:
    """The sum of squares [R], and the normal equations of a Gauss-Newton step: J'J [R, K, K] and J'e [R, K]."""

    loss: Array
    squared: Array
    slope: Array

    def where(self, better: Array, other: Normal) -> Normal:
        """Take this one in the rows `better` [R], else the other."""
        wide = better[:, None]
        return Normal(
            np.where(better, self.loss, other.loss),
            np.where(wide[..., None], self.squared, other.squared),
            np.where(wide, self.slope, other.slope),
        )


def normal(w: Array, weight: Array, coefficients: Array, free: Array, shape: Shape) -> Normal:
    """Compute the normal equations at the given coefficients.

    w [L, R]; weight [L, R], 0 or 1; coefficients [R, K]; free bool [R, K]: the columns that may move. With x = w / (theta
    Theta), the derivatives of e are -B^i Phi x, -B^m phi x, -B^j e / theta and -B^m e / Theta.
    """
    phi, theta, phi_m, theta_m = shape.parts(coefficients)
    seasonal = theta_m[:, None]
    x = recursive(recursive(w, theta), seasonal, shape.season)
    u = moving(x, -phi_m[:, None], shape.season)
    e = moving(u, -phi)
    by_theta = recursive(e, theta)
    sources = [(u, i) for i in range(1, shape.p + 1)] + [(by_theta, j) for j in range(1, shape.q + 1)]
    if shape.season > 1:
        sources += [(moving(x, -phi), shape.season), (recursive(e, seasonal, shape.season), shape.season)]
    return _products(e, weight, sources, free)


def _products(e: Array, weight: Array, sources: list[tuple[Array, int]], free: Array) -> Normal:
    """Multiply out J'J, J'e and e'e from columns -B^lag x, given as (x, lag)."""
    rows, size = free.shape
    squared, slope = np.zeros((rows, size, size)), np.zeros((rows, size))
    squared[:, np.arange(size), np.arange(size)] = 1.0
    weighted = e * weight
    columns = [np.where(np.arange(len(e))[:, None] >= lag, -np.roll(x, lag, axis=0), 0.0) * weight for x, lag in sources]
    for i, a in enumerate(columns):
        slope[:, i] = np.einsum("tr,tr->r", a, weighted) * free[:, i]
        for j, b in enumerate(columns[: i + 1]):
            product = np.einsum("tr,tr->r", a, b)
            both = free[:, i] & free[:, j]
            squared[:, i, j] = squared[:, j, i] = np.where(both, product, float(i == j))
    return Normal(np.einsum("tr,tr->r", weighted, e), squared, slope)


def inside(coefficients: Array, shape: Shape) -> Array:
    """Pull coefficients [R, K] into the region of stationarity and invertibility, by their partial autocorrelations."""
    out = coefficients.copy()
    p, q = shape.p, shape.q
    out[:, :p] = _pulled(coefficients[:, :p])
    out[:, p : p + q] = -_pulled(-coefficients[:, p : p + q])
    out[:, p + q :] = np.clip(coefficients[:, p + q :], -EDGE, EDGE)
    return out


def _pulled(phi: Array) -> Array:
    """Step the Levinson recursion down to partial autocorrelations, cut them, and step up again: [R, k] to [R, k]."""
    k = phi.shape[1]
    partial, work = [], phi.copy()
    for order in range(k, 0, -1):
        r = np.clip(work[:, order - 1], -EDGE, EDGE)[:, None]
        partial.append(r)
        work = (work[:, : order - 1] + r * work[:, : order - 1][:, ::-1]) / (1 - r**2)
    out = phi[:, :0]
    for r in reversed(partial):
        out = np.concatenate([out - r * out[:, ::-1], r], axis=1)
    return out
