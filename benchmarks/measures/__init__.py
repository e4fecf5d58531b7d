"""What the benchmarks measure; the commands beside this folder read the options."""
