"""The feed: sources, filters, rank, slate, guard, and the ladder that says how much of it is working."""
