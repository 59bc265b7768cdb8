"""How many examples hypothesis tries: few with the other tests, many at night, new ones without end when fuzzing.

At night, EXAMPLES of each property (10,000).
"""

import os

from hypothesis import HealthCheck, settings

_SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
_PROFILES = {
    "quick": {"derandomize": True},
    "nightly": {"max_examples": int(os.environ.get("EXAMPLES", "10000"))},
    "fuzz": {"max_examples": 500, "database": None},
}


def profile(quick: int) -> settings:
    """The settings that HYPOTHESIS names (quick, nightly or fuzz), with so many examples if it is the quick one."""
    chosen = _PROFILES[os.environ.get("HYPOTHESIS", "quick")]
    return settings(**_SLOW, **{"max_examples": quick, **chosen})
