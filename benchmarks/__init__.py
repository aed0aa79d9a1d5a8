"""What nbvault costs, measured: programs that share one harness and write docs/benchmarks.md."""
