"""Laws are held by what they find, never by how long it takes on the machine of the day.

A gate must say the same of the same code twice, so examples are drawn the same way in each run; `CKPTLINT_EXPLORE=1` draws new ones.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "untimed",
    deadline=None,
    derandomize="CKPTLINT_EXPLORE" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("untimed")
