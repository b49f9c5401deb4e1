"""Search: space, tuners, assessors, trials (pure)."""
