"""Files of every form, damaged at random, read as `--dataset` would: each is read, or refused in one line.

Found: refused with a `BenchError` of one line. Survived: read, whatever was left. Lost: another exception, a message of
several lines, a reader that takes longer than its time or ends its process.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import resource
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from campaigns import campaign

SECONDS = 60
MEMORY = 6 << 30
"""Bytes of address space of the process that reads."""


def sales(draw: random.Random, rows: int) -> str:
    head = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    return head + "".join(
        f"{536_000 + n},{draw.randrange(99)},thing,{draw.randrange(1, 9)},2010-12-{1 + n % 28:02d} 08:26:00,2.55,{draw.randrange(20)},UK\n"
        for n in range(rows)
    )


def log(draw: random.Random, rows: int) -> str:
    return "user,time,kind,value\n" + "".join(
        f"u{draw.randrange(20)},2024-01-{1 + n % 28:02d},buy,{draw.random():.3f}\n" for n in range(rows)
    )


def unix_log(draw: random.Random, rows: int) -> str:
    return "user,time\n" + "".join(f"{draw.randrange(20)},{1_700_000_000 + n * 997}\n" for n in range(rows))


def lines(draw: random.Random, rows: int) -> str:
    return "".join(
        json.dumps({"user": draw.randrange(20), "time": f"2024-01-{1 + n % 28:02d}", "tags": {"a": 1}}) + "\n" for n in range(rows)
    )


def edges(draw: random.Random, rows: int) -> str:
    return "".join(f"{draw.randrange(20)} {draw.randrange(20)} {1_082_040_961 + n}\n" for n in range(rows))


def ratings(draw: random.Random, rows: int) -> str:
    rated = (f"{draw.randrange(1, 20)},{draw.randrange(1, 30)},{draw.randrange(1, 6)}.0,{964_982_703 + n}\n" for n in range(rows))
    return "userId,movieId,rating,timestamp\n" + "".join(rated)


def prize(draw: random.Random, rows: int) -> str:
    return "1:\n" + "".join(f"{draw.randrange(1, 99)},{draw.randrange(1, 6)},2005-{1 + n % 12:02d}-{1 + n % 28:02d}\n" for n in range(rows))


def steps(draw: random.Random, rows: int) -> str:
    return "unique_id,ds,y\n" + "".join(
        f"s{n % 3},2024-{1 + n // 3 // 28:02d}-{1 + n // 3 % 28:02d},{draw.random():.3f}\n" for n in range(rows)
    )


def courses(draw: random.Random, rows: int) -> str:
    rows_ = (f"{draw.randrange(9)},2014-05-{1 + n % 28:02d},{draw.randrange(3)},0,1\n" for n in range(rows))
    return "enrollment_id,time,event_access,event_problem,event_video\n" + "".join(rows_)


def packed(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


def columns(text: str) -> bytes:
    import polars as pl

    sink = io.BytesIO()
    pl.read_csv(io.StringIO(text)).write_parquet(sink)
    return sink.getvalue()


def workbook(text: str) -> bytes:
    import polars as pl

    sink = io.BytesIO()
    pl.read_csv(io.StringIO(text)).write_excel(sink)
    return sink.getvalue()


Make = Callable[[random.Random, int], str]
FORMS: dict[str, tuple[str, str, Make, Callable[[str], bytes]]] = {
    "sales csv": ("retail", "sales.csv", sales, str.encode),
    "sales xlsx": ("retail", "sales.xlsx", sales, workbook),
    "log csv": ("events", "log.csv", log, str.encode),
    "log csv.gz": ("events", "log.csv.gz", log, packed),
    "log parquet": ("events", "log.parquet", log, columns),
    "log jsonl": ("events", "log.jsonl", lines, str.encode),
    "unix log": ("events", "log.csv", unix_log, str.encode),
    "edges": ("social", "edges.txt", edges, str.encode),
    "edges gz": ("social", "edges.txt.gz", edges, packed),
    "ratings csv": ("netflix", "ratings.csv", ratings, str.encode),
    "prize": ("netflix", "combined_data_1.txt", prize, str.encode),
    "series csv": ("series", "series.csv", steps, str.encode),
    "series parquet": ("series", "series.parquet", steps, columns),
    "courses csv": ("activity", "course.csv", courses, str.encode),
}
NASTY = ("", "nan", "-1", "9" * 40, "1e400", "\x00", "\ufeff", '"', "'", "\n", ",,,,", "2905-01-01", "1801-01-01", "0000-00-00", "\ud83d")


def flipped(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 3, 30))):
        if changed:
            changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def head_lost(content: bytes, draw: random.Random) -> bytes:
    return content[draw.randrange(len(content) + 1) :]


def doubled(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content) + 1)
    return content[:at] + content


def spliced(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content) + 1)
    return content[:at] + draw.choice(NASTY).encode(errors="surrogatepass") + content[at:]


def emptied(content: bytes, draw: random.Random) -> bytes:
    return draw.choice((b"", b"\n", b" ", b"\x00" * 100, content.splitlines(keepends=True)[0] if content else b""))


def recoded(content: bytes, draw: random.Random) -> bytes:
    return content.decode("latin-1").encode(draw.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig")))


def swapped(content: bytes, draw: random.Random) -> bytes:
    parts = content.split(b",")
    if len(parts) > 2:
        a, b = draw.randrange(len(parts)), draw.randrange(len(parts))
        parts[a], parts[b] = parts[b], parts[a]
    return b",".join(parts)


DAMAGES = (flipped, cut, head_lost, doubled, spliced, emptied, recoded, swapped)


class Reader:
    """A process that reads file after file; it is begun anew where one of them has ended it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def read(self, adapter: str, path: Path) -> dict[str, Any]:
        """Read one file and tell how it ended."""
        if self.process is None:
            words = [sys.executable, __file__, "--read"]
            self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([adapter, str(path)]) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], SECONDS)
        answer = self.process.stdout.readline() if ready else ""
        if answer:
            found: dict[str, Any] = json.loads(answer)
            return found
        words_ = "ended its process" if ready else f"took longer than {SECONDS} s"
        self.close()
        return {"end": "lost", "words": words_}

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            with contextlib.suppress(BrokenPipeError):
                self.process.communicate()
        self.process = None


def rounds(scratch: Path, reader: Reader | None = None) -> campaign.Round:
    """Return the rounds; a file that was lost is kept in `scratch`."""
    reader = reader or Reader()

    def play(draw: random.Random) -> dict[str, Any]:
        form = draw.choice(list(FORMS))
        adapter, name, make, write = FORMS[form]
        content = write(make(draw, draw.choice((3, 40, 400))))
        damages = draw.choices(DAMAGES, k=draw.choice((1, 1, 2)))
        for damage in damages:
            content = damage(content, draw)
        folder = scratch / f"{draw.getrandbits(48):012x}"
        folder.mkdir()
        (folder / name).write_bytes(content)
        found = reader.read(adapter, folder / name)
        if found["end"] != "lost":
            (folder / name).unlink()
            folder.rmdir()
        return {"kind": form, "damages": [d.__name__ for d in damages], "file": str(folder / name), **found}

    return play


def serve() -> None:
    """Read the files that stdin names, and tell of each on stdout."""
    from bench.errors import BenchError
    from bench.registry import discover
    from bench.sources.cache import read_cached

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    adapters = discover()
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        adapter, path = json.loads(line)
        try:
            data = read_cached(adapters.dataset(adapter), Path(path), {}).data
            end = {"end": "survived", "words": f"{len(data)} rows"}
        except BenchError as error:
            words = str(error)
            end = {"end": "lost" if "\n" in words or len(words) > 1_000 else "found", "words": words[:500]}
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            end = {"end": "lost", "words": f"{type(error).__name__}: {str(error)[:300]}"}
        answers.write(json.dumps(end) + "\n")
        answers.flush()


if __name__ == "__main__":
    if sys.argv[1:] == ["--read"]:
        serve()
    else:
        campaign.by_hand(rounds, __doc__)
