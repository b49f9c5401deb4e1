"""Broken files, forms, commands and requests end in one clear error; nothing is written or submitted."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from benchmarks.bad_inputs.judging import run
from benchmarks.bad_inputs.lab import CONFIG_URL, Lab
from include.errors import ConfigError, NotFoundError, ProblemsError
from include.experiments import settings
from include.experiments.control import Control, add_trials, clone_trial, retry_failed
from include.experiments.limits import duration
from include.experiments.plan import Plan
from include.jobs.edits import parse_edits
from include.search.trial import TrialState
from include.store import ExperimentStore
from tests.support.fakes import MemoryWorkflow


@pytest.mark.timeout(600)
def test_damaged_inputs_of_every_kind_are_refused_or_valid(tmp_path):
    findings = run(260, 20261127, tmp_path)  # some 20 s of one core; the benchmark runs thousands
    assert findings.violations == []
    assert findings.refused.total() > 150


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
    text = lab_of_search.objects.read(CONFIG_URL) + b"# LTAI5tFakeFakeFakeFakeFa\n"
    lab_of_search.objects.write(CONFIG_URL, text)
    with pytest.raises(ProblemsError, match="holds a key"):
        lab_of_search.open()
    assert lab_of_search.touched() == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("maxExperimentDuration: 9000000d", "at most 3650d"),
        ("maxTrialNumber: 1001", "too many for one DAG run"),
        (f"maxTrialNumber: {10**20}", "from 1 to"),
        (f"trialConcurrency: {10**20}", "from 1 to"),
    ],
)
def test_a_limit_beyond_what_airflow_and_the_calendar_take_is_refused(lab_of_search, line, said):
    config = lab_of_search.model / "begin" / "config.yml"
    kept = [each for each in config.read_text().splitlines() if each.split(":")[0] != line.split(":")[0]]
    config.write_text("\n".join([*kept, line]))
    with pytest.raises(ProblemsError, match=said):
        lab_of_search.open(trials=None)
    assert lab_of_search.touched() == ""


@pytest.fixture
def rendered(monkeypatch):
    """Every set of parameters that a plan has rendered, in order."""
    seen = []
    render = Plan.render_trial
    monkeypatch.setattr(
        Plan, "render_trial", lambda plan, step, p: (seen.append(p), render(plan, step, p))[1]
    )
    return seen


MANY = ({"train_config.num_steps": 10},) * 1001


def test_more_parameter_sets_than_a_run_can_have_are_refused_before_they_are_rendered(
    lab_of_search, rendered
):
    with pytest.raises(ProblemsError, match="1001 trials are too many"):
        lab_of_search.open(custom_parameters=MANY)
    assert len(rendered) <= 1  # one suggestion of the tuner

    experiment = lab_of_search.open()
    rendered.clear()
    with pytest.raises(ProblemsError, match="1001 trials are too many"):
        lab_of_search.open(extend=experiment, custom_parameters=MANY)
    with pytest.raises(ConfigError, match="1001 trials are too many"):
        add_trials(Control(lab_of_search.store, MemoryWorkflow(), "test"), experiment, MANY)
    assert len(rendered) <= 1


def test_more_failed_trials_than_a_run_can_have_are_not_repeated_in_one(lab_of_search, monkeypatch):
    experiment = lab_of_search.open()
    failed = [SimpleNamespace(number=n, state=TrialState.FAILED, parameters={"x": n}) for n in range(1001)]
    monkeypatch.setattr(ExperimentStore, "trials", lambda *_: failed)
    with pytest.raises(ConfigError, match="1001 trials are too many"):
        retry_failed(Control(lab_of_search.store, MemoryWorkflow(), "test"), experiment)
    assert lab_of_search.store.waiting_requests(experiment) == []


def test_of_very_many_problems_the_first_are_listed():
    error = ProblemsError("wrong", [f"problem {n}" for n in range(1000)])
    assert str(error).endswith("problem 49\n  - … and 950 more")
    assert len(error.problems) == 1000


@pytest.mark.parametrize(
    "finetune",
    [
        "schedule: every day",
        "schedule: 0 2 * *",
        "schedule: 0 2 30 2 *",
        "schedule: R R * * *",
        "schedule: ''",
        "first_bizdate: 0022-06-17",
        "last_bizdate: 9999-12-31",
    ],
)
def test_a_schedule_or_day_that_airflow_cannot_use_is_said_in_the_models_problems(finetune):
    with pytest.raises(ProblemsError, match=f"finetune.{finetune.split(':')[0]}"):
        settings.parse(f"finetune: {{{finetune}}}", "model.yml")


@pytest.mark.parametrize("schedule", ["0 2 * * *", "@daily", "@quarterly", "30 1,13 * * mon-fri"])
def test_a_schedule_that_airflow_knows_is_taken(schedule):
    assert settings.parse(f"finetune: {{schedule: '{schedule}'}}", "").finetune.schedule == schedule


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
    return Lab(tmp_path)
