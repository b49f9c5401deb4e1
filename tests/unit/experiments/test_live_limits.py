"""``limits``: what the engine does once a person has changed the limits of a search that runs (R2)."""

from __future__ import annotations

import getpass
from datetime import timedelta

import pytest

from include.cli import main
from include.errors import NoMoreTrials
from include.experiments.closing import close_experiment


@pytest.fixture
def change(lab, tmp_path, capsys):
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
    assert "1 trials have begun already: no further one starts" in shown
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


def test_more_trials_than_the_run_has_tasks_are_refused_with_the_way_to_get_them(lab, change):
    lab.open(trials=2)
    lab.start(0)

    code, shown = change("--trials", 3)

    assert code == 1
    assert "2 at most" in shown
    assert f"experiment = {lab.experiment}" in shown
    assert lab.store.experiment(lab.experiment).max_trials == 2
    assert events(lab) == []


def test_tasks_of_a_run_that_is_over_are_not_counted_as_room(lab, change):
    first = lab.open(trials=5)
    lab.start(0)
    assert change("--trials", 1)[0] == 0
    lab.finish(0)
    close_experiment(lab.services, lab.experiment, dag_id="dag", run_id="run", by="test")
    lab.open(run_id="run2", trials=2, extend=first.experiment.id)

    code, shown = change("--trials", 4)

    assert code == 1
    assert "3 at most" in shown


def test_a_search_that_has_ended_is_refused(lab, change):
    lab.open(trials=1)
    lab.start(0)
    lab.finish(0)
    close_experiment(lab.services, lab.experiment, dag_id="dag", run_id="run", by="test")

    code, shown = change("--trials", 5, "--hours", 5)

    assert code == 1
    assert "has ended (FINISHED)" in shown
    assert "extend it" in shown
    assert lab.store.experiment(lab.experiment).max_trials == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], ["nothing to change"]),
        (["--trials", 0, "--hours", -1], ["0 trials", "-1 hours"]),
        (["--hours", "nan"], ["nan hours"]),
        (["--hours", "1e9"], ["1e+09 hours"]),
    ],
)
def test_values_without_sense_are_refused_all_at_once(lab, change, options, says):
    lab.open(trials=2)

    code, shown = change(*options)

    assert code == 1
    assert [words for words in says if words not in shown] == []
    assert events(lab) == []
