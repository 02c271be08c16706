"""Hostile plugins, drawn and combined, each run in a sandbox and followed by an honest model in the same slot.

Found: the plugin ends as a row with one line of reason. Survived: it ends ok, and has reached nothing. Lost: the executor
fails, the honest model's results change, a process or a folder is left, a status is unknown, a reason takes several lines,
or the plugin scores as only one who has seen the truth.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from campaigns import campaign
from execute.kit import Done, cell_of, described, drive, homed, model_text, steady, tiny_split, write_plugin
from execute.zoo import zoo

from bench.board.schema import STATUSES
from bench.execute.jobs import Limits
from bench.execute.local import LocalExecutor
from bench.execute.sandbox import chosen

LIMITS = Limits(4.0, 600.0)
HONEST = Limits(60.0, 2048.0)
TRUTH = 0.98
"""An AUC that no model reaches on labels of mostly noise without having seen them."""
SEARCH = """
    import glob
    for folder in ("/", "/proc", "/tmp", "/root", "/home", "/work", "/var", os.getcwd(), "..", "../..", "../../.."):
        for path in glob.glob(folder + "/*") + glob.glob(folder + "/*/*.np*"):
            try:
                found = np.load(path)
            except Exception:
                continue
            if getattr(found, "shape", ()) == (len(inputs),):
                return found * 1.0
    return np.full(len(inputs), 0.5)
"""
PARENT = """
    import re
    for pid in (os.getppid(), 1):
        try:
            with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
                for low, high in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw", maps.read(), re.M):
                    memory.seek(int(low, 16))
                    memory.read(int(high, 16) - int(low, 16))
        except OSError as error:
            raise RuntimeError(f"no memory of {pid}: {error}") from error
    self.seen = 1.0
"""
ENVIRONMENT = """
    for pid in (os.getppid(), 1):
        for name in ("environ", "cmdline", "cwd", "root", "fd"):
            try:
                text = Path(f"/proc/{pid}/{name}").read_bytes() if name in ("environ", "cmdline") else os.listdir(f"/proc/{pid}/{name}")
            except OSError:
                continue
            if b"BENCH_CACHE" in (text if isinstance(text, bytes) else b""):
                truth = Path(dict(e.split(b"=", 1) for e in text.split(b"\\0") if b"=" in e)[b"BENCH_CACHE"].decode()) / "truth.npy"
                self.truth = np.load(truth)
"""
FIT = {
    "reads the parent's memory": PARENT,
    "asks the network": "import socket\nsocket.create_connection(('127.0.0.1', 22), 1)",
    "asks a name": "import socket\nsocket.gethostbyname('example.org')",
    "listens": "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()",
    "forks without end": "for _ in range(400):\n    try:\n        if not os.fork():\n            time.sleep(60)\n            os._exit(0)\n"
    "    except OSError:\n        break\ntime.sleep(60)",
    "writes many files": "for n in range(2_000):\n    Path(f'f{n}').write_bytes(b'x' * 4096)",
    "writes a file with a hole": "with open('hole', 'wb') as f:\n    f.truncate(2**40)",
    "fills the log": "while True:\n    os.write(1, b'x' * 2**20)",
    "fills shared memory": "with open('/dev/shm/x', 'wb') as f:\n    while True:\n        f.write(bytes(2**24))",
    "writes outside": "Path('/usr/lib/x').write_text('x')",
    "writes over the interpreter": "Path(sys.executable).write_bytes(b'')",
    "writes over numpy": "Path(np.__file__).write_text('raise SystemExit')",
    "writes over bench": "Path(bench.__file__).write_text('raise SystemExit')",
    "replaces np.save": "np.save = lambda *a, **k: None",
    "replaces np.mean": "np.mean = lambda *a, **k: 0.0",
    "replaces json": "import json\njson.dumps = lambda *a, **k: '{}'",
    "replaces pickle": "import pickle\npickle.loads = lambda *a, **k: None",
    "forges messages": "import gc\nfor x in gc.get_objects():\n    if type(x).__name__ == 'Connection':\n"
    '        x.send_bytes(b\'{"event": "done", "status": "ok", "fit_seconds": 0}\')',
    "sends junk": "import gc\nfor x in gc.get_objects():\n    if type(x).__name__ == 'Connection':\n"
    "        x.send_bytes(bytes(range(256)) * 99)",
    "hangs up": "import gc\nfor x in gc.get_objects():\n    if type(x).__name__ == 'Connection':\n        x.close()",
    "closes everything": "os.closerange(0, 4096)",
    "changes its inputs": "for name in vars(train):\n    v = getattr(train, name)\n    if isinstance(v, np.ndarray):\n        v[...] = 0",
    "keeps what it learnt in a module": "import builtins\nbuiltins.kept = train",
    "stops its parent": "import signal\nos.kill(os.getppid(), signal.SIGSTOP)",
    "kills everybody": "import signal\nos.kill(-1, signal.SIGKILL)",
    "ignores signals": "import signal\nfor s in (15, 2, 1):\n    signal.signal(s, signal.SIG_IGN)\ntime.sleep(60)",
    "traces its parent": "import ctypes\nassert ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0, 'refused'",
    "mounts": "import ctypes\nassert ctypes.CDLL(None, use_errno=True).mount(b'none', b'/usr', b'tmpfs', 0, None) == 0, 'refused'",
    "makes namespaces": "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0, 'refused'",
    "recurses in C": "import ctypes\nctypes.string_at(0)",
    "leaves links": "for n in ('a', 'b'):\n    os.symlink('/etc/passwd', n)",
    "removes its folders": "import shutil\nshutil.rmtree('..', ignore_errors=True)",
    "makes its folder unreadable": "os.chmod('.', 0)\nos.chmod('..', 0)",
    "names a file oddly": "Path('a\\nb').write_text('x')\nPath('\\udcff').write_text('x')",
}
PREDICT = {
    "looks for the truth in files": SEARCH,
    "answers what it found": "return getattr(self, 'truth', np.full(len(inputs), 0.5)) * 1.0",
    "broadcasts": "return np.broadcast_to(0.5, (len(inputs), 10**9))",
    "answers a subclass": "class A(np.ndarray):\n    def __array_finalize__(self, obj):\n        raise RuntimeError\n"
    "return np.full(len(inputs), 0.5).view(A)",
    "answers a generator": "return (0.5 for _ in range(len(inputs)))",
    "answers records": "return np.zeros(len(inputs), [('a', 'f8')])",
    "answers dates": "return np.zeros(len(inputs), 'M8[s]')",
    "answers halves": "return np.full(len(inputs), 0.5, np.float16)",
    "answers a masked array": "return np.ma.masked_all(len(inputs))",
    "writes its answer itself": "for n in range(3):\n    np.save(f'../out/part-{n}.prediction.npy', np.ones(10**6))\n"
    "return np.full(len(inputs), 0.5)",
    "links its answer": "os.symlink('/etc/passwd', '../out/part-0.prediction.npy')\nreturn np.full(len(inputs), 0.5)",
}
BODY = {
    "a space of 10,000 dimensions": "@staticmethod\ndef space():\n    from optuna.distributions import FloatDistribution\n"
    "    return {f'x{n}': FloatDistribution(0.0, 1.0) for n in range(10_000)}\n"
    "@staticmethod\ndef default():\n    return {f'x{n}': 0.5 for n in range(10_000)}",
    "a save that raises": "def save(self, folder):\n    raise RuntimeError('two\\nlines')",
    "a save of links": "def save(self, folder):\n    (folder / 'a').symlink_to('/etc/passwd')\n    (folder / 'b').symlink_to(folder)",
    "a save of pipes": "def save(self, folder):\n    os.mkfifo(folder / 'pipe')",
    "a save that hangs": "def save(self, folder):\n    time.sleep(60)",
    "a name of odd letters": "name = 'a\\nb'",
    "a name without end": "name = 'x' * 5_000",
    "no tasks": "tasks = frozenset()",
    "tasks that are none": "tasks = 7",
    "a space that is none": "@staticmethod\ndef space():\n    return 7",
    "a default outside": "@staticmethod\ndef space():\n    from optuna.distributions import FloatDistribution\n"
    "    return {'x': FloatDistribution(0.0, 1.0)}\n@staticmethod\ndef default():\n    return {'x': 7.0}",
    "a space that sleeps": "@staticmethod\ndef space():\n    time.sleep(2)\n    return {}",
}
GREEDY = {"allocates", "allocates-in-a-child", "shares-with-children", "asks-for-too-much"}


def drawn(draw: random.Random, notes: str) -> tuple[str, dict[str, str]]:
    """Draw what a plugin does: one of the zoo, or one to three of the parts above."""
    animals = {name: each.parts for name, each in zoo(notes).items() if name not in GREEDY and "children" not in name}
    if draw.random() < 0.35:
        name = draw.choice(sorted(animals))
        return f"zoo: {name}", dict(animals[name])
    parts, kinds = {}, []
    for of, table in (("fit", FIT), ("predict", PREDICT), ("body", BODY)):
        if draw.random() < (0.7 if of == "fit" else 0.4) or (of == "body" and not parts):
            kind = draw.choice(sorted(table))
            kinds.append(kind)
            parts[of] = table[kind]
    if draw.random() < 0.3:
        parts["fit"] = ENVIRONMENT + "\n" + "\n".join(f"    {line}" for line in parts.get("fit", "pass").strip("\n").splitlines())
    return kinds[0], parts


@contextlib.contextmanager
def confined(folder: Path) -> Iterator[LocalExecutor]:
    executor = LocalExecutor(1, "cpu", folder, chosen("auto"))
    try:
        yield executor
    finally:
        executor.close()


def rounds(scratch: Path) -> campaign.Round:
    """Return the rounds; what an honest model gives alone is found once."""
    split = tiny_split()
    os.environ["BENCH_CACHE"] = str(scratch / "cache")
    (scratch / "cache").mkdir(exist_ok=True)
    np.save(scratch / "cache" / "truth.npy", split.truths["search"].y)
    honest = steady(scratch)
    with confined(scratch / "alone slots") as executor:
        alone = results(drive(executor, scratch / "alone", [cell_of(described(executor, [honest])[0], split)]), scratch / "alone")

    def play(draw: random.Random) -> dict[str, Any]:
        folder = scratch / f"{draw.getrandbits(48):012x}"
        folder.mkdir()
        kind, parts = drawn(draw, str(folder))
        path = write_plugin(folder, "hostile", model_text(**parts), classes="Odd")
        try:
            entry = one(folder, path, honest, split, alone)
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            entry = {"end": "lost", "words": f"{type(error).__name__}: {str(error)[:300]}"}
        if entry["end"] != "lost":
            shutil.rmtree(folder, ignore_errors=True)
        return {"kind": kind.partition(":")[0], "what": kind, "parts": sorted(parts), **entry}

    return play


def one(folder: Path, path: Path, honest: Path, split: Any, alone: Mapping[str, Any]) -> dict[str, Any]:
    """Run the hostile plugin, then the honest one, and look at what is left."""
    with confined(folder / "slots") as executor:
        (hostile,) = described(executor, [path])
        (witness,) = described(executor, [honest])
        if hostile.status == "ok":
            done = drive(executor, folder / "run", [cell_of(hostile, split, "hostile")], limits=LIMITS)
            entry = next(iter(done.outcomes.values())).valid
        else:
            entry = {"status": hostile.status, "reason": hostile.reason, "value": None}
        after = results(drive(executor, folder / "after", [cell_of(witness, split)], limits=HONEST), folder / "after")
    words = wrong(entry) or ("the honest model's results have changed" if after != alone else "")
    words = words or (f"processes left: {homed(folder)}" if homed(folder) else "")
    words = words or ("a folder is left" if (folder / "slots").exists() else "")
    return {"end": "lost" if words else "survived" if entry["status"] == "ok" else "found", "words": words or entry["reason"][:200]}


def wrong(entry: Mapping[str, Any]) -> str:
    """Describe what is wrong with how the hostile plugin ended; empty: nothing."""
    if entry["status"] not in STATUSES:
        return f"status {entry['status']!r}"
    if entry["status"] != "ok" and (not entry["reason"] or "\n" in entry["reason"]):
        return f"reason {entry['reason']!r}"
    return f"it has seen the truth: {entry['value']}" if entry["value"] is not None and entry["value"] > TRUTH else ""


def results(done: Done, folder: Path) -> dict[str, Any]:
    """Return what the honest model gave, its predictions' bytes included."""
    (outcome,) = done.outcomes.values()
    every = {"valid": outcome.valid, **{f"{t} {s}": e for (t, s), e in outcome.finals.items()}}
    return {
        name: (e["status"], e["value"], (folder / e["prediction"]).read_bytes() if e["prediction"] else None) for name, e in every.items()
    }


if __name__ == "__main__":
    campaign.by_hand(rounds, __doc__)
