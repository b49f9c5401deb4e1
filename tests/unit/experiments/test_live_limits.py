"""``limits``: what the engine does once a person has changed the limits of a search that runs (R2)."""

from __future__ import annotations

import getpass
from datetime import timedelta

import pytest

from include.cli import main
from include.errors import NoMoreTrials, StateError
from include.experiments.closing import close_experiment


@pytest.fixture
def change(lab, workflow, tmp_path, capsys):
    """``limits`` on the lab's experiment: exit code and what was shown."""

    def run(*options: object) -> tuple[int, str]:
        store = f"sqlite:///{tmp_path / 'store.db'}"
        code = main(["limits", lab.experiment, *map(str, options), "--store", store])
        return code, "".join(capsys.readouterr())

    return run


def events(lab):
    return [(e.by, e.data) for e in lab.store.events(lab.experiment) if e.kind == "limit_changed"]


def test_the_next_ask_follows_a_lowered_and_then_a_raised_maximum(lab, change):
    lab.open(trials=4)
    first = lab.start(0)

    code, shown = change("--trials", 1)

    assert code == 0
    assert "1 trials have begun already: none of the tasks at work starts a further one" in shown
    with pytest.raises(NoMoreTrials, match="maximum of 1 trials"):
        lab.start(1)
    assert lab.start(0).number == first.number  # a retry of one that has begun
    assert len(lab.jobs.jobs) == 1

    assert change("--trials", 3)[0] == 0

    assert [lab.start(index).number for index in (2, 3)] == [1, 2]
    who = getpass.getuser()
    assert events(lab) == [
        (who, {"max_trials": {"from": 4, "to": 1}}),
        (who, {"max_trials": {"from": 1, "to": 3}}),
    ]


def test_hours_count_from_the_start_and_end_new_trials_only(lab, change):
    begun = lab.clock()
    lab.open(trials=3, max_duration=timedelta(hours=10))
    lab.start(0)
    lab.clock.sleep(2 * 3600)

    assert change("--hours", 1.5)[0] == 0

    assert lab.store.experiment(lab.experiment).deadline == begun + timedelta(hours=1.5)
    with pytest.raises(NoMoreTrials, match="maximum duration"):
        lab.start(1)
    assert lab.finish(0).state.is_terminal

    assert change("--hours", 4)[0] == 0
    assert lab.start(1).number == 1


def test_hours_of_an_extension_count_from_its_own_run(lab, change):
    first = lab.open(trials=1)
    lab.start(0)
    lab.finish(0)
    close_experiment(lab.services, lab.experiment, dag_id="dag", run_id="run", by="test")
    lab.clock.sleep(100 * 3600)
    lab.open(run_id="run2", trials=2, extend=first.experiment.id)

    assert change("--hours", 2)[0] == 0

    assert lab.store.experiment(lab.experiment).deadline == lab.clock() + timedelta(hours=2)


def test_more_trials_than_the_run_has_tasks_start_a_run_with_the_difference(lab, change, workflow):
    lab.open(trials=2)
    lab.start(0)

    code, shown = change("--trials", 5)

    assert code == 0
    assert "3 more trials: 5 in all" in shown
    [(run_id, conf)] = workflow.confs.items()
    assert conf == {"experiment": lab.experiment, "trials": 3}
    assert ("dag", run_id) in workflow.states
    lab.open(run_id=run_id, trials=3, extend=lab.experiment)
    assert lab.store.experiment(lab.experiment).max_trials == 5


def test_two_people_who_raise_to_the_same_number_get_that_number(lab, change, workflow):
    lab.open(trials=2)

    change("--trials", 5)
    change("--trials", 5)
    change("--trials", 6)

    assert [conf["trials"] for conf in workflow.confs.values()] == [3, 1]


def test_a_task_that_was_skipped_at_the_old_maximum_is_made_up_for(lab, change, workflow):
    lab.open(trials=3)
    lab.start(0)
    change("--trials", 1)
    for _ in range(2):  # also when the task is tried again
        with pytest.raises(NoMoreTrials):
            lab.start(1)

    assert change("--trials", 3)[0] == 0

    assert [conf["trials"] for conf in workflow.confs.values()] == [1]
    assert lab.start(2).number == 1


def test_a_run_that_airflow_refuses_is_not_counted_on(lab, change, workflow):
    lab.open(trials=1)
    workflow.refuses = StateError("DAG dag is paused in Airflow")
    before = lab.store.experiment(lab.experiment)
    code, shown = change("--trials", 3, "--hours", 5)
    assert code == 1
    assert "is paused in Airflow" in shown
    after = lab.store.experiment(lab.experiment)
    assert (after.max_trials, after.deadline) == (before.max_trials, before.deadline)
    workflow.refuses = None

    assert change("--trials", 3)[0] == 0

    assert [conf["trials"] for conf in workflow.confs.values()] == [2]


def test_nothing_is_changed_when_one_of_the_values_makes_no_sense(lab, change, workflow):
    lab.open(trials=4)

    code, shown = change("--trials", 2, "--concurrency", 0)

    assert (code, "0 trials at once make no sense" in shown) == (1, True)
    assert lab.store.experiment(lab.experiment).max_trials == 4
    assert workflow.pools == {}


def test_a_run_that_failed_before_it_began_is_not_counted_on(lab, change, workflow):
    lab.open(trials=1)
    change("--trials", 3)
    workflow.states = dict.fromkeys(workflow.states, "failed")

    change("--trials", 3)

    assert [conf["trials"] for conf in workflow.confs.values()] == [2, 2]


def test_a_raise_goes_on_with_a_search_that_has_ended_but_hours_are_refused(lab, change, workflow):
    lab.open(trials=1)
    lab.start(0)
    lab.finish(0)
    close_experiment(lab.services, lab.experiment, dag_id="dag", run_id="run", by="test")

    code, shown = change("--hours", 5)
    assert code == 1
    assert "has ended (FINISHED)" in shown
    assert change("--trials", 1)[0] == 1
    assert workflow.confs == {}

    assert change("--trials", 4)[0] == 0
    assert [conf["trials"] for conf in workflow.confs.values()] == [3]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], ["nothing to change"]),
        (["--trials", 0, "--hours", -1], ["0 trials", "-1.0 hours"]),
        (["--hours", "nan"], ["nan hours"]),
        (["--hours", "1e9"], ["1000000000.0 hours"]),
    ],
)
def test_values_without_sense_are_refused_all_at_once(lab, change, options, says):
    lab.open(trials=2)

    code, shown = change(*options)

    assert code == 1
    assert [words for words in says if words not in shown] == []
    assert events(lab) == []
