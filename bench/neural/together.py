"""Fit several models of one kind as one program: what `NetworkModel.fit` does for one, for all of them (`bench.neural.fused`).

They are shown the same rows: the users that are held out, and the windows that are cut, are those of seed 0 for all, where a
model alone chooses by its own seed. Weights, order, dropout and latents are each model's own.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from bench.api import Context
from bench.neural.batches import Rows
from bench.neural.cells import FusedError
from bench.neural.churn import ChurnEncoder
from bench.neural.encode import Encoder
from bench.neural.fused import Ended, Fused, Member
from bench.neural.model import NetworkModel
from bench.neural.shown import Shown
from bench.neural.torch_model import TorchModel


def fit_together(models: Sequence[TorchModel], train: Any, contexts: Sequence[Context]) -> list[Ended]:
    """Fit models that share shapes, each with its own context; return how each ended, in their order.

    One that failed says why and leaves the others as they are. Where memory does not suffice, each is fitted by itself in
    the same way. Raises `FusedError` for models that cannot be one program.
    """
    try:
        return _fitted(models, train, contexts)
    except torch.OutOfMemoryError:
        if len(models) == 1:
            raise
        warnings.warn(f"{len(models)} {models[0].name} do not fit into memory together; each is fitted alone", RuntimeWarning, stacklevel=2)
    return [_alone(model, train, ctx) for model, ctx in zip(models, contexts, strict=True)]


def _alone(model: TorchModel, train: Any, ctx: Context) -> Ended:
    try:
        return _fitted([model], train, [ctx])[0]
    except torch.OutOfMemoryError as error:
        return Ended(error=error)


def _fitted(models: Sequence[TorchModel], train: Any, contexts: Sequence[Context]) -> list[Ended]:
    shared = replace(contexts[0], seed=0, on_report=None, on_epoch=None, on_stop=None)
    fit, held = train.holdout(shared.seed)
    encoder = _encoder(models, fit if len(fit) else train, shared)
    fresh = []
    for model, ctx in zip(models, contexts, strict=True):
        with model.seeded(ctx):
            model.encoder, model.network = encoder, model.begun(encoder)
            fresh.append(model.begun(encoder))
    recipe = models[0].recipe(encoder)
    rows, judged = encoder.training_rows(fit, shared), _judged(encoder.holdout_rows(held))
    blind = recipe.falling and shared.epochs <= recipe.patience  # too few epochs to lose patience: nothing is held out
    if blind or not len(rows) or judged is None:
        rows, judged = encoder.training_rows(train, shared), None
    members = [Member(m.network, m.recipe(encoder), ctx) for m, ctx in zip(models, contexts, strict=True)]
    ended = Fused(members).run(rows, judged)
    if recipe.falling and judged is not None:
        _again(models, fresh, encoder, train, (members, ended, shared))
    return ended


def _judged(held: Rows) -> Rows | None:
    return held if len(held) else None


def _again(
    models: Sequence[TorchModel], fresh: Sequence[Any], encoder: Encoder, train: Any, before: tuple[list[Member], list[Ended], Context]
) -> None:
    """Train new networks on all of `train`, each for as many epochs as did best; where time does not suffice the ones before stay."""
    members, ended, shared = before
    whole = [p for p, (m, e) in enumerate(zip(members, ended, strict=True)) if e.error is None and e.epochs and not m.ctx.should_stop()]
    if not whole:
        return
    again = [replace(members[p], net=fresh[p], ctx=replace(members[p].ctx, epochs=ended[p].epochs)) for p in whole]
    for p, second in zip(whole, Fused(again).run(encoder.training_rows(train, shared), None), strict=True):
        if second.error is not None:
            ended[p].error = second.error
        elif not second.stopped:
            models[p].network = fresh[p]


def _encoder(models: Sequence[TorchModel], train: Any, shared: Context) -> Encoder:
    """Fit the one encoder of all models; raise `FusedError` where they would be shown different things."""
    first = models[0]
    if {type(m) for m in models} != {type(first)}:
        raise FusedError("only models of one kind are trained as one program")
    encoder = first.encoded(train, shared)
    if first.pretrain and isinstance(encoder, ChurnEncoder):
        raise FusedError(f"{first.name} first learns how sequences go on; it is trained alone")
    if type(first).encoded is NetworkModel.encoded:
        alike = {Shown.of(m.params) for m in models} == {Shown.of(first.params)}
    else:
        own = json.dumps(encoder.state(), sort_keys=True)
        alike = all(json.dumps(m.encoded(train, shared).state(), sort_keys=True) == own for m in models[1:])
    if not alike:
        raise FusedError(f"these {first.name} are shown different things; only those that share them are trained as one program")
    return encoder
