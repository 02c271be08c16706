"""Find, read, cache and register data sets."""
