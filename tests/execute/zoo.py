"""Plugins that misbehave, each in its own way: what they do, and how their job must end."""

from __future__ import annotations

from dataclasses import dataclass, field

CHILDREN = """
    import subprocess

    def start(pids):
        started = [subprocess.Popen(["sleep", "86400"]).pid, subprocess.Popen(["sleep", "86400"], start_new_session=True).pid]
        read, write = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(write, str(os.getpid()).encode())
                time.sleep(86400)
            os._exit(0)
        os.wait()
        started.append(int(os.read(read, 20)))
        # a child that was only forked holds all that the worker has open
        if (plain := os.fork()) == 0:
            time.sleep(86400)
            os._exit(0)
        Path(pids).write_text(" ".join(map(str, [os.getpid(), *started, plain])))
    """

# everything that a model can reach, written out for the test to look through
HUNT = """
    import gc, itertools, json, socket, stat, types
    from dataclasses import fields

    def memory():
        gc.unfreeze()
        seen, queue = set(), [*gc.get_objects(), *sys._current_frames().values()]
        frame = sys._getframe()
        while frame:
            queue.append(frame)
            frame = frame.f_back
        while queue:
            thing = queue.pop()
            if id(thing) in seen:
                continue
            seen.add(id(thing))
            if isinstance(thing, (np.ndarray, memoryview)):
                yield thing.tobytes()
                queue += [thing.base] if isinstance(thing, np.ndarray) and thing.base is not None else []
            elif isinstance(thing, (bytes, bytearray)):
                yield bytes(thing)
            elif isinstance(thing, (list, tuple)) and thing and all(type(x) is int and 0 <= x < 256 for x in thing):
                yield bytes(thing)
            elif isinstance(thing, types.FrameType):
                queue += list(thing.f_locals.values())
            else:
                queue += gc.get_referents(thing)

    def files():
        cwd = Path.cwd()
        roots = [cwd, cwd.parent, cwd.parent.parent, *(Path(os.environ[n]) for n in ("HOME", "TMPDIR", "XDG_CACHE_HOME"))]
        roots += [Path(v) for v in (*os.environ.values(), *sys.argv) if v.startswith("/") and Path(v).is_file()]
        for root in dict.fromkeys(roots):
            for path in [root] if root.is_file() else root.rglob("*"):
                if path.is_file():
                    yield path.read_bytes()

    def descriptors():
        for name in os.listdir("/proc/self/fd"):
            try:
                mode = os.stat(f"/proc/self/fd/{name}").st_mode
                if stat.S_ISREG(mode):
                    yield Path(f"/proc/self/fd/{name}").read_bytes()
                elif stat.S_ISSOCK(mode):
                    yield socket.socket(fileno=os.dup(int(name))).recv(2**20, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except OSError:
                continue

    def hunt(dump, *given):
        own = [Path("/proc/self/environ").read_bytes(), Path("/proc/self/cmdline").read_bytes(), json.dumps(dict(os.environ)).encode()]
        own += [np.ascontiguousarray(getattr(g, field.name)).tobytes() for g in given for field in fields(g)]
        with open(dump, "wb") as out:
            for found in itertools.chain(own, files(), descriptors(), memory()):
                out.write(found + b"|")
        with open(dump + ".json", "w") as out:
            json.dump({"environ": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd()}, out)
    """


@dataclass(frozen=True)
class Odd:
    """One plugin: the parts of its model, how its search job must end, and what the reason must say."""

    status: str
    reason: str = ""
    parts: dict[str, str] = field(default_factory=dict)


def fits(status: str, reason: str, fit: str, head: str = "") -> Odd:
    return Odd(status, reason, {"fit": fit, "head": head})


def predicts(status: str, reason: str, predict: str) -> Odd:
    return Odd(status, reason, {"predict": predict})


def zoo(notes: str) -> dict[str, Odd]:
    """List all; `notes` is the folder where they leave what the test must know (process numbers, say)."""
    return {
        "raises": fits("failed", r"ValueError: two lines$", 'raise ValueError("two\\nlines")'),
        "breaks-its-error": fits(
            "crash", "exit code 1", "raise Bad", head="class Bad(Exception):\n    def __str__(self):\n        raise RuntimeError"
        ),
        "sleeps": predicts("timeout", r"ran longer than 3 s; raise --job-seconds", "time.sleep(86400)"),
        "sleeps-with-children": fits(
            "timeout", "ran longer than 3 s", f"start({notes + '/sleeps-with-children'!r})\ntime.sleep(86400)", CHILDREN
        ),
        "exits-with-children": fits(
            "crash", "ended itself with exit code 3", f"start({notes + '/exits-with-children'!r})\nos._exit(3)", CHILDREN
        ),
        "leaves-children": fits("ok", "", f"start({notes + '/leaves-children'!r})", CHILDREN),
        "leaves-a-thread": fits(
            "ok",
            "",
            "threading.Thread(target=time.sleep, args=(86400,)).start()\n"
            f"Path({notes + '/leaves-a-thread'!r}).write_text(str(os.getpid()))",
            head="import threading",
        ),
        "forks-and-comes-back": fits("ok", "", "os.fork()"),
        # it stops by itself far above the limit: a test must not take the machine down
        "allocates": fits(
            "oom",
            r"GB resident, limit 0\.\d; raise --job-memory or lower --workers",
            "kept = []\nwhile len(kept) < 1000:\n    kept.append(np.ones(2**20))\ntime.sleep(86400)",
        ),
        "allocates-in-a-child": fits(
            "oom",
            "GB resident",
            "if os.fork() == 0:\n    kept = [np.ones(2**20) for _ in range(120)]\n    time.sleep(86400)\ntime.sleep(86400)",
        ),
        "shares-with-children": fits(
            "ok",
            "",
            "kept = np.ones(2**24)\n"
            "children = []\n"
            "for _ in range(6):\n    children.append(os.fork())\n    if not children[-1]:\n        time.sleep(86400)\n"
            "time.sleep(1.5)\n"
            "for pid in children:\n    os.kill(pid, 9)\n    os.waitpid(pid, 0)",
        ),
        "has-no-memory": fits("oom", "MemoryError", "raise MemoryError"),
        "asks-for-too-much": fits("oom", "Unable to allocate", "np.ones(2**55)"),
        "exits": fits("crash", r"the worker ended itself with exit code 3$", "os._exit(3)"),
        "faults": fits("crash", r"the worker was ended by SIGSEGV$", "import signal\nos.kill(os.getpid(), signal.SIGSEGV)"),
        "is-killed": fits("crash", r"the worker was ended by SIGKILL$", "import signal\nos.kill(os.getpid(), signal.SIGKILL)"),
        "leaves": fits("failed", "SystemExit: 0", "sys.exit(0)"),
        "is-interrupted": fits("failed", "KeyboardInterrupt", "raise KeyboardInterrupt"),
        "recurses": fits("failed", "RecursionError", "self.fit(train, ctx)"),
        "fills-the-disk": fits(
            "failed", "OSError: .*No space left", 'import errno\nraise OSError(errno.ENOSPC, "No space left on device")'
        ),
        "returns-nan": predicts("invalid", "41 values that are not finite, of 41", "return np.full(len(inputs), np.nan)"),
        "returns-inf": predicts("invalid", "1 values that are not finite", "return np.r_[np.inf, np.full(len(inputs) - 1, 0.5)]"),
        "returns-too-few": predicts("invalid", r"shape \[40\], expected \[41\]", "return np.full(len(inputs) - 1, 0.5)"),
        "returns-columns": predicts("invalid", r"shape \[41, 2\], expected \[41\]", "return np.full((len(inputs), 2), 0.5)"),
        "returns-a-number": predicts("invalid", r"shape \[\]", "return 0.5"),
        "returns-ints": predicts("invalid", "int64, expected floats", "return np.zeros(len(inputs), np.int64)"),
        "returns-labels": predicts("invalid", "bool, expected floats", "return np.zeros(len(inputs), bool)"),
        "returns-text": predicts("invalid", "U1, expected floats", 'return np.full(len(inputs), "a")'),
        "returns-complex": predicts("invalid", "complex128, expected floats", "return np.full(len(inputs), 0.5 + 0j)"),
        "returns-logits": predicts("invalid", r"from -1 to 0, expected probabilities", "return np.linspace(-1, 0, len(inputs))"),
        "returns-percent": predicts("invalid", r"from 0 to 100, expected probabilities", "return np.linspace(0, 100, len(inputs))"),
        "returns-objects": predicts("failed", "TypeError: predict returned an array of object", "return np.full(len(inputs), 0.5, object)"),
        "returns-nothing": predicts("failed", "TypeError: predict returned an array of object", "return None"),
        "returns-much": predicts("invalid", r"shape \[20000000\], float64; expected at most", "return np.full(20_000_000, 0.5)"),
        "prints": fits(
            "failed",
            "RuntimeError: enough",
            'for n in range(40_000):\n    print("out", n, "é" * 50)\n    print("err", n, file=sys.stderr)\nos.write(1, b"\\xff\\xfe")\n'
            'raise RuntimeError("enough")',
        ),
        "closes-its-streams": fits("ok", "", "sys.stdout.close()\nsys.stderr.close()"),
        "writes-files": fits(
            "ok",
            "",
            'Path("optuna.py").write_text("raise RuntimeError")\nPath("state").mkdir()\n(Path("state") / "state.npz").write_text("x")',
        ),
        "finds-no-files": fits("ok", "", "assert not list(Path.cwd().iterdir()), list(Path.cwd().iterdir())"),
        "would-import-what-it-writes": fits("ok", "", 'assert not {os.getcwd(), "", "."} & set(sys.path), sys.path'),
        "mutates": fits(
            "ok",
            "",
            "for field in dataclasses.fields(train):\n    if isinstance(a := getattr(train, field.name), np.ndarray):\n        a[:] = 0",
            head="import dataclasses",
        ),
        "mutates-inputs": predicts("ok", "", "inputs.static[:] = 0\nreturn np.full(len(inputs), 0.5)"),
        "changes-the-environment": fits("ok", "", 'os.environ.clear()\nos.environ["HOME"] = "/nowhere"\nos.chdir("/")'),
        "finds-the-environment": fits("ok", "", 'assert "slot" in os.environ["HOME"] and "slot" in os.getcwd() and "PATH" in os.environ'),
        "turns-warnings-into-errors": fits("ok", "", 'np.seterr(all="raise")\nwarnings.simplefilter("error")', head="import warnings"),
        "warns": fits("ok", "", 'np.log(np.zeros(1))\nwarnings.warn("odd", stacklevel=1)', head="import warnings"),
        "seeds": fits("ok", "", "np.random.seed(None)\nimport random\nrandom.seed()"),
        "hoards": fits("ok", "", "import builtins\nbuiltins.hoard = train"),
        "removes-its-folders": fits("failed", "FileNotFoundError", "import shutil\nshutil.rmtree(Path.cwd().parent)"),
        "reports-numpy": fits("ok", "", "for n in range(3):\n    ctx.report(np.int64(n), np.float32(n))\n    time.sleep(0.25)"),
        "hunts": Odd(
            "ok",
            "",
            {
                "head": HUNT,
                "fit": "self.train = train",
                "predict": f"hunt({notes!r} + f'/hunt-{{len(inputs)}}', self.train, inputs)\nreturn np.full(len(inputs), 0.5)",
            },
        ),
    }
