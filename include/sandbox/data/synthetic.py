"""A seeded stream of ratings with a known truth and drift, in the columns of MovieLens.

Users and films have latent vectors, genres and age groups have tastes; films come out over time and their
appeal wanders, so a model that isn't retrained becomes stale.
"""

from __future__ import annotations

import numpy as np

from include.sandbox.data.schema import Columns, finish

_USERS = 900
_ITEMS = 1600
_RANK = 6
_DAYS = 213
_FIRST_SECOND = 874_713_600  # 1997-09-20, UTC
_GENRES = np.array(
    [
        *("Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
        *("Fantasy", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
    ]
)
_OCCUPATIONS = np.array(["student", "educator", "engineer", "writer", "artist", "retired", "other"])


def columns(*, seed: int, days: int | None = None, rows_per_day: int = 500) -> Columns:
    """About ``rows_per_day`` ratings on each of ``days`` days (default 213). The same seed, the same rows."""
    rng = np.random.default_rng([seed, 100])
    days = _DAYS if days is None else min(days, _DAYS)
    user_taste = rng.normal(0, 1, (_USERS, _RANK))
    item_taste = rng.normal(0, 1, (_ITEMS, _RANK))
    user_bias, item_bias = rng.normal(0, 0.35, _USERS), rng.normal(0, 0.7, _ITEMS)
    item_drift = rng.normal(0, 0.9, _ITEMS)
    age, gender = rng.integers(12, 70, _USERS), rng.choice(["M", "F"], _USERS, p=[0.7, 0.3])
    occupation, area = rng.choice(_OCCUPATIONS, _USERS), rng.integers(10, 100, _USERS).astype(str)
    first_genre, second_genre = rng.integers(0, len(_GENRES), (2, _ITEMS))
    year = 1997 - np.minimum(rng.geometric(0.12, _ITEMS) - 1, 70)
    genre_taste = rng.normal(0, 0.5, (len(_GENRES), 6))

    # Users arrive in sittings and most are new each day, as in MovieLens; films follow a power law.
    sizes = rng.poisson(rows_per_day, days)
    day = np.repeat(np.arange(days), sizes)
    total = len(day)
    user = (day * 7 + rng.geometric(0.04, total)) % _USERS
    item = np.minimum((rng.pareto(1.1, total) * 40).astype(np.int64), _ITEMS - 1)
    second = np.sort(rng.integers(0, 86_400, total))

    group = age[user] // 12
    score = user_bias[user] + item_bias[item] + item_drift[item] * (day / days - 0.3)
    score += 0.3 * (user_taste[user] * item_taste[item]).sum(1) / np.sqrt(_RANK)
    score += genre_taste[first_genre[item], group] + 0.5 * genre_taste[second_genre[item], group]
    score += rng.normal(0, 0.9, total)
    rating = np.digitize(score, [-1.6, -0.9, -0.15, 0.95]) + 1.0
    genres = np.char.add(np.char.add(_GENRES[first_genre], "|"), _GENRES[second_genre])
    return finish(
        {
            "user_id": (user + 1).astype(str),
            "item_id": (item + 1).astype(str),
            "age": age[user],
            "gender": gender[user],
            "occupation": occupation[user],
            "zip_area": area[user],
            "release_year": year[item],
            "genres": genres[item],
            "timestamp": _FIRST_SECOND + day * 86_400 + second,
            "rating": rating,
        }
    )
