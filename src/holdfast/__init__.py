"""Holdfast: a For You feed that holds when a data centre goes dark."""

__version__ = "0.1.0"
