"""A plugin sees its inputs and nothing else; it reaches neither the truth nor the plugins that follow it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from execute.kit import Done, cell_of, described, drive, executor_in, file_source, homed, odd, steady, tiny_split

from bench.errors import ConfigError
from bench.execute import confine, local, sandbox
from bench.execute.jobs import Limits
from bench.execute.local import LocalExecutor
from bench.execute.messages import Fit
from bench.execute.sandbox import Sandbox, chosen, obstacle
from bench.execute.slot import owner_of
from bench.registry import Source
from bench.runs.run_events import Notice

SYSTEM_PYTHON = "/usr/bin/python3"
PATIENT = Limits(60.0, 2048.0)
needs_namespaces = pytest.mark.skipif(bool(obstacle("namespaces")), reason=f"no sandbox here: {obstacle('namespaces')}")
needs_landlock = pytest.mark.skipif(bool(obstacle("landlock")), reason=f"no Landlock here: {obstacle('landlock')}")
BOTH = [pytest.param("namespaces", marks=needs_namespaces), pytest.param("landlock", marks=needs_landlock)]
THIEF = """
    for pid in (os.getppid(), 1, *map(int, filter(str.isdigit, os.listdir("/proc")))):
        try:
            environ = dict(e.split("=", 1) for e in Path(f"/proc/{pid}/environ").read_text().split("\\0") if "=" in e)
        except OSError:
            continue
        if "BENCH_CACHE" in environ:
            self.truth = np.load(Path(environ["BENCH_CACHE"]) / "truth.npy")
            return
    raise ValueError("nothing to steal")
"""


@contextmanager
def confined(folder: Path, *hidden: Path, way: str = "namespaces") -> Iterator[LocalExecutor]:
    executor = LocalExecutor(1, "cpu", folder, Sandbox(hidden, way))
    try:
        yield executor
    finally:
        executor.close()


def row(done: Done) -> dict:
    (entry,) = (e for e in done.entries.values() if e["stage"] == "search")
    return entry


def run_alone(executor: LocalExecutor, path: Path, folder: Path, limits: Limits = PATIENT) -> dict:
    return row(drive(executor, folder, [cell_of(described(executor, [path])[0], tiny_split())], limits=limits))


def looked(executor: LocalExecutor, folder: Path, code: str) -> dict:
    """Run code in a model's `fit` that fills the dict `seen`; return it as it was filled."""
    path = odd(folder, "looks", fit=f"import json\nseen = {{}}\n{code}\nprint(json.dumps(seen))\nraise RuntimeError")
    # the error that ends the fit may be written before what was printed
    lines = run_alone(executor, path, folder / "looked")["log_tail"].splitlines()
    return json.loads(next(line for line in lines if line.startswith("{")))


@pytest.mark.parametrize("way", BOTH)
def test_the_thief_of_the_truth_ends_as_a_row_with_its_reason_when_it_is_confined(tmp_path: Path, way: str) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    truth = tiny_split().truths["search"].y
    np.save(cache / "truth.npy", truth)
    thief = odd(tmp_path, "thief", fit=THIEF, predict="return self.truth * 1.0")
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from execute.test_sandbox import *
with confined(Path(sys.argv[1]) / "slots", way={way!r}) if sys.argv[2] == "on" else executor_in(Path(sys.argv[1]) / "slots") as executor:
    entry = run_alone(executor, Path({str(thief)!r}), Path(sys.argv[1]) / "run")
print(json.dumps([entry["status"], entry["reason"], entry["value"], entry["confined"]]))
"""
    # a process of its own: /proc shows the environment that a process was started with
    env = {**os.environ, "BENCH_CACHE": str(cache)}
    found = {}
    for mode in ("off", "on"):
        command = [sys.executable, "-c", code, str(tmp_path / mode), mode]
        found[mode] = json.loads(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)
    assert found["off"] == ["ok", "", 1.0, False], "unconfined, it leads: this is what the sandbox is for"
    refused = {"namespaces": "ValueError: nothing to steal", "landlock": "PermissionError: [Errno 13] Permission denied: '/proc'"}
    assert found["on"] == ["failed", refused[way], None, True]


@needs_namespaces
def test_a_confined_model_sees_no_file_of_the_users_no_network_and_no_other_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "log.csv").write_text("user,time\n")
    (tmp_path / "home" / "secret").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # what is hidden stays so where it lies in a folder that the worker needs
    monkeypatch.setattr(sandbox, "needed", lambda: (*NEEDED, tmp_path))
    with confined(tmp_path / "slots", tmp_path / "data") as executor:
        code = f"""
import socket
seen["pids"] = sorted(int(p) for p in os.listdir("/proc") if p.isdigit())
seen["data"] = os.listdir({str(tmp_path / "data")!r})
for name in ({str(tmp_path / "home")!r}, "/etc/shadow", "/proc/1/environ"):
    try:
        seen[name] = os.listdir(name) if os.path.isdir(name) else Path(name).read_text()
    except OSError as error:
        seen[name] = error.strerror
for name in ("/usr/x", {str(tmp_path / "x")!r}, os.environ["HOME"] + "/x", "x"):
    try:
        Path(name).write_text("")
        seen["write " + name] = "ok"
    except OSError as error:
        seen["write " + name] = error.strerror
try:
    socket.create_connection(("127.0.0.1", 9), 1)
except OSError as error:
    seen["network"] = error.strerror
seen["capabilities"] = [line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapPrm", "CapEff"))]
"""
        seen = looked(executor, tmp_path, code)
    assert seen["pids"] == [1, 2]
    assert seen["data"] == []
    assert seen[str(tmp_path / "home")] == []
    assert seen["/etc/shadow"] == "No such file or directory"
    assert seen["/proc/1/environ"] == "Permission denied"
    assert [words for name, words in seen.items() if name.startswith("write ")] == ["Read-only file system"] * 2 + ["ok"] * 2
    assert seen["network"] == "Network is unreachable"
    assert set(seen["capabilities"]) == {"0" * 16}


NEEDED = sandbox.needed()


@pytest.mark.parametrize("way", BOTH)
def test_a_confined_model_fits_predicts_and_is_saved_as_an_unconfined_one(tmp_path: Path, way: str) -> None:
    split, found = tiny_split(), {}
    for name, executor_of in (("free", executor_in), ("confined", partial(confined, way=way))):
        with executor_of(tmp_path / f"{name} slots") as executor:
            (plugin,) = described(executor, [steady(tmp_path)])
            done = drive(executor, tmp_path / name, [cell_of(plugin, split)])
        keys = sorted(e["key"] for e in done.entries.values())
        kept = {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.np*")}
        found[name] = [(done.entries[k]["status"], done.entries[k]["value"], done.entries[k]["saved"]) for k in keys], kept
    assert found["free"] == found["confined"]
    assert homed(tmp_path) == []


@needs_namespaces
@pytest.mark.parametrize(
    ("fit", "status", "reason"),
    [
        ("os._exit(7)", "crash", "the worker ended itself with exit code 7"),
        ("os.kill(os.getpid(), 11)", "crash", "the worker was ended by SIGSEGV"),
        ("os.kill(os.getpid(), 9)", "crash", "the worker was ended by SIGKILL"),
        ("os.fork() or time.sleep(600)\ntime.sleep(600)", "timeout", "ran longer than 3 s"),
        ("x = [bytearray(b'x') * 2**28 for _ in range(40)]\ntime.sleep(600)", "oom", "GB resident"),
    ],
)
def test_what_ends_a_confined_worker_is_told_as_of_any_other(tmp_path: Path, fit: str, status: str, reason: str) -> None:
    limits = Limits(60.0 if status == "oom" else 3.0, 900.0)
    with confined(tmp_path / "slots") as executor:
        entry = run_alone(executor, odd(tmp_path, "ends", fit=fit), tmp_path / "run", limits)
    assert entry["status"] == status
    assert reason in entry["reason"]
    assert homed(tmp_path) == []


@needs_namespaces
def test_a_killed_launcher_takes_all_that_runs_inside_with_it(tmp_path: Path) -> None:
    with confined(tmp_path / "slots") as executor:
        described(executor, [steady(tmp_path)])
        (slot,) = executor.slots
        assert slot.process is not None
        assert slot.worker_pid() != slot.process.pid
        os.kill(slot.process.pid, signal.SIGKILL)
        slot.process.wait()
        for _ in range(1000):
            if not homed(tmp_path):
                break
            signal.sigtimedwait([], 0.01)
        assert homed(tmp_path) == []


@needs_namespaces
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv") or not Path(SYSTEM_PYTHON).exists(),
    reason="only root can become somebody else, who needs an interpreter",
)
def test_somebody_who_is_not_root_can_confine_workers_too() -> None:
    shown = [str(p) for p in map(Path, ("/usr", "/bin", "/lib", "/lib64", "/dev/null")) if p.exists()]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for folder in ("root", "slot"):
            (place / folder).mkdir()
            (place / folder).chmod(0o777)
        place.chmod(0o755)
        script = shutil.copy(confine.__file__, place)
        Path(script).chmod(0o644)
        granted = {"command": ["/usr/bin/id", "-u"], "root": f"{place}/root", "shown": shown, "hidden": [], "handed": []}
        granted |= {"writable": f"{place}/slot", "folder": f"{place}/slot", "file_mb": 1, "shared_mb": 1}
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", SYSTEM_PYTHON, "-I", "-S", script]
        done = subprocess.run(command, input=json.dumps(granted), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1000\n", "")


@needs_landlock
def test_under_landlock_a_model_reads_and_writes_only_what_it_is_granted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("library/data", "library/more"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("x")
    # what is hidden stays so where it lies in a folder that the worker needs
    monkeypatch.setattr(sandbox, "needed", lambda: (*NEEDED, tmp_path / "library"))
    with confined(tmp_path / "slots", tmp_path / "library" / "data", way="landlock") as executor:
        code = f"""
import signal, socket
def tried(name, call):
    try:
        seen[name] = str(call())
    except OSError as error:
        seen[name] = error.strerror
tried("more", lambda: Path({str(tmp_path / "library/more/file")!r}).read_text())
tried("data", lambda: Path({str(tmp_path / "library/data/file")!r}).read_text())
tried("list", lambda: os.listdir({str(tmp_path)!r}))
tried("truncate", lambda: os.truncate({str(tmp_path / "library/more/file")!r}, 0))
tried("environ", lambda: Path(f"/proc/{{os.getppid()}}/environ").read_bytes())
tried("command", lambda: Path(f"/proc/{{os.getppid()}}/cmdline").read_bytes())
tried("memory", lambda: open(f"/proc/{{os.getppid()}}/mem", "rb"))
tried("write", lambda: Path({str(tmp_path / "x")!r}).write_text("x"))
tried("own", lambda: Path("x").write_text("x"))
tried("null", lambda: Path("/dev/null").write_text("x"))
tried("self", lambda: len(Path("/proc/self/stat").read_text()) > 0)
"""
        seen = looked(executor, tmp_path, code)
    refused = {"data", "list", "truncate", "environ", "command", "memory", "write"}
    assert {name for name, words in seen.items() if words == "Permission denied"} == refused
    assert {name: words for name, words in seen.items() if name not in refused} == {"more": "x", "own": "1", "null": "1", "self": "True"}


def test_where_there_are_no_namespaces_landlock_confines_and_the_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "obstacle", lambda way: "unshare: Operation not permitted" if way == "namespaces" else "")
    found = chosen("on")
    assert found is not None
    assert found.way == "landlock"
    assert "Landlock, which leaves them the network but TCP: there are no namespaces here" in sandbox.words_of(found, "on")


def test_where_no_worker_can_be_confined_on_is_refused_and_auto_goes_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "obstacle", lambda _: "unshare: Operation not permitted")
    assert chosen("auto") is None
    with pytest.raises(ConfigError, match=r"--sandbox on: .* \(unshare: Operation not permitted\); use --sandbox auto"):
        chosen("on")


def test_the_saboteur_ruins_nobody_but_itself(tmp_path: Path) -> None:
    split = tiny_split()
    saboteur = odd(tmp_path, "saboteur", head="np.save = lambda *a, **k: None\nnp.mean = lambda *a, **k: 0.0", fit="np.save = print")
    with executor_in(tmp_path / "alone") as executor:
        alone = drive(executor, tmp_path / "run alone", [cell_of(described(executor, [steady(tmp_path)])[0], split)])
    with executor_in(tmp_path / "slots") as executor:
        first, then = described(executor, [saboteur, tmp_path / "steady.py"])
        done = drive(executor, tmp_path / "run", [cell_of(first, split), cell_of(then, split)])
    assert done.outcomes["tiny/saboteur"].valid["status"] != "ok"
    values = [outcomes["tiny/steady"].valid["value"] for outcomes in (alone.outcomes, done.outcomes)]
    assert values[0] == values[1]


def test_only_the_projects_own_plugins_share_a_worker() -> None:
    def owner(source: Source) -> str:
        return owner_of(Fit(source, "m", {}, 0, {}))

    assert owner(Source("a", "bench_plugins.a", "seqbench")) == owner(Source("b", "bench_plugins.b", "seqbench"))
    others = [Source("a", "other.a", "other"), Source("b", "other.b", "other"), file_source(Path("/x/seqbench.py"))]
    assert len({owner(source) for source in others}) == 3


def test_a_prediction_that_would_fill_the_disk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    bomb = odd(tmp_path, "bomb", predict="return np.broadcast_to(0.5, (len(inputs), 10**9))")
    with executor_in(tmp_path / "slots") as executor:
        entry = run_alone(executor, bomb, tmp_path / "run")
    assert entry["status"] == "invalid"
    assert "predict returned prediction of shape [41, 1000000000], float64; expected at most" in entry["reason"]


@pytest.mark.parametrize(
    ("limit", "most", "fit", "reason"),
    [
        (
            "PROCESSES",
            8,
            "for _ in range(20):\n    if not os.fork():\n        time.sleep(86400)\ntime.sleep(86400)",
            "more than 8 processes",
        ),
        (
            "SCRATCH_BYTES",
            2**20,
            "for n in range(4):\n    Path(str(n)).write_bytes(bytes(2**20 // 2))\ntime.sleep(86400)",
            "wrote more than 0 GB",
        ),
    ],
    ids=["processes", "files"],
)
def test_a_model_that_takes_too_much_of_the_machine_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, fit: str, reason: str
) -> None:
    monkeypatch.setattr(local, limit, most)
    with executor_in(tmp_path / "slots") as executor:
        entry = run_alone(executor, odd(tmp_path, "greedy", fit=fit), tmp_path / "run")
        assert homed(tmp_path / "slots") == []
    assert entry["status"] == "failed"
    assert reason in entry["reason"]


def test_a_model_that_prints_without_end_is_stopped(tmp_path: Path) -> None:
    talker = odd(tmp_path, "talker", fit="while True:\n    sys.stdout.write('x' * 2**20)")
    with executor_in(tmp_path / "slots") as executor:
        entry = run_alone(executor, talker, tmp_path / "run")
    assert (entry["status"], entry["reason"]) == ("failed", "printed more than 64 MB; let it print less")


@pytest.mark.parametrize("damage", ["truncated", "gone", "emptied model"])
def test_stored_files_that_were_damaged_are_said_and_made_anew(tmp_path: Path, damage: str) -> None:
    split = tiny_split()
    with executor_in(tmp_path / "slots") as executor:
        (plugin,) = described(executor, [steady(tmp_path)])
        first = drive(executor, tmp_path / "run", [cell_of(plugin, split)])
        (final,) = (e for e in first.entries.values() if e["stage"] == "final" and e["prediction"])
        file, model = tmp_path / "run" / final["prediction"], tmp_path / "run" / final["saved"]
        before = file.read_bytes()
        if damage == "truncated":
            file.write_bytes(before[:100])
        elif damage == "gone":
            file.unlink()
        else:
            for each in model.iterdir():
                each.unlink()
        again = drive(executor, tmp_path / "run", [cell_of(plugin, split)])
    said = [event.words for event in again.events if isinstance(event, Notice)]
    assert len(said) == 1
    assert said[0].endswith("steady is fitted again on tiny")
    assert file.read_bytes() == before
    assert list(model.iterdir())
