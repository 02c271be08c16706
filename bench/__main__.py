"""Run the command line as `python -m bench`."""

from bench.cli import main

main()
