"""What a trial records is what its job ran: the config that the trainer saved is the witness."""

from __future__ import annotations

from typing import Any

import pytest

from include import names
from include.errors import ProblemsError
from include.pipeline_config import values_at
from include.sandbox import easyrec_proto
from include.search.trial import TrialState
from include.store import Step, Trial

from .conftest import Installation, World

SET_BY_THE_JOB = ("model_dir", "train_input_path", "eval_input_path")


def saved_config(installation: Installation, step: Step) -> str:
    return installation.services.objects.read(names.saved_pipeline_config(step.model_dir)).decode()


def message(text: str) -> Any:
    """A config by its meaning, without what the job's own arguments set."""
    config = easyrec_proto.parse(text)
    for name in SET_BY_THE_JOB:
        config.ClearField(name)
    return config


def check_that_it_ran(installation: Installation, trial: Trial, step: Step) -> None:
    saved = saved_config(installation, step)
    assert message(saved) == message(installation.plan.patched_config(trial.parameters))
    for key, value in trial.parameters.items():
        for ran in values_at(saved, key):
            assert ran == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value), key


@pytest.mark.parametrize("mode", ["edit_config_json", "patched_config"])
def test_the_parameters_recorded_are_the_parameters_run(installation: Installation, mode: str) -> None:
    installation.configure(parameters_via=mode)
    installation.change("config.yml", "start_step: 4", "start_step: 1000")
    installation.open(trials=6, seed=11)

    trials = installation.run()

    assert {t.state for t in trials} == {TrialState.SUCCEEDED}
    assert len({str(t.parameters) for t in trials}) == 6
    steps, jobs = installation.steps(), installation.jobs()
    assert len(steps) == len(jobs) == 6
    for trial, step in zip(trials, steps, strict=True):
        assert step.id.trial == trial.number
        check_that_it_ran(installation, trial, step)
    assert all(("edit_config_json" in j["parameters"]) == (mode == "edit_config_json") for j in jobs)


def test_variables_fill_values_of_the_ini_and_of_its_own_edits(
    world: World, installation: Installation
) -> None:
    """Reference +18. The trainer reads a table and a batch size that only the search space names."""
    ini, space = "config_begin.ini", "search_space.json"
    edits = '-Dedit_config_json={"data_config.batch_size": "${rows}"}'
    installation.change(ini, '-Dversion="0.8.5"', f"-Dversion=0.${{tag}}\n{edits}")
    installation.change(ini, "ratings_train", "ratings_${table}")
    installation.change(space, '"data_config.batch_size"', '"${rows}"')
    installation.change(
        space,
        "{\n",
        '{\n"${tag}":{"_type":"choice","_value":["8.5","8.6"]},\n'
        '"${table}":{"_type":"choice","_value":["train","eval"]},\n',
    )
    installation.open(trials=2, seed=4)

    trials = installation.run()

    assert {t.state for t in trials} == {TrialState.SUCCEEDED}
    for trial, step, job in zip(trials, installation.steps(), installation.jobs(), strict=True):
        tag, table, rows = (trial.parameters[f"${{{name}}}"] for name in ("tag", "table", "rows"))
        assert job["parameters"]["version"] == f"0.{tag}"
        assert job["parameters"]["train_tables"] == f"odps://sandbox/tables/ratings_{table}"
        assert "${" not in str(job["parameters"])
        saved = saved_config(installation, step)
        assert values_at(saved, "data_config.batch_size") == [rows]
        assert message(saved) == message(installation.plan.patched_config(trial.parameters))
    best = installation.close()
    published = installation.services.objects.read(best.best_config).decode()
    assert values_at(published, "data_config.batch_size") == [best.best.parameters["${rows}"]]


def test_a_variable_that_nothing_fills_ends_before_the_first_submit(
    world: World, installation: Installation
) -> None:
    installation.change("config_begin.ini", "model_dir=", "selected_cols=${columns}\n-Dmodel_dir=")

    with pytest.raises(ProblemsError) as caught:
        installation.open(trials=1)

    assert "-Dselected_cols holds ${columns}, which is not a key of the search space" in str(caught.value)
    assert installation.jobs() == []


def test_a_table_that_a_variable_would_make_is_looked_for_before_the_first_submit(
    installation: Installation,
) -> None:
    installation.change("config_begin.ini", "ratings_train", "ratings_${table}")
    installation.change(
        "search_space.json", "{\n", '{\n"${table}":{"_type":"choice","_value":["train","trane"]},\n'
    )

    with pytest.raises(ProblemsError) as caught:
        installation.open(trials=1)

    assert "no table ratings_trane in project sandbox" in str(caught.value)
