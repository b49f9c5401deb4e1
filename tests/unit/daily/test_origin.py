"""Where a chain starts, and the learning rate that is handed over to its days (reference R22, R25)."""

from __future__ import annotations

import re

import pytest

from include.errors import ConfigError, NotFoundError, StateError
from include.experiments.opening import OpenRequest, open_experiment
from include.experiments.plan import Plan
from include.store import RunKey
from tests.support.daily import MODEL, ORIGIN, june, model_of

OTHER = "oss://sandbox-bucket/movielens/other"
SCHEDULE = re.compile(r"exponential_decay_learning_rate \{.*?\}", re.DOTALL)


def with_schedule(schedule: str) -> str:
    text = (MODEL / "pipeline.config").read_text(encoding="utf-8")
    changed = SCHEDULE.sub(schedule, text)
    assert changed != text
    return changed


def manuals(step: int) -> str:
    """The manual's schedule: 0.001, a tenth every 1000 steps, not below 1e-7."""
    del step
    return with_schedule(
        "exponential_decay_learning_rate { initial_learning_rate: 0.001 decay_steps: 1000 "
        "decay_factor: 0.1 min_learning_rate: 1e-07 }"
    )


@pytest.fixture
def begins(days):
    """The model's days start from its begin search, with the rate at which that ended."""
    days.set(start_from="begin", learning_rate="handover")
    return days


class TestBeginSearch:
    def test_the_newest_finished_search_is_taken(self, begins):
        begins.search("older", step=40)
        newest = begins.search("newer", step=50)

        begun = begins.begin(1)

        chain = begins.store.chain(begun.chain)
        assert (chain.origin.experiment, chain.origin.trial) == (newest, 0)
        assert begun.checkpoint.endswith("/model.ckpt-50")
        assert begun.config_source.endswith("best_pipeline.config")
        assert newest in begun.config_source

    def test_a_search_that_still_runs_is_not_taken(self, begins):
        ended = begins.search("ended")
        begins.services.now.sleep(60)
        plan = Plan.load(MODEL)
        open_experiment(
            begins.services, plan, OpenRequest(trials=1), dag_id="dag", run_id="running", by="test"
        )

        assert begins.store.chain(begins.begin(1).chain).origin.experiment == ended

    def test_a_model_without_one_is_told_what_to_do(self, begins):
        with pytest.raises(NotFoundError, match="no begin search that finished") as refused:
            begins.begin(1)

        assert "run begin_search_movielens" in str(refused.value)
        assert begins.store.chains() == []

    def test_a_given_experiment_is_taken_though_a_newer_one_is_there(self, begins):
        wanted = begins.search("older", step=40)
        begins.search("newer", step=50)

        begun = begins.begin(1, start_from=wanted)

        assert begins.store.chain(begun.chain).origin.experiment == wanted
        assert begun.checkpoint.endswith("/model.ckpt-40")

    def test_an_experiment_in_which_nothing_succeeded_is_refused(self, begins):
        plan = Plan.load(MODEL)
        opened = open_experiment(
            begins.services, plan, OpenRequest(trials=1), dag_id="dag", run_id="running", by="test"
        )

        with pytest.raises(ConfigError, match=f"no trial of experiment {opened.experiment.id} succeeded"):
            begins.begin(1, start_from=opened.experiment.id)

    def test_a_days_checkpoint_stays_though_a_newer_search_ends(self, begins):
        begins.search("older", step=40)
        begins.promote(1)
        begins.search("newer", step=50)

        second = begins.begin(2)

        assert (second.chain, second.checkpoint) == ("movielens-chain1", model_of(1))

    @pytest.mark.parametrize("tries", [3, 7], ids=["retried", "cleared"])
    def test_a_run_keeps_the_chain_it_opened_though_a_newer_search_ends(self, begins, tries):
        begins.search("older", step=40)
        first = begins.begin(1, start_from="begin")
        begins.search("newer", step=50)

        again = begins.begin(1, start_from="begin", tries=tries)

        assert (again.chain, again.checkpoint) == (first.chain, first.checkpoint)
        assert len(begins.store.chains()) == 1

    def test_a_run_of_its_own_starts_from_the_newer_search(self, begins):
        begins.search("older", step=40)
        begins.promote(1)
        begins.search("newer", step=50)

        begun = begins.begin(2, start_from="begin")

        assert begun.chain == "movielens-chain2"
        assert begun.checkpoint.endswith("/model.ckpt-50")

    def test_of_runs_that_all_start_from_begin_only_the_first_does_and_the_others_from_the_day_before(
        self, begins
    ):
        begins.search("search", step=50)
        came_from = []
        for day in (1, 2, 3):  # as a backfill with start_from in its conf makes them
            begun = begins.begin(day, start_from="begin")
            begins.engine.promote(begins.judge(begun).id, by="gate")
            came_from.append(begun.checkpoint)

        assert came_from[0].endswith("/model.ckpt-50")
        assert came_from[1:] == [model_of(1), model_of(2)]
        assert len(begins.store.chains()) == 1


class TestPath:
    def test_a_folder_gives_its_newest_whole_checkpoint_and_a_prefix_gives_itself(self, days):
        for step in (10, 20, 30):
            days.checkpoint(OTHER, step)
        days.services.objects.delete(f"{OTHER}/model.ckpt-30.data-00000-of-00001")

        assert days.begin(1, start_from=OTHER + "/").checkpoint == f"{OTHER}/model.ckpt-20"
        exact = f"{OTHER}/model.ckpt-10"
        begun = days.begin(1, who="again", start_from=exact)
        assert (begun.checkpoint, begun.config_source) == (exact, f"{OTHER}/pipeline.config")

    def test_the_same_place_again_opens_no_new_chain(self, days):
        days.promote(1)

        assert days.begin(2, start_from=ORIGIN).chain == "movielens-chain1"

    def test_a_folder_without_the_config_that_trained_it_is_refused(self, days):
        days.checkpoint(OTHER)
        days.services.objects.delete(f"{OTHER}/pipeline.config")

        with pytest.raises(NotFoundError):
            days.begin(1, start_from=OTHER)

        assert days.store.chains() == []

    @pytest.mark.parametrize("place", ["yesterday", "/data/model", "http://host/model", "movielens-12"])
    def test_what_is_no_place_is_refused(self, days, place):
        with pytest.raises(ConfigError, match="no place to start from"):
            days.begin(1, start_from=place)

    def test_an_unknown_experiment_is_refused(self, days):
        with pytest.raises(NotFoundError, match="movielens-0123abcd"):
            days.begin(1, start_from="movielens-0123abcd")

    def test_the_chain_that_another_run_opened_since_is_not_replaced_by_a_training_of_the_old_one(self, days):
        first = days.begin(1)
        days.begin(2, start_from=days.checkpoint(OTHER))

        with pytest.raises(StateError, match="not the current chain"):
            days.store.begin_day(
                first.chain,
                june(3),
                run=RunKey("d", "r"),
                task_max_tries=1,
                checkpoint_in=first.checkpoint,
                model_dir="oss://b/x",
            )


class TestLearningRate:
    @pytest.mark.parametrize(("step", "rate"), [(0, 1e-3), (1500, 1e-4), (8000, 1e-7)])
    def test_it_is_the_one_at_which_the_first_checkpoints_training_ended(self, days, step, rate):
        days.set(learning_rate="handover")
        start = days.checkpoint(OTHER, step, config=manuals(step))

        assert days.begin(1, start_from=start).learning_rate == pytest.approx([rate], rel=1e-6)

    def test_it_is_the_same_every_day_never_yesterdays(self, days):
        days.set(learning_rate="handover")
        days.promote(1, start_from=days.checkpoint(OTHER, 1500, config=manuals(1500)))
        days.checkpoint(model_of(1).rpartition("/")[0], 10, config=manuals(10))

        assert days.begin(2).learning_rate == pytest.approx([1e-4], rel=1e-6)

    def test_each_optimizer_has_its_own(self, days):
        days.set(learning_rate="handover")
        text = (MODEL / "pipeline.config").read_text(encoding="utf-8")
        second = (
            "  optimizer_config { adagrad_optimizer { learning_rate { "
            "constant_learning_rate { learning_rate: 0.02 } } } }\n"
        )
        two = text.replace("  num_steps: 300\n", second + "  num_steps: 300\n")
        start = days.checkpoint(OTHER, 100, config=two)

        assert days.begin(1, start_from=start).learning_rate == pytest.approx([0.0005 * 0.7, 0.02], rel=1e-6)

    def test_a_saved_config_that_is_no_text_is_refused_with_its_place(self, days):
        days.set(learning_rate="handover")
        start = days.checkpoint(OTHER)
        days.services.objects.write(f"{OTHER}/pipeline.config", b"train_config {\xff}")

        with pytest.raises(ConfigError, match=rf"{OTHER}/pipeline\.config: not UTF-8 text"):
            days.begin(1, start_from=start)

        assert days.store.chains() == []

    def test_a_training_that_ended_at_0_has_none_to_hand_over(self, days):
        days.set(learning_rate="handover")
        cosine = with_schedule(
            "cosine_decay_learning_rate { learning_rate_base: 0.001 total_steps: 100 warmup_steps: 10 "
            "warmup_learning_rate: 0.0001 }"
        )
        start = days.checkpoint(OTHER, 200, config=cosine)

        with pytest.raises(ConfigError, match="ended at step 200 with a learning rate of 0") as refused:
            days.begin(1, start_from=start)

        assert "finetune.learning_rate" in str(refused.value)
        assert days.store.chains() == []

    @pytest.mark.parametrize(("setting", "given"), [("unchanged", None), (1e-6, 1e-6)])
    def test_the_model_may_say_another_one(self, days, setting, given):
        days.set(learning_rate=setting)

        assert days.begin(1).learning_rate == given

    def test_a_chain_that_was_opened_under_another_setting_has_one_too(self, days):
        days.promote(1, start_from=days.checkpoint(OTHER, 1500, config=manuals(1500)))
        days.set(learning_rate="handover")

        assert days.begin(2).learning_rate == pytest.approx([1e-4], rel=1e-6)
