"""What every database behind the experiment store keeps: the same cases on SQLite and on Postgres."""

from __future__ import annotations

import json
import math
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.errors import (
    AskConflictError,
    ConfigError,
    NoMoreTrials,
    NotFoundError,
    PermanentError,
    RetryableError,
    StaleEpochError,
    StateError,
    StoreUnavailableError,
)
from include.names import StepId, submission_key
from include.search.trial import TrialState
from include.store import (
    SEARCHES,
    Experiment,
    ExperimentState,
    ExperimentStore,
    Result,
    RunKey,
    Step,
    StepState,
    TaskKey,
    Trial,
    schema,
)
from include.store.database import Database
from tests.support.stores import START, new_experiment, output, run_python


def task(index: int = 0) -> TaskKey:
    return TaskKey("begin_search_model", "manual__1", "trial", index)


def ask(store: ExperimentStore, index: int = 0, **changes: Any) -> Trial:
    values: dict[str, Any] = {
        "expected_asks": index,
        "task": task(index),
        "task_max_tries": 1,
        "parameters": {"x": 0.1 * index},
        "seen": 0,
    }
    return store.record_ask("model-1", **{**values, **changes})


def intend(store: ExperimentStore, step: StepId) -> Step:
    return store.intend_step(
        step,
        submission_key=submission_key(store.uuid, step),
        model_dir=f"oss://bucket/{step.experiment}_{step.trial}_{step.epoch}_{step.attempt}",
        payload={"xflow_name": "easy_rec_ext", "parameters": {"cmd": "train"}},
    )


def result(global_step: int, objective: float = 0.5) -> Result:
    return Result(global_step, objective, {"auc": objective}, wall_time=1.5e9 + global_step)


def run_trial(store: ExperimentStore, index: int, *values: float) -> StepId:
    """A trial that is running and has given ``values``."""
    number = ask(store, index).number
    step = StepId("model-1", number)
    intend(store, step)
    store.record_job(step, f"job-{number}")
    store.move_trial("model-1", number, epoch=0, to=TrialState.SUBMITTED)
    store.step_running(step)
    store.move_trial("model-1", number, epoch=0, to=TrialState.RUNNING)
    store.record_results(step, [result(at * 10, value) for at, value in enumerate(values)])
    return step


def end(store: ExperimentStore, number: int, to: TrialState, metric: float | None = None) -> Trial:
    return store.move_trial("model-1", number, epoch=0, to=to, metric=metric)


def kinds(store: ExperimentStore) -> list[str]:
    return [each.kind for each in store.events("model-1")]


class TestOpening:
    def test_a_store_keeps_its_uuid(self, new_url: str) -> None:
        with ExperimentStore.open(new_url) as first, ExperimentStore.open(new_url) as second:
            assert uuid.UUID(first.uuid)
            assert first.uuid == second.uuid

    def test_processes_that_open_a_new_store_at_once_agree_on_its_uuid(self, new_url: str) -> None:
        code = (
            "import json, sys; from include.store import ExperimentStore; "
            "print(json.dumps(ExperimentStore.open(sys.argv[1]).uuid))"
        )
        processes = [run_python(code, new_url) for _ in range(3)]
        uuids = [output(each) for each in processes]
        assert len(set(uuids)) == 1
        assert ExperimentStore.open(new_url).uuid == uuids[0]

    def test_threads_that_open_a_new_store_at_once_agree_on_its_uuid(self, new_url: str) -> None:
        with ThreadPoolExecutor(6) as threads:
            uuids = set(threads.map(lambda _: ExperimentStore.open(new_url).uuid, range(6)))
        assert len(uuids) == 1

    def test_opening_a_current_store_does_not_load_alembic(self, new_url: str) -> None:
        ExperimentStore.open(new_url).close()
        code = (
            "import json, sys; from include.store import ExperimentStore; "
            "ExperimentStore.open(sys.argv[1]).experiments(); print(json.dumps('alembic' in sys.modules))"
        )
        assert output(run_python(code, new_url)) is False

    def test_migrations_make_exactly_the_schema_of_the_code(self, new_url: str) -> None:
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        ExperimentStore.open(new_url).close()
        engine = sa.create_engine(new_url)
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE TABLE somebody_elses (id INTEGER)")
            context = MigrationContext.configure(
                connection,
                opts={
                    "version_table": schema.VERSION_TABLE,
                    "include_name": schema.is_ours,
                    "compare_type": True,
                },
            )
            assert compare_metadata(context, schema.metadata) == []
        engine.dispose()

    def test_a_store_of_a_newer_version_is_refused_and_left_alone(self, new_url: str) -> None:
        ExperimentStore.open(new_url).close()
        engine = sa.create_engine(new_url)
        with engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
        with pytest.raises(PermanentError, match="newer version"):
            ExperimentStore.open(new_url)
        with engine.connect() as connection:
            version = connection.exec_driver_sql(f"SELECT version_num FROM {schema.VERSION_TABLE}").scalar()
        engine.dispose()
        assert version == "9999"

    def test_a_failed_migration_leaves_nothing_behind(self, new_url: str) -> None:
        from include.store.upgrade import run_migrations

        class TroubleError(Exception):
            pass

        def migrate_and_fail(connection: sa.Connection) -> None:
            run_migrations(connection)
            raise TroubleError

        database = Database(new_url)
        with pytest.raises(TroubleError):
            database.migrate(migrate_and_fail)
        assert database.read(lambda connection: sa.inspect(connection).get_table_names()) == []
        database.close()


class TestExperiments:
    def test_an_experiment_comes_back_as_it_was_created(self, store: ExperimentStore) -> None:
        deadline = datetime(2026, 5, 1, 8, 30, 0, 123456, tzinfo=timezone(timedelta(hours=8)))
        new = new_experiment(deadline=deadline)
        created = store.create_experiment(new)
        read = store.experiment("model-1")
        assert read == created
        assert read == Experiment(
            **vars(new),
            state=ExperimentState.RUNNING,
            reason="",
            asks=0,
            created_at=START + timedelta(seconds=2),
            ended_at=None,
        )
        assert read.deadline is not None
        assert read.deadline.utcoffset() == timedelta(0)

    def test_creating_again_returns_the_existing_one_unchanged(self, store: ExperimentStore) -> None:
        first = store.create_experiment(new_experiment())
        assert store.create_experiment(new_experiment(seed=2, max_trials=1)) == first
        assert kinds(store) == ["created"]

    def test_many_may_create_the_same_experiment_at_once(self, store: ExperimentStore) -> None:
        with ThreadPoolExecutor(6) as threads:
            created = list(threads.map(lambda _: store.create_experiment(new_experiment()), range(6)))
        assert created == [created[0]] * 6
        assert kinds(store) == ["created"]

    def test_experiments_are_listed_newest_first(self, store: ExperimentStore) -> None:
        for name, model in (("a-1", "a"), ("b-1", "b"), ("a-2", "a")):
            store.create_experiment(new_experiment(name, model=model))
        assert [each.id for each in store.experiments()] == ["a-2", "b-1", "a-1"]
        assert [each.id for each in store.experiments("a")] == ["a-2", "a-1"]

    def test_experiments_of_some_kinds_are_listed(self, store: ExperimentStore) -> None:
        for kind in ("begin", "job", "finetune"):
            store.create_experiment(new_experiment(f"a-{kind}", model="a", kind=kind))
        assert [each.kind for each in store.experiments("a", kinds=SEARCHES)] == ["finetune", "begin"]
        assert [each.kind for each in store.experiments(kinds=["job"])] == ["job"]
        with pytest.raises(ConfigError, match="one of begin, finetune, job"):
            new_experiment(kind="jobs")

    def test_an_unknown_experiment_is_named(self, store: ExperimentStore) -> None:
        for call in (
            lambda: store.experiment("nope"),
            lambda: store.history("nope"),
            lambda: store.check_open("nope"),
            lambda: store.record_event("nope", None, "noted", "ada", {}),
            lambda: store.set_limits("nope", max_trials=1, by="ada"),
            lambda: store.intend_step(StepId("nope", 0), submission_key="k", model_dir="", payload={}),
        ):
            with pytest.raises(NotFoundError, match="'nope'"):
                call()

    @pytest.mark.parametrize("name", ["a\0b", "\ud800"])
    def test_a_name_that_no_database_takes_is_refused_in_words(
        self, store: ExperimentStore, name: str
    ) -> None:
        for use in (
            lambda: store.experiment(name),
            lambda: store.check_open(name),
            lambda: store.record_event(name, None, "noted", "ada", {}),
        ):
            with pytest.raises((NotFoundError, ConfigError), match=r"no experiment|no name in the store"):
                use()

    def test_limits_change_one_by_one_and_the_event_says_who(self, store: ExperimentStore) -> None:
        store.create_experiment(new_experiment())
        deadline = START + timedelta(hours=1)
        assert store.set_limits("model-1", max_trials=20, by="ada").max_trials == 20
        changed = store.set_limits("model-1", deadline=deadline, by="bob")
        assert (changed.max_trials, changed.deadline) == (20, deadline)
        assert store.set_limits("model-1", max_trials=None, by="ada").max_trials is None
        store.set_limits("model-1", max_trials=None, by="ada")  # changes nothing, so tells nothing
        told = [(each.kind, each.by, each.data) for each in store.events("model-1")[1:]]
        assert told == [
            ("limit_changed", "ada", {"max_trials": {"from": 16, "to": 20}}),
            ("limit_changed", "bob", {"deadline": {"from": None, "to": deadline.isoformat()}}),
            ("limit_changed", "ada", {"max_trials": {"from": 20, "to": None}}),
        ]

    @pytest.mark.parametrize("limits", [{"max_trials": 0}, {"deadline": datetime(2026, 1, 1)}])
    def test_senseless_limits_are_refused(self, store: ExperimentStore, limits: dict[str, Any]) -> None:
        store.create_experiment(new_experiment())
        with pytest.raises(ConfigError):
            store.set_limits("model-1", **limits, by="ada")
        with pytest.raises(ConfigError):
            new_experiment(**limits)

    def test_limits_of_an_experiment_that_has_ended_are_refused(self, store: ExperimentStore) -> None:
        store.create_experiment(new_experiment())
        store.set_experiment_state("model-1", ExperimentState.CANCELLED, "enough", "ada")
        with pytest.raises(StateError, match=r"has ended \(CANCELLED\)"):
            store.set_limits("model-1", max_trials=20, by="ada")
        assert store.experiment("model-1").max_trials == 16

    def test_limits_count_with_the_idle_tasks_and_the_begin_of_runs_at_work(
        self, store: ExperimentStore
    ) -> None:
        hour = timedelta(hours=1)

        def most() -> tuple[int | None, datetime | None]:
            """The maximum that the tasks at work can reach, and the end of an hour from their begin."""
            changed = store.change_limits("model-1", trials=100, duration=hour, by="ada").experiment
            return changed.max_trials, changed.deadline

        first = store.create_experiment(new_experiment())
        assert most() == (16, first.created_at + hour)
        ask(store, 0)
        store.open_run("model-1", run_id="more", more=3, deadline=None, by="ada")
        begun = next(each.at for each in store.events("model-1") if each.kind == "extended")
        assert most() == (16 + 3, begun + hour)
        ended = ExperimentState.FINISHED
        store.close_run("model-1", run_id=first.run_id, state=ended, reason="", by="ada")
        assert most() == (1 + 3, begun + hour)
        with pytest.raises(NotFoundError, match="'nope'"):
            store.change_limits("nope", trials=3, duration=None, by="ada")

    def test_an_experiment_ends_once_and_can_be_extended(self, store: ExperimentStore) -> None:
        store.create_experiment(new_experiment())
        ended = store.set_experiment_state("model-1", ExperimentState.FINISHED, "all done", "close")
        assert (ended.state, ended.reason) == (ExperimentState.FINISHED, "all done")
        assert ended.ended_at is not None
        assert store.set_experiment_state("model-1", ExperimentState.FINISHED, "again", "close") == ended
        with pytest.raises(StateError, match="FINISHED to CANCELLED"):
            store.set_experiment_state("model-1", ExperimentState.CANCELLED, "", "ada")
        extended = store.set_experiment_state("model-1", ExperimentState.RUNNING, "4 more", "ada")
        assert extended.ended_at is None
        assert kinds(store) == ["created", "state_changed", "state_changed"]

    @pytest.mark.parametrize("value", [math.nan, math.inf, object(), {1: 2}])
    def test_a_snapshot_that_is_not_plain_json_is_refused(self, store: ExperimentStore, value: Any) -> None:
        with pytest.raises(ConfigError, match=r"snapshot\.tuner\[0\]"):
            store.create_experiment(new_experiment(snapshot={"tuner": [value]}))
        assert store.experiments() == []


class TestAsking:
    @pytest.fixture(autouse=True)
    def _experiment(self, store: ExperimentStore) -> None:
        store.create_experiment(new_experiment())

    def test_trials_are_numbered_from_zero(self, store: ExperimentStore) -> None:
        asked = [ask(store, index, source="custom", seen=index) for index in range(3)]
        assert [each.number for each in asked] == [0, 1, 2]
        assert store.trials("model-1") == asked
        assert store.experiment("model-1").asks == 3
        assert store.trial("model-1", 1) == asked[1]
        assert asked[1].task == task(1)
        assert (asked[1].source, asked[1].seen, asked[1].state) == ("custom", 1, TrialState.WAITING)

    def test_a_task_finds_the_trial_it_owns(self, store: ExperimentStore) -> None:
        assert store.trial_of(task(0)) is None
        asked = ask(store, 0)
        assert store.trial_of(task(0)) == asked

    def test_an_ask_that_missed_another_one_must_be_computed_again(self, store: ExperimentStore) -> None:
        ask(store, 0)
        with pytest.raises(AskConflictError) as caught:
            ask(store, 1, expected_asks=0)
        assert isinstance(caught.value, RetryableError)
        assert len(store.trials("model-1")) == 1

    def test_a_task_that_asks_again_gets_the_trial_it_has(self, store: ExperimentStore) -> None:
        first = ask(store, 0)
        store.set_experiment_state("model-1", ExperimentState.CANCELLED, "", "ada")
        assert ask(store, 0, expected_asks=7, parameters={"x": 9}) == first
        assert kinds(store).count("asked") == 1

    def test_no_trial_beyond_the_maximum_number_until_it_is_raised(self, store: ExperimentStore) -> None:
        store.set_limits("model-1", max_trials=1, by="ada")
        store.check_open("model-1")
        ask(store, 0)
        with pytest.raises(NoMoreTrials):
            store.check_open("model-1")
        with pytest.raises(NoMoreTrials, match="maximum of 1 trials") as caught:
            ask(store, 1)
        assert "maximum of 1" in caught.value.reason
        store.set_limits("model-1", max_trials=2, by="ada")
        assert ask(store, 1).number == 1

    def test_no_trial_after_the_deadline_until_it_is_moved(self, store: ExperimentStore) -> None:
        store.set_limits("model-1", deadline=START, by="ada")
        with pytest.raises(NoMoreTrials, match="maximum duration at 2026-01-01 00:00:00 UTC"):
            ask(store, 0)
        store.set_limits("model-1", deadline=START + timedelta(days=1), by="ada")
        assert ask(store, 0).number == 0

    @pytest.mark.parametrize("state", [ExperimentState.PAUSED, ExperimentState.FINISHED])
    def test_only_a_running_experiment_gets_trials(
        self, store: ExperimentStore, state: ExperimentState
    ) -> None:
        store.set_experiment_state("model-1", state, "", "ada")
        with pytest.raises(StateError, match=state.value):
            store.check_open("model-1")
        with pytest.raises(StateError, match=state.value) as caught:
            ask(store, 0)
        assert not isinstance(caught.value, NoMoreTrials)

    def test_a_task_owns_one_trial_of_one_experiment(self, store: ExperimentStore) -> None:
        ask(store, 0)
        store.create_experiment(new_experiment("model-2"))
        with pytest.raises(StateError, match="already has a trial of experiment 'model-1'"):
            store.record_ask(
                "model-2", expected_asks=0, task=task(0), task_max_tries=1, parameters={}, seen=0
            )

    @pytest.mark.parametrize("value", [math.nan, -math.inf])
    def test_parameters_that_are_not_finite_are_refused(self, store: ExperimentStore, value: float) -> None:
        with pytest.raises(ConfigError, match=r"parameters\.x"):
            ask(store, 0, parameters={"x": value})

    def test_parameters_keep_their_types_order_and_every_digit(self, store: ExperimentStore) -> None:
        parameters = {
            "z": 0.1 + 0.2,
            "a": 1,
            "b": 1.0,
            "c": True,
            "d": None,
            "e": "数",
            "f": {"_name": "q", "k": [1e-300]},
        }
        ask(store, 0, parameters=parameters)
        read = store.trial("model-1", 0).parameters
        assert json.dumps(read) == json.dumps(parameters)

    def test_threads_never_get_the_same_number_nor_lose_an_ask(
        self, store: ExperimentStore, url: str
    ) -> None:
        store.set_limits("model-1", max_trials=None, by="ada")
        gate = threading.Barrier(8)

        def several(worker: int) -> list[int]:
            with ExperimentStore.open(url) as own:
                gate.wait()
                return [_ask_until_recorded(own, worker * 4 + at) for at in range(4)]

        with ThreadPoolExecutor(8) as threads:
            numbers = [number for each in threads.map(several, range(8)) for number in each]
        assert sorted(numbers) == list(range(32))
        trials = store.trials("model-1")
        assert [each.number for each in trials] == list(range(32))
        assert {each.task.map_index for each in trials} == set(range(32))
        assert store.experiment("model-1").asks == kinds(store).count("asked") == 32

    def test_processes_never_get_the_same_number_nor_lose_an_ask(
        self, store: ExperimentStore, url: str
    ) -> None:
        code = """if True:
            import json, sys
            from include.errors import AskConflictError
            from include.store import ExperimentStore, TaskKey
            store, numbers = ExperimentStore.open(sys.argv[1]), []
            for at in range(5):
                task = TaskKey("d", "r", "t", int(sys.argv[2]) * 5 + at)
                while len(numbers) == at:
                    asks = store.history("model-1").asks
                    try:
                        numbers.append(store.record_ask("model-1", expected_asks=asks, task=task,
                            task_max_tries=0, parameters={}, seen=0).number)
                    except AskConflictError:
                        pass
            print(json.dumps(numbers))
        """
        processes = [run_python(code, url, str(worker)) for worker in range(3)]
        numbers = [number for each in processes for number in output(each)]
        assert sorted(numbers) == list(range(15))
        assert len(store.trials("model-1")) == 15

    def test_two_tries_of_one_task_that_ask_at_once_get_one_trial(self, store: ExperimentStore) -> None:
        gate = threading.Barrier(4)

        def same_task(_: int) -> Trial:
            gate.wait()
            return ask(store, 0)

        with ThreadPoolExecutor(4) as threads:
            asked = list(threads.map(same_task, range(4)))
        assert asked == [asked[0]] * 4
        assert store.experiment("model-1").asks == 1


def _ask_until_recorded(store: ExperimentStore, index: int) -> int:
    while True:
        asks = store.history("model-1").asks
        try:
            return ask(store, index, expected_asks=asks).number
        except AskConflictError:
            continue


class TestMovingTrials:
    @pytest.fixture(autouse=True)
    def _experiment(self, store: ExperimentStore) -> None:
        store.create_experiment(new_experiment())

    def test_a_trial_carries_the_times_of_its_states(self, store: ExperimentStore) -> None:
        run_trial(store, 0)
        trial = store.move_trial(
            "model-1",
            0,
            epoch=0,
            to=TrialState.SUCCEEDED,
            reason="done",
            metric=0.75,
            metrics={"auc": 0.75, "loss": math.nan},
        )
        assert trial == store.trial("model-1", 0) or math.isnan(trial.metrics["loss"])
        assert (trial.metric, trial.metrics["auc"], trial.reason) == (0.75, 0.75, "done")
        assert trial.submitted_at is not None
        assert trial.started_at is not None
        assert trial.ended_at is not None
        assert trial.asked_at < trial.submitted_at < trial.started_at < trial.ended_at
        moves = [each.kind for each in store.events("model-1") if not each.kind.startswith("step_")]
        assert moves == ["created", "asked", "submitted", "running", "told"]

    def test_the_same_end_twice_changes_nothing_and_another_end_is_refused(
        self, store: ExperimentStore
    ) -> None:
        run_trial(store, 0)
        ended = end(store, 0, TrialState.SUCCEEDED, 0.5)
        before = store.events("model-1")
        assert end(store, 0, TrialState.SUCCEEDED, 0.9) == ended
        with pytest.raises(StateError):
            end(store, 0, TrialState.FAILED)
        assert store.events("model-1") == before

    def test_a_jump_the_states_do_not_know_is_refused(self, store: ExperimentStore) -> None:
        ask(store, 0)
        with pytest.raises(StateError, match="WAITING to RUNNING"):
            store.move_trial("model-1", 0, epoch=0, to=TrialState.RUNNING)

    def test_a_metric_before_the_end_is_refused(self, store: ExperimentStore) -> None:
        ask(store, 0)
        with pytest.raises(StateError, match="when it ends"):
            store.move_trial("model-1", 0, epoch=0, to=TrialState.SUBMITTED, metric=0.5)

    def test_an_unknown_trial_is_named(self, store: ExperimentStore) -> None:
        with pytest.raises(NotFoundError, match="no trial 3"):
            store.move_trial("model-1", 3, epoch=0, to=TrialState.SUBMITTED)
        with pytest.raises(NotFoundError, match="no trial 3"):
            store.trial("model-1", 3)

    def test_a_reason_is_kept_without_the_tokens_of_its_links(self, store: ExperimentStore) -> None:
        ask(store, 0)
        link = "see http://logview.example/?h=x&token=c2VjcmV0 (bad\x00byte \ud800)"
        trial = store.move_trial("model-1", 0, epoch=0, to=TrialState.FAILED, reason=link)
        assert "c2VjcmV0" not in trial.reason
        assert "c2VjcmV0" not in str(store.events("model-1"))
        assert trial.reason.startswith("see http://logview.example/?h=x&token=***")
        assert store.trial("model-1", 0) == trial


class TestHistory:
    @pytest.fixture(autouse=True)
    def _experiment(self, store: ExperimentStore) -> None:
        store.create_experiment(new_experiment())

    def test_trials_are_told_in_the_order_in_which_they_ended(self, store: ExperimentStore) -> None:
        for index in range(4):
            run_trial(store, index, index / 10)
        end(store, 2, TrialState.SUCCEEDED, 0.2)
        end(store, 0, TrialState.FAILED)
        end(store, 3, TrialState.SUCCEEDED, 0.3)
        history = store.history("model-1")
        assert history.asks == 4
        assert [(each.number, each.value, each.succeeded) for each in history.ended] == [
            (2, 0.2, True),
            (0, None, False),
            (3, 0.3, True),
        ]
        assert [(each.number, each.value) for each in history.pending] == [(1, None)]
        assert history.ended[0].parameters == {"x": 0.2}
        assert history.objectives == {0: (0.0,), 1: (0.1,), 2: (0.2,), 3: (0.3,)}

    @pytest.mark.parametrize(("mode", "best"), [("maximize", 0.9), ("minimize", 0.1)])
    def test_an_early_stopped_trial_is_told_with_its_best_so_far(
        self, store: ExperimentStore, mode: str, best: float
    ) -> None:
        store.create_experiment(new_experiment("model-2", optimize_mode=mode))
        store.record_ask("model-2", expected_asks=0, task=task(9), task_max_tries=1, parameters={}, seen=0)
        step = StepId("model-2", 0)
        intend(store, step)
        store.record_results(step, [result(at, value) for at, value in enumerate((0.5, 0.9, math.nan, 0.1))])
        store.move_trial("model-2", 0, epoch=0, to=TrialState.SUBMITTED)
        store.move_trial("model-2", 0, epoch=0, to=TrialState.EARLY_STOPPED, reason="below the median")
        (told,) = store.history("model-2").ended
        assert (told.value, told.succeeded) == (best, True)

    def test_a_final_metric_of_nan_or_infinity_is_not_a_missing_one(self, store: ExperimentStore) -> None:
        for index, metric in enumerate((math.nan, math.inf, -math.inf, None)):
            run_trial(store, index)
            end(store, index, TrialState.SUCCEEDED, metric)
        values = [each.value for each in store.history("model-1").ended]
        assert math.isnan(values[0] or 0)
        assert values[1:] == [math.inf, -math.inf, None]
        assert [each.metric for each in store.trials("model-1")][1:] == [math.inf, -math.inf, None]


class TestEpochs:
    @pytest.fixture(autouse=True)
    def _experiment(self, store: ExperimentStore) -> None:
        store.create_experiment(new_experiment())

    def test_a_cleared_trial_starts_anew_with_its_number_and_parameters(self, store: ExperimentStore) -> None:
        run_trial(store, 0, 0.1, 0.2)
        ended = end(store, 0, TrialState.SUCCEEDED, 0.2)
        cleared = store.begin_epoch("model-1", 0, task=task(0), task_max_tries=3)
        assert (cleared.epoch, cleared.task_max_tries, cleared.state) == (1, 3, TrialState.WAITING)
        assert (cleared.number, cleared.parameters) == (0, ended.parameters)
        assert (cleared.metric, cleared.reason, cleared.ended_at, cleared.submitted_at) == (
            None,
            "",
            None,
            None,
        )
        assert kinds(store)[-1] == "cleared"
        history = store.history("model-1")
        assert (history.asks, history.ended, len(history.pending)) == (1, (), 1)

    def test_an_automatic_retry_is_no_new_epoch(self, store: ExperimentStore) -> None:
        run_trial(store, 0, 0.1)
        before = store.trial("model-1", 0)
        assert store.begin_epoch("model-1", 0, task=task(0), task_max_tries=1) == before
        assert "cleared" not in kinds(store)

    def test_results_of_the_older_epoch_are_kept_but_do_not_count(self, store: ExperimentStore) -> None:
        run_trial(store, 0, 0.1, 0.2)
        store.begin_epoch("model-1", 0, task=task(0), task_max_tries=2)
        new = StepId("model-1", 0, epoch=1)
        intend(store, new)
        store.record_results(new, [result(0, 0.7)])
        assert store.objective_histories("model-1") == {0: [0.7]}
        assert store.history("model-1").objectives == {0: (0.7,)}
        assert [each.objective for each in store.results("model-1", 0)] == [0.7]
        assert [each.objective for each in store.results("model-1", all_epochs=True)] == [0.1, 0.2, 0.7]

    def test_what_an_older_epoch_still_does_is_refused(self, store: ExperimentStore) -> None:
        old = run_trial(store, 0, 0.1)
        store.begin_epoch("model-1", 0, task=task(0), task_max_tries=2)
        with pytest.raises(StaleEpochError, match="in epoch 1, not 0"):
            store.record_results(old, [result(50)])
        with pytest.raises(StaleEpochError):
            end(store, 0, TrialState.SUCCEEDED, 0.1)
        with pytest.raises(StaleEpochError):
            intend(store, StepId("model-1", 0, attempt=1))

    def test_jobs_of_an_older_epoch_stay_open_until_they_are_stopped(self, store: ExperimentStore) -> None:
        old = run_trial(store, 0)
        store.begin_epoch("model-1", 0, task=task(0), task_max_tries=2)
        new = intend(store, StepId("model-1", 0, epoch=1))
        assert [each.id for each in store.open_steps()] == [old, new.id]
        store.end_step(old, StepState.STOPPED, "cleared")
        assert [each.id for each in store.open_steps()] == [new.id]

    def test_a_trial_cleared_after_its_end_ends_again_later_than_the_others(
        self, store: ExperimentStore
    ) -> None:
        for index in range(2):
            run_trial(store, index)
            end(store, index, TrialState.SUCCEEDED, 0.5)
        store.begin_epoch("model-1", 0, task=task(0), task_max_tries=2)
        store.move_trial("model-1", 0, epoch=1, to=TrialState.FAILED)
        assert [each.number for each in store.history("model-1").ended] == [1, 0]

    def test_a_clear_can_bring_new_parameters(self, store: ExperimentStore) -> None:
        ask(store, 0)
        new = {"bizdate": "20220617", "checkpoint": "oss://b/model.ckpt-7"}
        cleared = store.begin_epoch("model-1", 0, task=task(0), task_max_tries=2, parameters=new)
        assert (cleared.epoch, cleared.parameters) == (1, new)
        assert store.trial("model-1", 0) == cleared
        assert store.events("model-1")[-1].data["parameters"] == new
        retried = store.begin_epoch("model-1", 0, task=task(0), task_max_tries=2, parameters={"x": 1})
        assert retried == cleared
        assert store.begin_epoch("model-1", 0, task=task(0), task_max_tries=3).parameters == new
        with pytest.raises(ConfigError, match=r"parameters\.x"):
            store.begin_epoch("model-1", 0, task=task(0), task_max_tries=4, parameters={"x": math.nan})

    def chain(self, store: ExperimentStore, *ends: StepState, epoch: int = 0) -> list[StepId]:
        """A trial of several days, each ended so."""
        ids = [StepId("model-1", 0, day, epoch=epoch) for day in range(len(ends))]
        for step, state in zip(ids, ends, strict=True):
            intend(store, step)
            store.record_job(step, f"job-{epoch}-{step.step}")
            store.record_results(step, [result(10, 0.1 * (1 + step.step))])
            store.end_step(step, state, "")
        return ids

    def test_a_failed_chain_keeps_its_days_before_the_last_one_with_jobs_and_results(
        self, store: ExperimentStore
    ) -> None:
        ask(store, 0)
        old = self.chain(store, StepState.SUCCEEDED, StepState.SUCCEEDED, StepState.FAILED)
        before = store.steps("model-1", 0)
        end(store, 0, TrialState.FAILED)

        store.begin_epoch("model-1", 0, task=task(0), task_max_tries=2)

        kept = [StepId("model-1", 0, day, epoch=1) for day in (0, 1)]
        assert [each.id for each in store.steps("model-1", 0)] == [old[2], *kept]
        assert [(s.job_id, s.submission_key, s.model_dir) for s in store.steps("model-1", 0)[1:]] == [
            (s.job_id, s.submission_key, s.model_dir) for s in before[:2]
        ]
        assert [each.step for each in store.results("model-1", 0)] == kept
        again = store.latest_step("model-1", 0, epoch=1)
        assert again is not None
        assert again.id == kept[1]
        assert intend(store, StepId("model-1", 0, 2, epoch=1)).job_id is None

    def test_a_chain_whose_next_day_could_not_begin_trains_its_last_day_again_unless_it_is_to_be_kept(
        self, store: ExperimentStore
    ) -> None:
        ask(store, 0)
        old = self.chain(store, StepState.SUCCEEDED, StepState.SUCCEEDED)
        store.move_trial("model-1", 0, epoch=0, to=TrialState.FAILED, reason="its model is gone")
        store.begin_epoch("model-1", 0, task=task(0), task_max_tries=2)
        first = StepId("model-1", 0, 0, epoch=1)
        assert [each.id for each in store.steps("model-1", 0)] == [old[1], first]

        store.move_trial("model-1", 0, epoch=1, to=TrialState.FAILED, reason="no permission")
        store.begin_epoch("model-1", 0, task=task(0), task_max_tries=3, keep_last=True)
        assert [each.id for each in store.steps("model-1", 0)] == [old[1], StepId("model-1", 0, 0, epoch=2)]

    @pytest.mark.parametrize("state", [TrialState.CANCELLED, TrialState.EARLY_STOPPED])
    def test_after_another_end_or_with_new_parameters_a_chain_keeps_nothing(
        self, store: ExperimentStore, state: TrialState
    ) -> None:
        ask(store, 0)
        old = self.chain(store, StepState.SUCCEEDED, StepState.STOPPED)
        if state is TrialState.EARLY_STOPPED:
            store.move_trial("model-1", 0, epoch=0, to=TrialState.SUBMITTED)
            store.move_trial("model-1", 0, epoch=0, to=TrialState.RUNNING)
        end(store, 0, state)
        store.begin_epoch("model-1", 0, task=task(0), task_max_tries=2)
        assert [each.id for each in store.steps("model-1", 0)] == old
        new = self.chain(store, StepState.SUCCEEDED, StepState.FAILED, epoch=1)
        store.move_trial("model-1", 0, epoch=1, to=TrialState.FAILED)
        store.begin_epoch("model-1", 0, task=task(0), task_max_tries=3, parameters={"x": 0.2})
        assert [each.id for each in store.steps("model-1", 0)] == [*old, *new]
        assert store.results("model-1", 0) == []

    def test_two_tries_that_clear_at_once_begin_one_epoch(self, store: ExperimentStore) -> None:
        ask(store, 0)
        self.chain(store, StepState.SUCCEEDED, StepState.SUCCEEDED, StepState.FAILED)
        end(store, 0, TrialState.FAILED)
        gate = threading.Barrier(4)

        def clear(_: int) -> int:
            gate.wait()
            return store.begin_epoch("model-1", 0, task=task(0), task_max_tries=2).epoch

        with ThreadPoolExecutor(4) as threads:
            assert set(threads.map(clear, range(4))) == {1}
        assert [(s.id.step, s.id.epoch) for s in store.steps("model-1", 0)] == [(2, 0), (0, 1), (1, 1)]

    def test_trials_are_found_by_their_dag_run(self, store: ExperimentStore) -> None:
        store.create_experiment(new_experiment("model-2", kind="job"))
        ask(store, 0)
        store.record_ask(
            "model-2",
            expected_asks=0,
            task=TaskKey("begin_search_model", "manual__1", "train"),
            task_max_tries=1,
            parameters={},
            seen=0,
        )
        ask(store, 1, task=TaskKey("begin_search_model", "manual__2", "trial", 0))
        found = store.trials_of_run(RunKey("begin_search_model", "manual__1"))
        assert [(each.experiment_id, each.number) for each in found] == [("model-1", 0), ("model-2", 0)]
        assert store.trials_of_run(RunKey("begin_search", "manual__1")) == []

    def test_only_the_task_that_owns_a_trial_can_clear_it(self, store: ExperimentStore) -> None:
        ask(store, 0)
        with pytest.raises(StateError, match="belongs to task"):
            store.begin_epoch("model-1", 0, task=task(1), task_max_tries=2)


class TestSteps:
    @pytest.fixture(autouse=True)
    def _experiment(self, store: ExperimentStore) -> None:
        store.create_experiment(new_experiment())
        ask(store, 0)

    STEP = StepId("model-1", 0)

    def test_a_step_is_known_before_its_job_is(self, store: ExperimentStore) -> None:
        intended = intend(store, self.STEP)
        assert (intended.state, intended.job_id) == (StepState.INTENDED, None)
        assert store.step_by_key(submission_key(store.uuid, self.STEP)) == intended
        assert store.latest_step("model-1", 0, epoch=0) == intended
        assert store.open_steps() == store.steps("model-1") == [intended]

    def test_intending_again_returns_the_step_as_it_is_now(self, store: ExperimentStore) -> None:
        intend(store, self.STEP)
        submitted = store.record_job(self.STEP, "job-1")
        assert intend(store, self.STEP) == submitted

    def test_another_payload_for_the_same_step_is_refused(self, store: ExperimentStore) -> None:
        step = intend(store, self.STEP)
        with pytest.raises(StateError, match="another payload"):
            store.intend_step(
                self.STEP, submission_key=step.submission_key, model_dir=step.model_dir, payload={}
            )

    def test_a_job_goes_through_its_states_once(self, store: ExperimentStore) -> None:
        intend(store, self.STEP)
        assert store.record_job(self.STEP, "job-1").state is StepState.SUBMITTED
        assert store.step_running(self.STEP).state is StepState.RUNNING
        running = store.step_running(self.STEP)
        assert store.record_job(self.STEP, "job-1") == running
        ended = store.end_step(self.STEP, StepState.SUCCEEDED, worker_seconds=12.25)
        assert ended.worker_seconds == 12.25
        assert store.end_step(self.STEP, StepState.SUCCEEDED) == ended
        assert [each for each in kinds(store) if each.startswith("step_")] == [
            "step_intended",
            "step_submitted",
            "step_running",
            "step_succeeded",
        ]
        assert ended.submitted_at is not None
        assert ended.started_at is not None
        assert ended.ended_at is not None
        assert ended.intended_at < ended.submitted_at < ended.started_at < ended.ended_at

    def test_a_second_job_for_the_same_step_is_refused(self, store: ExperimentStore) -> None:
        intend(store, self.STEP)
        store.record_job(self.STEP, "job-1")
        with pytest.raises(StateError, match="has job job-1, it can't have job-2"):
            store.record_job(self.STEP, "job-2")

    def test_a_different_end_is_refused(self, store: ExperimentStore) -> None:
        intend(store, self.STEP)
        store.end_step(self.STEP, StepState.FAILED, "out of memory")
        with pytest.raises(StateError, match="ended as FAILED"):
            store.end_step(self.STEP, StepState.SUCCEEDED)
        with pytest.raises(StateError, match="not an end"):
            store.end_step(self.STEP, StepState.RUNNING)
        with pytest.raises(StateError, match="can't be running"):
            store.step_running(self.STEP)

    def test_a_job_found_after_its_step_was_closed_is_not_forgotten(self, store: ExperimentStore) -> None:
        intend(store, self.STEP)
        store.end_step(self.STEP, StepState.STOPPED, "never found")
        late = store.record_job(self.STEP, "job-1")
        assert (late.job_id, late.state) == ("job-1", StepState.STOPPED)

    def test_only_the_last_attempt_counts(self, store: ExperimentStore) -> None:
        first, second = self.STEP, StepId("model-1", 0, attempt=1)
        intend(store, first)
        store.record_results(first, [result(0, 0.1), result(10, 0.2)])
        store.end_step(first, StepState.FAILED)
        replaced = intend(store, second)
        assert store.latest_step("model-1", 0, epoch=0) == replaced
        assert store.objective_histories("model-1") == {}
        store.record_results(second, [result(0, 0.3)])
        assert store.objective_histories("model-1") == {0: [0.3]}
        assert [each.step for each in store.results("model-1")] == [second]

    def test_a_chain_of_steps_gives_one_history(self, store: ExperimentStore) -> None:
        days = [StepId("model-1", 0, step=day) for day in range(3)]
        for day, objective in zip(days, (0.5, 0.6, 0.7), strict=True):
            intend(store, day)
            store.record_results(day, [result(100, objective)])
        assert store.objective_histories("model-1") == {0: [0.5, 0.6, 0.7]}
        latest = store.latest_step("model-1", 0, step=1, epoch=0)
        assert latest is not None
        assert latest.id == days[1]
        assert store.latest_step("model-1", 0, step=3, epoch=0) is None
        assert [each.id for each in store.steps("model-1", 0)] == days

    def test_an_unknown_step_is_refused(self, store: ExperimentStore) -> None:
        for call in (
            lambda: store.step_running(self.STEP),
            lambda: store.record_job(self.STEP, "job"),
            lambda: store.end_step(self.STEP, StepState.FAILED),
            lambda: store.record_results(self.STEP, [result(0)]),
        ):
            with pytest.raises(NotFoundError, match="no step 0 of trial 0 of 'model-1'"):
                call()
        assert store.step_by_key("unknown") is None

    def test_a_payload_with_a_secret_is_refused(self, store: ExperimentStore) -> None:
        with pytest.raises(ConfigError, match="accessKeySecret"):
            store.intend_step(
                self.STEP, submission_key="k", model_dir="", payload={"accessKeySecret": "s3cr3t"}
            )


class TestResults:
    @pytest.fixture(autouse=True)
    def _experiment(self, store: ExperimentStore) -> None:
        store.create_experiment(new_experiment())
        ask(store, 0)
        intend(store, StepId("model-1", 0))

    STEP = StepId("model-1", 0)

    def test_results_seen_twice_are_recorded_once(self, store: ExperimentStore) -> None:
        assert store.record_results(self.STEP, [result(10), result(20)]) == 2
        assert store.record_results(self.STEP, [result(20, 0.9), result(30), result(30)]) == 1
        assert store.record_results(self.STEP, []) == 0
        read = store.results("model-1")
        assert [each.global_step for each in read] == [10, 20, 30]
        assert [each.objective for each in read] == [0.5, 0.5, 0.5]

    def test_results_are_in_step_order_however_they_came(self, store: ExperimentStore) -> None:
        store.record_results(self.STEP, [result(30, 0.3)])
        store.record_results(self.STEP, [result(20, 0.2), result(10, 0.1)])
        assert store.objective_histories("model-1") == {0: [0.1, 0.2, 0.3]}

    def test_two_that_record_the_same_results_at_once_count_each_once(self, store: ExperimentStore) -> None:
        results = [result(at) for at in range(20)]
        with ThreadPoolExecutor(4) as threads:
            new = list(threads.map(lambda _: store.record_results(self.STEP, results), range(4)))
        assert sum(new) == 20
        assert len(store.results("model-1")) == 20

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        objective=st.floats(allow_nan=True),
        metrics=st.dictionaries(st.text(max_size=5), st.floats(allow_nan=True), max_size=3),
        wall_time=st.floats(allow_nan=False),
    )
    def test_every_float_comes_back_exactly(
        self, store: ExperimentStore, objective: float, metrics: dict[str, float], wall_time: float
    ) -> None:
        global_step = len(store.results("model-1"))
        store.record_results(self.STEP, [Result(global_step, objective, metrics, wall_time)])
        read = store.results("model-1")[-1]
        assert repr((read.objective, read.wall_time)).replace("-0.0", "0.0") == repr(
            (objective, wall_time)
        ).replace("-0.0", "0.0")
        assert repr(read.metrics) == repr(metrics)

    def test_listing_takes_as_many_queries_however_many_trials(
        self, store: ExperimentStore, url: str
    ) -> None:
        def queries(call: Callable[[], object]) -> int:
            seen: list[str] = []

            def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
                if statement.startswith("SELECT"):
                    seen.append(statement)

            sa.event.listen(sa.Engine, "before_cursor_execute", count)
            try:
                call()
            finally:
                sa.event.remove(sa.Engine, "before_cursor_execute", count)
            return len(seen)

        for index in range(1, 6):
            run_trial(store, index, 0.1, 0.2)
        assert queries(lambda: store.trials("model-1")) == 1
        assert queries(lambda: store.objective_histories("model-1")) == 1
        assert queries(lambda: store.results("model-1")) == 1
        assert queries(lambda: store.steps("model-1")) == 1
        assert queries(lambda: store.history("model-1")) == 3


class TestEventsAndPools:
    def test_events_say_who_when_and_what(self, store: ExperimentStore) -> None:
        store.create_experiment(new_experiment())
        store.record_event("model-1", None, "notified", "close", {"channel": "dingtalk", "ok": True})
        store.record_event(None, None, "reconciled", "reconcile", {"stopped": 2})
        last = store.events("model-1")[-1]
        assert (last.kind, last.by, last.data) == ("notified", "close", {"channel": "dingtalk", "ok": True})
        assert last.at == START + timedelta(seconds=3)
        (alone,) = store.events(None)
        assert (alone.experiment_id, alone.data) == (None, {"stopped": 2})

    def test_happenings_are_of_the_whole_experiment_and_cancelled_trials_newest_first(
        self, store: ExperimentStore
    ) -> None:
        store.create_experiment(new_experiment())
        store.record_event(None, None, "reconciled", "reconcile", {})
        for index in range(2):
            run_trial(store, index, 0.5)
        end(store, 0, TrialState.CANCELLED)
        end(store, 1, TrialState.FAILED)
        store.set_limits("model-1", max_trials=2, by="ann")
        store.give_up_task("model-1", task(2))
        told = [(each.kind, each.trial) for each in store.happenings("model-1", 9)]
        assert told == [("limit_changed", None), ("cancelled", 0), ("created", None)]
        assert [each.kind for each in store.happenings("model-1", 1)] == ["limit_changed"]

    @pytest.mark.parametrize(
        "data",
        [
            {"access_key_id": "LTAI"},
            {"connection": {"password": "x"}},
            {"links": ["http://logview.example/logview/?h=1&token=abc"]},
            {"url": "http://bucket.example/x?OSSAccessKeyId=LTAI&Signature=abc"},
        ],
    )
    def test_an_event_with_a_key_or_a_signed_link_is_refused(
        self, store: ExperimentStore, data: dict[str, Any]
    ) -> None:
        with pytest.raises(ConfigError):
            store.record_event(None, None, "noted", "ada", data)
        assert store.events(None) == []

    def test_pools_are_remembered_with_their_slots(self, store: ExperimentStore) -> None:
        assert store.pools() == {}
        for name, slots in (("easyrec_b", 4), ("easyrec_a", 1), ("easyrec_b", 2), ("easyrec_b", 2)):
            store.record_pool(name, slots)
        assert store.pools() == {"easyrec_a": 1, "easyrec_b": 2}
        assert [each.data["slots"] for each in store.events(None)] == [4, 1, 2]


class TestTrouble:
    def test_a_store_that_stays_locked_is_a_retryable_error(self, store: ExperimentStore, url: str) -> None:
        store.create_experiment(new_experiment())
        holder = Database(url)
        impatient = ExperimentStore.open(url, lock_timeout=1)

        def hold(connection: sa.Connection) -> None:
            connection.execute(schema.experiment.update().values(reason="held"))
            with pytest.raises(StoreUnavailableError) as caught:
                ask(impatient, 0)
            assert isinstance(caught.value, RetryableError)
            assert impatient.experiment("model-1").reason == ""  # reading waits for nobody

        holder.write(hold)
        assert ask(impatient, 0).number == 0
        impatient.close()
        holder.close()

    def test_a_writer_waits_for_the_one_before_it(self, store: ExperimentStore, url: str) -> None:
        store.create_experiment(new_experiment())
        holder = Database(url)
        with ThreadPoolExecutor(1) as threads:

            def hold(connection: sa.Connection) -> Any:
                connection.execute(schema.experiment.update().values(asks=1))
                return threads.submit(ask, store, 1)

            assert holder.write(hold).result(timeout=30).number == 1
        holder.close()

    def test_a_read_sees_one_moment_whatever_others_write(self, store: ExperimentStore, url: str) -> None:
        store.create_experiment(new_experiment())
        reader = Database(url)
        count = sa.select(sa.func.count()).select_from(schema.trial)

        def count_around_an_ask(connection: sa.Connection) -> list[Any]:
            before = connection.scalar(count)
            ask(store, 0)
            return [before, connection.scalar(count)]

        assert reader.read(count_around_an_ask) == [0, 0]
        assert reader.read(lambda connection: connection.scalar(count)) == 1
        reader.close()

    def test_a_row_that_refers_to_nothing_is_refused(self, url: str) -> None:
        database = Database(url)
        orphan = schema.result.insert().values(
            step_id=7, global_step=0, objective=0.5, metrics={}, wall_time=0.0, recorded_at=START
        )
        with pytest.raises(PermanentError, match=r"(?i)foreign key"):
            database.write(lambda connection: connection.execute(orphan))
        database.close()

    def test_nothing_of_a_failed_write_is_kept(self, url: str, store: ExperimentStore) -> None:
        store.create_experiment(new_experiment())
        with pytest.raises(AskConflictError):
            ask(store, 0, expected_asks=5)
        assert (store.trials("model-1"), kinds(store)) == ([], ["created"])

    def test_a_forked_child_uses_connections_of_its_own(self, store: ExperimentStore, url: str) -> None:
        store.create_experiment(new_experiment())
        code = """if True:
            import json, os, sys
            from include.store import ExperimentStore
            store = ExperimentStore.open(sys.argv[1])
            child = os.fork()
            for _ in range(20):
                store.record_event("model-1", None, "child" if child == 0 else "parent", "me", {})
            if child == 0:
                os._exit(0)
            print(json.dumps(os.waitpid(child, 0)[1]))
        """
        assert output(run_python(code, url)) == 0
        recorded = kinds(store)
        assert (recorded.count("child"), recorded.count("parent")) == (20, 20)


@pytest.mark.postgres
class TestPostgres:
    @pytest.fixture
    def store_url(self, postgres_store: Callable[[], str]) -> str:
        return postgres_store()

    @pytest.fixture
    def database(self, postgres: Callable[[], str]) -> Iterator[Database]:
        opened = Database(postgres())
        yield opened
        opened.close()

    def test_a_connection_lost_between_transactions_is_replaced(self, database: Database) -> None:
        ask_pid = sa.text("SELECT pg_backend_pid()")
        first = database.read(lambda connection: connection.scalar(ask_pid))
        killer = Database(database.url.render_as_string(hide_password=False))
        killer.write(
            lambda connection: connection.execute(sa.select(sa.func.pg_terminate_backend(first, 5000)))
        )
        killer.close()
        assert database.read(lambda connection: connection.scalar(ask_pid)) != first

    def test_a_connection_lost_inside_a_transaction_is_tried_again_from_its_start(
        self, database: Database
    ) -> None:
        tries = []

        def work(connection: sa.Connection) -> int:
            tries.append(connection.scalar(sa.text("SELECT pg_backend_pid()")))
            if len(tries) == 1:
                connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
            return len(tries)

        assert database.write(work) == 2
        assert tries[0] != tries[1]

    def test_a_frozen_writer_does_not_hold_the_others_up(self, store_url: str) -> None:
        frozen, patient = Database(store_url, lock_timeout=2), ExperimentStore.open(store_url)
        patient.create_experiment(new_experiment())
        asked: list[Trial] = []

        def hold_while_another_asks(connection: sa.Connection) -> int | None:
            connection.execute(schema.experiment.update().values(reason="held"))
            if not asked:
                asked.append(ask(patient, 0))  # for the server, this session sits idle meanwhile
            return connection.scalar(sa.select(schema.experiment.c.asks))

        assert frozen.write(hold_while_another_asks) == 1
        assert asked[0].number == 0
        frozen.close()
        patient.close()

    def test_an_address_of_the_old_style_is_understood(self, postgres: Callable[[], str]) -> None:
        url = postgres().replace("postgresql+psycopg2://", "postgres://")
        with ExperimentStore.open(url) as opened:
            assert opened.pools() == {}

    def test_a_missing_database_is_named(self, postgres: Callable[[], str]) -> None:
        url = sa.make_url(postgres()).set(database="missing").render_as_string(hide_password=False)
        with pytest.raises(NotFoundError, match='"missing" does not exist'):
            ExperimentStore.open(url)

    def test_missing_rights_are_an_access_error(self, postgres: Callable[[], str]) -> None:
        url = sa.make_url(postgres())
        owner = Database(url.render_as_string(hide_password=False))
        owner.write(lambda connection: connection.exec_driver_sql(f"CREATE ROLE {url.database}_reader LOGIN"))
        owner.close()
        reader = url.set(username=f"{url.database}_reader").render_as_string(hide_password=False)
        from include.errors import AccessError

        with pytest.raises(AccessError, match="permission denied"):
            ExperimentStore.open(reader)

    def test_a_server_that_is_not_there_is_a_retryable_error_without_the_password(self) -> None:
        with pytest.raises(StoreUnavailableError) as caught:
            ExperimentStore.open("postgresql://ada:s3cr3t@127.0.0.1:1/store", lock_timeout=0.2)
        assert "s3cr3t" not in str(caught.value)


class TestRunsOfOneExperiment:
    """Which DAG runs are at work on an experiment decides when it ends."""

    def opened(self, store: ExperimentStore, run_id: str, more: int = 0, **options: Any) -> Experiment:
        return store.open_run("model-1", run_id=run_id, more=more, by="ada", **{"deadline": None, **options})

    def closed(
        self, store: ExperimentStore, run_id: str, state: ExperimentState, reason: str = ""
    ) -> Experiment:
        return store.close_run("model-1", run_id=run_id, state=state, reason=reason, by="ada")

    def test_an_experiment_ends_with_its_last_run(self, store: ExperimentStore) -> None:
        first = store.create_experiment(new_experiment()).run_id
        self.opened(store, "second", more=2)

        assert self.closed(store, first, ExperimentState.FAILED, "none").state is ExperimentState.RUNNING
        ended = self.closed(store, "second", ExperimentState.FINISHED)
        assert ended.state is ExperimentState.FINISHED
        assert ended.ended_at is not None

    def test_an_extension_counts_once_and_begins_anew_after_an_end(self, store: ExperimentStore) -> None:
        before = store.create_experiment(new_experiment())
        limit = (before.max_trials or 0) + 2
        soon, later = START + timedelta(days=1), START + timedelta(days=2)

        assert self.opened(store, "second", more=2, deadline=soon).max_trials == limit
        again = self.opened(store, "second", more=2, deadline=later)
        assert (again.max_trials, again.deadline) == (limit, soon)
        self.closed(store, before.run_id, ExperimentState.FINISHED)
        self.closed(store, "second", ExperimentState.FINISHED)
        anew = self.opened(store, "second", more=2, deadline=later)
        assert (anew.max_trials, anew.deadline, anew.state) == (limit, later, ExperimentState.RUNNING)

    def test_a_run_that_ends_again_may_end_otherwise(self, store: ExperimentStore) -> None:
        run_id = store.create_experiment(new_experiment()).run_id
        self.closed(store, run_id, ExperimentState.FAILED, "no right")

        ended = self.closed(store, run_id, ExperimentState.FINISHED)

        assert (ended.state, ended.reason) == (ExperimentState.FINISHED, "")
        assert kinds(store) == ["created", "closed", "state_changed", "state_changed"]

    def test_nothing_ends_while_a_trial_is_unfinished(self, store: ExperimentStore) -> None:
        run_id = store.create_experiment(new_experiment()).run_id
        asked = ask(store)

        assert self.closed(store, run_id, ExperimentState.FINISHED).state is ExperimentState.RUNNING
        assert store.experiments_of_run(asked.task.dag_id, asked.task.run_id) == ["model-1"]
        assert store.experiments_of_run(asked.task.dag_id, "another") == []
