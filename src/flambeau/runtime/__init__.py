"""The process: how JAX is set up, threads, files that are replaced as a whole."""
