"""Lets every test import what stands beside the tests: `patience`."""
