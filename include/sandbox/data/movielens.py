"""MovieLens-100k, taken from a Python package that carries it (never from our repository).

The wheel is fetched with pip, checked against its SHA-256 and only its three data files are read.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from include.errors import NotFoundError
from include.sandbox.data.schema import Columns, finish

PACKAGE = "recbole==1.2.1"
SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
TERMS = (
    "MovieLens-100k (GroupLens, University of Minnesota): for research use; not to be redistributed or used "
    "commercially without permission; no endorsement by the University of Minnesota is implied."
)
CITATION = (
    "F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. "
    "ACM Transactions on Interactive Intelligent Systems 5, 4, Article 19. https://doi.org/10.1145/2827872"
)
_WHEEL = "recbole-1.2.1-py3-none-any.whl"
_INSIDE = "recbole/dataset_example/ml-100k/ml-100k"
_SECONDS = 120


def columns(cache: Path) -> Columns:
    """All 100,000 ratings in time order. Raises NotFoundError when the package can't be had."""
    with zipfile.ZipFile(fetch(cache)) as wheel:
        ratings, users, items = (_records(wheel, kind) for kind in ("inter", "user", "item"))
    by_user = {row[0]: row for row in users}
    by_item = {row[0]: row for row in items}
    user_rows = [by_user[row[0]] for row in ratings]
    item_rows = [by_item[row[1]] for row in ratings]
    return finish(
        {
            "user_id": np.array([row[0] for row in ratings]),
            "item_id": np.array([row[1] for row in ratings]),
            "age": np.array([int(row[1]) for row in user_rows]),
            "gender": np.array([row[2] for row in user_rows]),
            "occupation": np.array([row[3] for row in user_rows]),
            # Zip codes begin with the region; the rest would name single users.
            "zip_area": np.array([row[4][:2] for row in user_rows]),
            # Two films have no year.
            "release_year": np.array([int(row[2]) if row[2].isdigit() else 0 for row in item_rows]),
            "genres": np.array([row[3].replace(" ", "|") for row in item_rows]),
            "timestamp": np.array([int(float(row[3])) for row in ratings]),
            "rating": np.array([float(row[2]) for row in ratings]),
        }
    )


def fetch(cache: Path) -> Path:
    """The checked wheel in ``cache``, downloaded when it isn't there. Raises NotFoundError."""
    wheel = cache / _WHEEL
    if wheel.is_file() and _digest(wheel) == SHA256:
        return wheel
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    # Whoever has no network should not wait long for the synthetic stream.
    command += ["--retries", "1", "--timeout", "20"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(cache), PACKAGE]
    try:
        cache.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotFoundError(f"pip could not fetch {PACKAGE}: {error}") from error
    if done.returncode or not wheel.is_file():
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NotFoundError(f"pip could not fetch {PACKAGE}: {last}")
    if _digest(wheel) != SHA256:
        wheel.unlink()
        raise NotFoundError(f"{PACKAGE} is not the file that was expected", hint="its SHA-256 differs")
    return wheel


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _records(wheel: zipfile.ZipFile, kind: str) -> list[list[str]]:
    text = wheel.read(f"{_INSIDE}.{kind}").decode("utf-8")
    return [line.split("\t") for line in text.splitlines()[1:]]
