"""Import a plugin's module in a process of its own that is shown no GPU."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from functools import cache

from bench.testing.answers import CheckError

SECONDS = 120
FIND = """
import importlib, importlib.util, sys
name, file = sys.argv[1:]
try:
    found = importlib.util.find_spec(name)
except (ImportError, ValueError):
    found = None
if found is not None and found.origin == file:
    importlib.import_module(name)
else:
    spec = importlib.util.spec_from_file_location("plugin_by_itself", file)
    module = sys.modules["plugin_by_itself"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
"""
"""Imports by name where that leads to the file, else the file itself."""


def import_alone(plugin: type) -> None:
    """Import the module that defines `plugin`; raise `CheckError` with the last line that it says where it fails."""
    _imported(plugin.__module__, inspect.getfile(plugin))


@cache
def _imported(module: str, file: str) -> None:
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-P", "-c", FIND, module, file]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise CheckError(f"importing {module} takes longer than {SECONDS} s; do no work at import") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ends with code {done.returncode}"]
        raise CheckError(f"importing {module} by itself, without a GPU, fails: {said[-1]}")
