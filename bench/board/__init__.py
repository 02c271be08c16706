"""Leaderboards: rows, statistics, ranks and how they are shown."""

from bench.board.board import Board

__all__ = ["Board"]
