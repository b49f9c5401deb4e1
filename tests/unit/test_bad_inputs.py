"""Broken files, forms, commands and requests end in one clear error; nothing is written or submitted."""

from __future__ import annotations

import json

import pytest

from benchmarks import bad_inputs
from include.errors import ConfigError, NotFoundError, ProblemsError
from include.experiments import settings
from include.experiments.control import Control, clone_trial
from include.experiments.limits import duration
from include.jobs.edits import parse_edits
from tests.support.fakes import MemoryWorkflow


def test_damaged_inputs_of_every_kind_are_refused_or_valid(tmp_path):
    findings = bad_inputs.run(50, 20261127, tmp_path)  # the benchmark runs thousands
    assert findings.violations == []
    assert findings.refused.total() > 30


@pytest.mark.parametrize("hours", [float("nan"), float("inf"), 0, -1, 10**400, 1e300])
def test_a_duration_that_makes_no_sense_is_refused(hours):
    with pytest.raises(ConfigError, match="no sense"):
        duration(hours)


def test_an_impossible_seed_is_found_before_anything_is_written(lab_of_search):
    for seed in (-1, 10**30):
        with pytest.raises(ProblemsError, match="the seed is"):
            lab_of_search.open(seed=seed)
    assert lab_of_search.touched() == ""


def test_a_key_in_the_pipeline_config_is_found_before_anything_is_written(lab_of_search):
    text = lab_of_search.objects.read(bad_inputs.CONFIG_URL) + b"# LTAI5tFakeFakeFakeFakeFa\n"
    lab_of_search.objects.write(bad_inputs.CONFIG_URL, text)
    with pytest.raises(ProblemsError, match="holds a key"):
        lab_of_search.open()
    assert lab_of_search.touched() == ""


def test_a_trial_number_beyond_every_database_is_unknown(lab_of_search):
    experiment = lab_of_search.open()
    with pytest.raises(NotFoundError, match="no trial"):
        clone_trial(Control(lab_of_search.store, MemoryWorkflow(), "test"), experiment, 10**30, {})


def test_json_nested_beyond_reason_is_an_error_with_words():
    with pytest.raises(ConfigError):
        parse_edits("[" * 1500)


def test_settings_nested_beyond_reason_or_said_twice_are_errors_with_the_line():
    with pytest.raises(ConfigError, match="nested too deeply"):
        settings.parse("pool: " + "[" * 1500, "model.yml")
    with pytest.raises(ProblemsError, match=r"finetune\.gate: stands there twice, in lines 2 and 4"):
        settings.parse("finetune:\n  gate: {}\n  on_gap: fail\n  gate: {}\n", "model.yml")


def test_an_error_that_quotes_something_endless_is_cut_short():
    text = str(ConfigError(f"wrong: {json.dumps('x' * 100_000)}"))
    assert len(text) < 2000
    assert "(100009 characters)" in text


@pytest.fixture
def lab_of_search(tmp_path):
    return bad_inputs.Lab(tmp_path)
