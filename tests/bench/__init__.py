"""What the benchmarks themselves promise: their arithmetic, their load, their verdicts."""
