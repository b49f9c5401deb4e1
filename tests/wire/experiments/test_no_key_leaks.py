"""After a whole search no access key is anywhere: store, objects, jobs, report, logs."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from include.search.trial import TrialState

from .conftest import Installation, World

RATE = (
    "train_config.optimizer_config[0].adam_optimizer.learning_rate"
    ".exponential_decay_learning_rate.initial_learning_rate"
)


def files(root: Path) -> dict[Path, bytes]:
    """Everything below a folder but the sandbox's own keys: the store's bytes, objects, jobs as submitted."""
    found = (path for path in root.rglob("*") if path.is_file() and path.name != "credentials.json")
    return {path: path.read_bytes() for path in found}


@pytest.fixture
def searched(installation: Installation) -> Installation:
    """A search with a success, an early stop, and a trial whose job failed and was replaced in vain."""
    installation.configure(max_trial_retries=1)
    installation.change("config.yml", "start_step: 4", "start_step: 1")
    installation.open(trials=3, custom_parameters=({RATE: 0.01}, {RATE: 1e-9}))
    hang = {"kind": "job_hang", "path": f"{installation.experiment}_1", "options": {"step": 25}}
    fail = {"kind": "job_fail", "path": f"{installation.experiment}_2", "options": {"step": 1}, "count": 2}
    for fault in (hang, fail):
        installation.world.fault(service="job", **fault)
    ended = [installation.finish(installation.start(index))[0].state for index in range(3)]
    assert ended == [TrialState.SUCCEEDED, TrialState.EARLY_STOPPED, TrialState.FAILED]
    installation.close()
    return installation


def test_no_key_is_left_anywhere(
    world: World, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    caplog.set_level(logging.DEBUG)
    searched: Installation = request.getfixturevalue("searched")

    links = searched.services.jobs.logview(str(searched.steps()[0].job_id)).values()  # a button's work
    tokens = {parse_qs(urlsplit(link).query)["token"][0] for link in links}
    kept = {**files(searched.home), **files(world.sandbox.folder)}
    kept[Path("books")] = json.dumps(world.books()).encode()
    logged = [f"{r.name}: {r.getMessage()} {r.exc_text or ''}" for r in caplog.get_records("call")]

    keys = {"secret": world.endpoints.access_key_secret, "id": world.endpoints.access_key_id}
    for kind, key in keys.items():
        assert [path for path, data in kept.items() if key.encode() in data] == [], kind
        assert [line for line in logged if key in line] == [], kind
    for signed in ("Authorization", "Signature=", *tokens):
        assert [line for line in logged if signed in line] == []
    # It was looked where it matters.
    assert searched.home / "store.db" in kept
    assert any(b"XflowInstance" in data for data in kept.values())
    assert any(path.name == "report.html" for path in kept)
    assert any(line.startswith("urllib3") and "POST" in line for line in logged)
    assert any(line.startswith("include.experiments") for line in logged)
