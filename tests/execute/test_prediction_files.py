"""Stored predictions: whole or not at all, and quiet when Ctrl-C comes while one is written."""

from __future__ import annotations

import gc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bench.execute.prediction_files import read_prediction, write_prediction


def test_ctrl_c_while_an_archive_is_begun_leaves_no_file_and_no_complaint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prediction = [{"prediction": np.arange(5.0)}]
    with monkeypatch.context() as patch:
        begin = zipfile.ZipFile.__init__

        def interrupted(archive: zipfile.ZipFile, *args: object, **more: object) -> None:
            begin(archive, *args, **more)  # type: ignore[arg-type]
            raise KeyboardInterrupt

        patch.setattr(zipfile.ZipFile, "__init__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_prediction(tmp_path / "one.npz", prediction)
    # what is collected late would be told to stderr, which is an error here
    gc.collect()
    assert not (tmp_path / "one.npz").exists()
    write_prediction(tmp_path / "one.npz", prediction)
    assert read_prediction(tmp_path / "one.npz")[0]["prediction"].tolist() == [0, 1, 2, 3, 4]
