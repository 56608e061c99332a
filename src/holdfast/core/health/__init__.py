"""Judging from outside whether a region is well, and what to do about it. Time and chance are arguments."""
