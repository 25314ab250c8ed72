"""Laws are held by what they find, never by how long it takes on the machine of the day."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # on top of what CI sets
settings.load_profile("untimed")
