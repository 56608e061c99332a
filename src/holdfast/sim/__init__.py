"""Deterministic simulation: the real core and the real keeper in worlds that break, by seed."""
