"""Lets every test import what stands beside the tests (`patience`), and says how properties are tested.

The same examples every time, however slow the machine: a change is judged by what it changed and not by luck. New
examples are sought by `make check-slow` (--hypothesis-profile=explore); what it finds becomes an example of its own.
"""

from hypothesis import HealthCheck, settings

unhurried = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, **unhurried)
settings.register_profile("explore", max_examples=500, **unhurried)
settings.load_profile("same")
