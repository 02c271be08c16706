"""Pickles are found however they are packed; what models may write is not taken for one."""

from __future__ import annotations

import gzip
import json
import pickle
import zipfile
import zlib

import numpy as np
import pytest

from bench.testing.pickles import pickled

STATE = {"weights": [0.5, 1.5], "names": ["a", "b"]}


def zipped(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)


HIDDEN = {
    **{f"protocol-{p}": lambda path, p=p: path.write_bytes(pickle.dumps(STATE, protocol=p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)},
    "gzip": lambda path: path.write_bytes(gzip.compress(pickle.dumps(STATE))),
    "zlib": lambda path: path.write_bytes(zlib.compress(pickle.dumps(STATE))),
    "zip": lambda path: zipped(path, pickle.dumps(STATE)),
    "array of objects": lambda path: np.savez(path.open("wb"), a=np.array([STATE, None])),
    "npy of objects": lambda path: np.save(path.open("wb"), np.array([STATE, None])),
}
PLAIN = {
    "json": lambda path: path.write_text(json.dumps(STATE)),
    "number": lambda path: path.write_text("3.25"),
    "text": lambda path: path.write_text("tree\nversion=v4\nnum_class=1\n"),
    "npz": lambda path: np.savez(path.open("wb"), a=np.arange(5.0), names=np.array(["a", "b"])),
    "packed text": lambda path: path.write_bytes(gzip.compress(b"tree\n" * 50)),
    "empty": lambda path: path.write_bytes(b""),
    "noise": lambda path: path.write_bytes(np.random.default_rng(0).bytes(4096)),
}


@pytest.mark.parametrize("how", HIDDEN)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_pickle_is_found(how, tmp_path):
    (tmp_path / "deep").mkdir()
    HIDDEN[how](tmp_path / "deep" / "state.bin")
    assert pickled(tmp_path) == ["deep/state.bin"]


@pytest.mark.parametrize("how", PLAIN)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_a_model_may_write_is_no_pickle(how, tmp_path):
    PLAIN[how](tmp_path / "state.bin")
    assert pickled(tmp_path) == []
