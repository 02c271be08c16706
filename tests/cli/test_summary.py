"""The summary names every failure with its cure, once, and where the rows are."""

from __future__ import annotations

import io

from bench.cli.summary import log_file, print_summary, summary


def row(model, status="ok", reason="", tuning="tuned", dataset="retail"):
    return {"task_id": "churn/v1/h=28d", "dataset": dataset, "model": model, "tuning": tuning, "status": status, "reason": reason}


def both(model, **more):
    return [row(model, tuning="default", **more), row(model, **more)]


def test_a_run_without_failures_is_two_lines(tmp_path):
    assert summary([*both("lstm"), row("base-rate", tuning="default")], tmp_path) == [
        "2 cells ok",
        f"rows  {tmp_path / 'leaderboard.parquet'}",
    ]


def test_failures_stand_with_reason_cure_and_log(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "retail-gru.txt").write_text("Killed")
    rows = [*both("lstm"), *both("gru", status="oom", reason="MemoryError: no room")]
    assert summary(rows, tmp_path)[:-1] == [
        "1 cell ok, 1 failed",
        "  gru: oom: MemoryError: no room; raise --job-memory or lower --workers",
        f"  log  {tmp_path / 'logs/retail-gru.txt'}",
    ]


def test_a_cure_that_the_reason_names_is_not_repeated(tmp_path):
    reason = "ran longer than 600 s; raise --job-seconds or give less data"
    assert f"  vae: timeout: {reason}" in summary(both("vae", status="timeout", reason=reason), tmp_path)


def test_memory_of_a_gpu_is_not_cured_by_memory_of_the_machine(tmp_path):
    line = summary(both("vae", status="oom", reason="OutOfMemoryError: CUDA out of memory"), tmp_path)[1]
    assert line.endswith("free the GPU, or use --device cpu")


def test_a_search_without_success_names_its_cause_once(tmp_path):
    rows = [row("vae", "failed", "ValueError: no", "default"), row("vae", "failed", "no trial succeeded; trial 0: ValueError: no")]
    assert summary(rows, tmp_path)[:-1] == ["1 cell failed", "  vae: failed: ValueError: no"]


def test_a_cell_of_which_one_configuration_works_failed_in_part(tmp_path):
    rows = [row("vae", tuning="default"), row("vae", "crash", "the worker was ended by SIGSEGV"), *both("lstm")]
    assert summary(rows, tmp_path)[:-1] == ["1 cell ok, 1 failed in part", "  vae: tuned crash: the worker was ended by SIGSEGV"]


def test_skipped_models_share_a_line_with_the_command_that_installs(tmp_path):
    reason = "needs tensorflow, which is not installed: pip install 'seqbench[tensorflow]'"
    rows = [*both("lstm"), *(row(m, "skipped", reason, "default") for m in ("keras-lstm", "keras-vae"))]
    assert summary(rows, tmp_path)[:-1] == ["1 cell ok, 2 skipped", f"  keras-lstm, keras-vae: skipped: {reason}"]


def test_cells_are_named_with_their_data_set_where_there_are_several(tmp_path):
    rows = [*both("gru"), *both("gru", dataset="cdnow", status="failed", reason="ValueError: no")]
    assert "  cdnow/gru: failed: ValueError: no" in summary(rows, tmp_path)


def test_foreign_text_is_cleaned_and_rows_may_be_missing(tmp_path):
    lines = summary([row("a\x1b[2J\rb", "failed", None)], tmp_path)
    assert lines[1] == "  a?[2J b: failed"
    assert summary([], tmp_path)[0] == "no cells"


def test_a_log_is_named_by_data_set_and_model_and_only_where_it_exists(tmp_path):
    assert log_file(tmp_path, "retail", "gru") is None
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / ".._re_tail-gru.txt").write_text("")
    assert log_file(tmp_path, "../re tail", "gru") == "logs/.._re_tail-gru.txt"


def test_a_pipe_gets_whole_lines(tmp_path):
    stream, reason = io.StringIO(), "ValueError: " + "words and more words " * 20
    print_summary(both("vae", status="failed", reason=reason), tmp_path, stream)
    assert len(stream.getvalue().splitlines()) == 3


def test_of_many_cells_that_were_skipped_for_one_reason_the_first_are_named_and_all_that_failed(tmp_path):
    cells = [each for at in range(8) for each in (row(f"m{at}", tuning="label-free"), row(f"m{at}", "skipped", "no labels"))]
    assert summary(cells, tmp_path)[1] == "  m0, m1, m2, m3, m4, m5 and 2 more: tuned skipped: no labels"
    cells = [row(f"m{at}", "failed", "no labels") for at in range(8)]
    assert summary(cells, tmp_path)[1] == "  m0, m1, m2, m3, m4, m5, m6, m7: failed: no labels"
