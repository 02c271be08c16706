"""The README's own code: the tutorial ends with a model on a leaderboard, and the Python example with a frame."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(title):
    text = README.read_text()
    start = text.index(f"\n## {title}\n")
    return text[start : text.find("\n## ", start + 1)]


def blocks(title, language):
    found = [body for name, body in BLOCK.findall(section(title)) if name == language]
    assert found, f"the section {title!r} has lost its {language or 'plain'} blocks"
    return found


def run(words, folder):
    environ = {**os.environ, "BENCH_CACHE": str(folder / "cache"), "COLUMNS": "200"}
    done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{shlex.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory):
    """Do what the tutorial says, word for word; give what each command printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    named = re.search(r"save this as `(\w+\.py)`", section("Writing a model"))
    assert named, "the tutorial does not say under which name to save the model"
    (folder / named[1]).write_text(blocks("Writing a model", "python")[0])
    said = {}
    for line in blocks("Writing a model", "")[0].strip().splitlines():
        words = shlex.split(line)
        assert words[0] == "bench", f"the tutorial has a command that is not ours: {line}"
        # the smallest profile: the tutorial is about the steps, not the numbers
        smaller = ["--profile", "smoke", "--out", "run"] if words[1] == "run" else []
        said[" ".join(words[1:3])] = run([sys.executable, "-m", "bench", *words[1:], *smaller], folder)
    return folder, said


def test_the_tutorials_model_ends_on_a_leaderboard_beside_the_reference(tutorial):
    folder, said = tutorial
    rows = pl.read_parquet(folder / "run" / "leaderboard.parquet")
    scored = rows.filter(pl.col("status") == "ok", pl.col("roc_auc").is_not_null())
    boards = rows.select("task_id", "dataset").unique()
    for model in ("overdue", "rfm-logit"):
        assert scored.filter(pl.col("model") == model).select("task_id", "dataset").unique().height == boards.height
        assert model in said["run --task"]
    tuned = scored.filter(pl.col("model") == "overdue", pl.col("tuning") == "tuned")
    assert (tuned["trials"] > 1).all(), "the model's space was not searched"


def test_the_tutorials_model_passes_every_check(tutorial):
    said = tutorial[1]
    assert "overdue" in said["plugin list"]
    assert "overdue" in said["plugin check"]
    assert re.search(r"^my_model\.py: \d{2,} checks, 0 failed", said["plugin check"], re.MULTILINE)


def test_the_tutorials_model_is_shorter_than_a_page():
    assert len(blocks("Writing a model", "python")[0].splitlines()) < 40


def test_the_python_example_runs_as_it_stands(tmp_path):
    (example,) = blocks("Results", "python")
    file = tmp_path / "example.py"
    file.write_text(example + "print('frame of', *sorted(set(frame.model)))\n")
    assert "frame of bgnbd rfm-logit" in run([sys.executable, str(file)], tmp_path)
