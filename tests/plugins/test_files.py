"""A model file reads from top to bottom as its paper would; networks are trained in three places, two of them loops of a framework."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bench.registry import discover

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = {s.target for s in discover().sources["bench.models"].values() if s.distribution == "seqbench"}
FILES = [ROOT.joinpath("plugins", *target.split(".")).with_suffix(".py") for target in sorted(SHIPPED)]
LOOPS = {"bench/neural/loop.py", "bench/neural/keras_loop.py", "bench/neural/stacked.py"}
TRAINS = {
    "backward",
    "autograd",
    "GradientTape",
    "zero_grad",
    "train_on_batch",
    "apply_gradients",
    "clip_grad_norm_",
    "optim",
    "optimizers",
}
"""Names that only stand where weights are moved along a gradient."""
CODE = [path for folder in ("bench", "plugins", "datasets") for path in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_model_file_has_40_to_150_lines(path):
    assert 40 <= len(path.read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_model_file_ends_with_its_registration_and_begins_with_what_it_is(path):
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree)
    last = tree.body[-1]
    assert isinstance(last, ast.FunctionDef)
    assert (last.name, [ast.unparse(d) for d in last.decorator_list]) == ("bench_models", ["hookimpl"])


def trains(text: str) -> set[str]:
    """Name what in a file's code moves weights."""
    nodes = list(ast.walk(ast.parse(text)))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)} | {node.id for node in nodes if isinstance(node, ast.Name)}
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    return (names | {part for module in modules for part in module.split(".")}) & TRAINS


def test_networks_are_trained_in_these_loops_alone():
    assert len(CODE) > 100
    assert {str(path.relative_to(ROOT)) for path in CODE if trains(path.read_text("utf-8"))} == LOOPS


@pytest.mark.parametrize(
    "text", ["loss.backward()", "with tf.GradientTape() as tape: pass", "from torch.optim import Adam", "a = keras.optimizers.Adam()"]
)
def test_a_loop_elsewhere_would_be_found(text):
    assert trains(text)
