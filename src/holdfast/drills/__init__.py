"""What plays the world: the synthetic audience, the replay of real logs, benchmarks and drills on real processes."""
