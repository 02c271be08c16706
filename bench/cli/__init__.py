"""The command line: thin commands over the library; what a user did wrong ends as one line and exit code 2."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run `bench`; exit codes: 0 done, 1 no usable row, 2 bad arguments or data, 3 not verified, 130 interrupted."""
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: list[str]) -> int:
    """Run one command and return its exit code; nothing but a defect of `bench` itself escapes as a traceback."""
    from bench.cli.memory import refuse_shortage
    from bench.cli.usage import ReportedExit, usage_error
    from bench.errors import BenchError

    try:
        refuse_shortage(arguments)
        from bench.cli.app import app  # in here: it takes long enough to be interrupted

        code = app(args=arguments, prog_name="bench", standalone_mode=False)
    except BenchError as error:
        return fail(str(error), 2, as_json="--json" in arguments)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # the argument parser's own way to end on it
            return 141
        raise
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            return 141  # whoever read our output has seen enough
        return fail(of_the_system(error), 2, as_json="--json" in arguments)
    except BaseException as error:  # a panic of a library in Rust is no `Exception`
        words = usage_error(error) or of_a_library(error)
        if words is None:
            raise
        return fail(words, 2, as_json="--json" in arguments)
    if code == INTERRUPTED and not isinstance(code, ReportedExit):  # the argument parser makes a code of it, too
        sys.stderr.write("interrupted\n")
    return code if isinstance(code, int) else 0


def of_the_system(error: OSError) -> str:
    """Describe in one line what the system refused, and what to do."""
    import errno

    if error.errno in {errno.EMFILE, errno.ENFILE}:
        # whichever file was opened last is not to blame
        return "too many open files; what is finished is kept: raise the limit with ulimit -n and give the same command again"
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; what is finished is kept: mend it and give the same command again"


def of_a_library(error: BaseException) -> str | None:
    """Describe in one line what a library could not read, write or get memory for; None: it is a defect of `bench`."""
    from bench.errors import MORE_MEMORY, short_of_memory

    # what was raised is of a module that is loaded: nothing is imported for this, which may be what has failed
    kinds = {"polars.exceptions": "PolarsError", "pyarrow.lib": "ArrowException", "zipfile": "BadZipFile", "zlib": "error"}
    known = [kind for name, kind_name in kinds.items() if isinstance(kind := getattr(sys.modules.get(name), kind_name, None), type)]
    words = " ".join(str(error).split())[:300] or type(error).__name__
    if short_of_memory(error):
        return f"not enough memory ({words}); {MORE_MEMORY}"
    if isinstance(error, ImportError) and "Too many open files" in words:
        return f"too many open files ({words}); raise the limit with ulimit -n"
    if isinstance(error, tuple(known)):
        return f"a file cannot be read or written ({words}); is it whole, and is there room?"
    return None


def fail(message: str, code: int, *, as_json: bool) -> int:
    """State in one line on stderr what went wrong; with `--json` as a document on stdout instead."""
    if as_json:
        import json

        sys.stdout.write(json.dumps({"error": message, "exit_code": code}) + "\n")
    else:
        # what a data file holds may stand in the message: it must not steer the terminal, nor end the line
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in message)
        sys.stderr.write(f"error: {shown}\n")
    return code
