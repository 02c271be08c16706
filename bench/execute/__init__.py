"""Run jobs: the executor, its workers, and what keeps them apart."""
