"""Evaluation as a tool: how good each rung is, on data anyone can get, beside what a team would try first."""
