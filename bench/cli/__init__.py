"""The command line: thin commands over the library; what a user did wrong ends as one line and exit code 2."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run `bench`; exit codes: 0 done, 1 no usable row, 2 bad arguments or data, 3 not verified, 130 interrupted."""
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: list[str]) -> int:
    """Run one command and return its exit code; nothing but a defect of `bench` itself escapes as a traceback."""
    from bench.cli.usage import Said, usage_error
    from bench.errors import BenchError

    try:
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
        where = f"{error.filename}: " if error.filename else ""
        words = f"{where}{error.strerror or error}; what is finished is kept: mend it and give the same command again"
        return fail(words, 2, as_json="--json" in arguments)
    except Exception as error:
        code = usage_error(error)
        if code is None:
            raise
        return fail(code, 2, as_json="--json" in arguments)
    if code == INTERRUPTED and not isinstance(code, Said):  # the argument parser makes a code of it, too
        sys.stderr.write("interrupted\n")
    return code if isinstance(code, int) else 0


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
