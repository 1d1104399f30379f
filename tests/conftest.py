"""What all tests share: the same examples at every run."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("seeded", derandomize=True)
settings.load_profile("seeded")
