"""Switches that a worker finds in its environment; nothing is imported here, so that those who set them need not load torch."""

GRAPHS = "BENCH_CUDA_GRAPHS"
"""1: training steps are captured as CUDA graphs; 0: they are not. Unset: as `bench doctor --gpu` found best."""
