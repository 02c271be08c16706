"""Write a run as TensorBoard events: scores of each row, the course of each search, and trials for its HParams page."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.data.names import as_name
from bench.export.records import BoardRecords, Records, Search, flat, missing, numbers

FILE = "events.out.tfevents.0.bench"
"""One file a folder, under a fixed name: a second export writes over the first."""


def to_tensorboard(records: Records, folder: Path) -> str:
    """Write event files below a folder: BOARD/MODEL-TUNING-seed-N, BOARD/MODEL-search and BOARD/MODEL-trial-N."""
    try:
        import tensorboard.compat.proto.event_pb2 as _  # noqa: F401
    except ImportError:
        raise missing("TensorBoard", "tensorboard") from None
    when = datetime.fromisoformat(records.document["written"]).timestamp()
    written = sum(_write_board(board, folder.expanduser(), when) for board in records.boards)
    return f"{written:,} event files in {folder}; look with: tensorboard --logdir {folder}"


def _write_board(board: BoardRecords, folder: Path, when: float) -> int:
    # two task ids may differ in their last letter: a digest keeps them apart
    place = folder / as_name(f"{board.name}-{hashlib.sha256(board.task_id.encode()).hexdigest()[:8]}")
    for row in board.rows:
        seed = "" if row["seed"] is None else f"-seed-{row['seed']}"
        scalars = ((f"test/{name}", 0, value) for name, value in numbers(row).items())
        _write(place / as_name(f"{row['model']}-{row['tuning']}{seed}"), when, scalars)
    for search in board.searches:
        _write_search(search, place, when)
    return len(board.rows) + sum(1 + len(search.trials) for search in board.searches)


def _write_search(search: Search, place: Path, when: float) -> None:
    best = dict(search.best())
    course = [("validation/best", number, value) for number, value in best.items()]
    course += [("validation/score", t["number"], t["value"]) for t in search.trials if t["value"] is not None]
    course += [("seconds/fit", t["number"], t["fit_seconds"]) for t in search.trials if t["fit_seconds"] is not None]
    _write(place / as_name(f"{search.model}-search"), when, course)
    for trial in search.trials:
        scores = [] if trial["value"] is None else [("validation/score", 0, trial["value"])]
        _write(place / as_name(f"{search.model}-trial-{trial['number']}"), when, scores, trial)


def _write(folder: Path, when: float, scalars: Iterable[tuple[str, int, float]], trial: Mapping[str, Any] | None = None) -> None:
    """Write one file of events; a trial's begins and ends a session of the HParams page."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    events = [Event(wall_time=when, file_version="brain.Event:2")]
    if trial is not None:
        events.append(Event(wall_time=when, summary=_session_start(trial, when)))
    for tag, step, value in scalars:
        events.append(Event(wall_time=when, step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)])))
    if trial is not None:
        events.append(Event(wall_time=when, summary=_session_end(trial, when)))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("wb") as stream:
        writer = RecordWriter(stream)
        for event in events:
            writer.write(event.SerializeToString())


def _session_start(trial: Mapping[str, Any], when: float) -> Any:
    """Return the summary by which the HParams page knows a trial's parameters.

    Made by hand: `tensorboard.plugins.hparams.summary` imports TensorFlow where it is installed.
    """
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    started = plugin_data_pb2.SessionStartInfo(start_time_secs=when)
    for key, value in {"model": trial["model"], **flat(trial["params"])}.items():
        if isinstance(value, bool):
            started.hparams[key].bool_value = value
        elif isinstance(value, int | float):
            started.hparams[key].number_value = value
        else:
            started.hparams[key].string_value = str(value)
    return _session(metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=started))


def _session_end(trial: Mapping[str, Any], when: float) -> Any:
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    status = api_pb2.STATUS_SUCCESS if trial["status"] == "ok" else api_pb2.STATUS_FAILURE
    ended = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=when)
    return _session(metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=ended))


def _session(tag: str, content: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_FLOAT
    from tensorboard.plugins.hparams import metadata

    nothing = TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto(), float_val=[0.0])
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content), tensor=nothing)])
