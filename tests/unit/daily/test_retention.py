"""What is removed of old days, and above all what never is (design section 6)."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include import names
from include.daily.promotion import promote_day, roll_back
from include.daily.retention import remove_old_models
from include.errors import NotFoundError, RetryableError
from include.experiments.chain_plan import ChainPlan
from include.experiments.plan import Plan
from include.store import ExperimentState, NewExperiment, Origin, TaskKey
from tests.support.daily import BAD, FOLDER, MODEL, june, model_of

DAY = 24 * 3600.0


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> dict[str, Any]:
    """What the first test's twelve days left: they take a second."""
    return {"file": tmp_path_factory.mktemp("days") / "store.db"}


@pytest.fixture
def old(days, kept, tmp_path):
    """Twelve promoted days. Of seven days, 12 serves and 5 is the first that stays; it starts from 4: 1 to 3 go."""
    objects, clock = days.services.objects, days.services.now
    if "objects" in kept:
        _copy(kept["file"], tmp_path / "store.db")
        objects._objects.update(kept["objects"])
        clock.sleep(12 * DAY)
    else:
        for day in range(1, 13):
            promote(days, day)
        _copy(tmp_path / "store.db", kept["file"])
        kept["objects"] = dict(objects._objects)
    days.set(keep_days=7, keep_promotions=2)
    return days


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def promote(days, day: int, **changes) -> None:
    begun = days.begin(day, **changes)
    own(days, begun.model_dir)
    days.engine.promote(days.judge(begun).id, by="gate")
    days.services.now.sleep(DAY)


def own(days, model_dir: str, store: str = "") -> None:
    marker = json.dumps({"store": store or days.store.uuid, "submission_key": "key"}).encode()
    days.services.objects.write(names.owner_marker(model_dir), marker)


def folder(day: int, repeat: str = "") -> str:
    return f"{FOLDER}/202206{day:02}_model{repeat}"


def left(days) -> set[str]:
    return {info.url.rpartition("/")[0] for info in days.services.objects.list(FOLDER)}


def remove(days) -> list[str]:
    return remove_old_models(days.services, days.plan)


def test_old_days_go_with_all_they_hold_and_newer_ones_stay(old):
    assert remove(old) == [folder(1), folder(2), folder(3)]

    assert left(old) >= {folder(day) for day in range(4, 13)}
    assert not left(old) & {folder(1), folder(2), folder(3)}
    assert remove(old) == []


def test_without_the_setting_nothing_goes(old):
    old.set(keep_days=None)

    assert remove(old) == []
    assert len(left(old)) == 13  # with the pointers


def test_the_model_that_a_kept_day_was_trained_from_stays(old):
    remove(old)

    assert old.services.objects.info(
        f"{model_of(12)}.index"
    )  # 13 is kept, and starts there when it is cleared
    again = old.begin(13, who="again", retrain=True)
    assert again.checkpoint == model_of(12)


def test_what_serves_after_a_rollback_stays_and_so_does_all_that_is_near_it(old):
    roll_back(old.services, old.plan, to=5, by="ada", reason="clicks fell")
    old.services.now.sleep(30 * DAY)

    assert remove(old) == []


def test_models_to_roll_back_to_stay_however_old(old):
    old.set(keep_promotions=11)

    assert remove(old) == [folder(1)]
    assert roll_back(old.services, old.plan, to=2, by="ada", reason="test").checkpoint == model_of(2)


def test_what_was_removed_is_not_served_again(old):
    remove(old)
    before = old.pointer()

    with pytest.raises(NotFoundError, match="no checkpoint"):
        roll_back(old.services, old.plan, to=1, by="ada", reason="test")

    assert old.pointer() == before
    assert old.store.serving("movielens").number == 12


def test_a_refused_day_whose_model_was_removed_is_not_promoted_by_hand(days):
    days.set(keep_days=7, keep_promotions=1)
    begun = days.begin(1)
    own(days, begun.model_dir)
    days.judge(begun, BAD)
    for day in range(2, 13):
        promote(days, day)
    assert folder(1) in remove(days)

    with pytest.raises(NotFoundError, match="no checkpoint"):
        promote_day(days.services, days.plan, june(1), by="ada", reason="test")


def test_where_any_chain_starts_stays(old):
    of = Origin(model_of(3), f"{folder(3)}/pipeline.config", ())
    old.store.open_chain("another_model", origin=of, by="test")

    assert folder(3) not in remove(old)
    assert old.services.objects.info(f"{model_of(3)}.index")


@pytest.mark.parametrize("search", ["finetune_search", "begin"])
def test_what_a_search_starts_from_stays_until_the_search_has_long_ended(old, search):
    experiment = opened_search(old, search, start_from=model_of(3))

    assert remove(old) == [folder(1), folder(2)]
    assert old.services.objects.info(f"{model_of(3)}.index")

    for state in (ExperimentState.RUNNING, ExperimentState.FINISHED):
        old.store.set_experiment_state(experiment, state, reason="", by="test")
    assert remove(old) == []
    old.services.now.sleep(8 * DAY)
    assert remove(old) == [folder(3)]


def opened_search(days, kind: str, *, start_from: str) -> str:
    """A search of another model, whose trials start from a model of this one."""
    if kind == "begin":
        plan = Plan.load(MODEL)
        own = {**plan.job.parameters, "fine_tune_checkpoint": start_from}
        ini = f"{plan.texts['ini']}\n"
        assert "-Dfine_tune_checkpoint" not in ini
        snapshot = plan.snapshot()
        snapshot["texts"]["ini"] = ini.replace(
            "-Dmodel_dir", f"-Dfine_tune_checkpoint={start_from}\n-Dmodel_dir"
        )
        assert Plan.from_snapshot(snapshot).job.parameters == own
    else:
        snapshot = replace(ChainPlan.load(MODEL), checkpoint=start_from).snapshot()
    new = NewExperiment(
        id="other-00000000",
        model="other",
        kind="begin" if kind == "begin" else "finetune",
        dag_id="dag",
        run_id="run",
        seed=1,
        optimize_mode="maximize",
        max_trials=2,
        deadline=None,
        snapshot=snapshot,
        created_by="test",
    )
    return days.store.create_experiment(new).id


def test_the_last_day_of_an_older_chain_stays(old):
    other = old.checkpoint("oss://sandbox-bucket/movielens/other")
    promote(old, 13, start_from=other)
    for day in range(14, 21):
        promote(old, day)

    removed = remove(old)

    assert folder(10) in removed
    assert not {folder(11), folder(12)} & set(
        removed
    )  # 12 is its model, and starts from 11 when it is cleared


@pytest.mark.parametrize("marker", [b'{"store": "another"}', b"[]", b"not json", b"[" * 100_000, None])
def test_a_folder_without_our_marker_stays(old, marker):
    url = names.owner_marker(folder(2))
    old.services.objects.delete(url)
    if marker is not None:
        old.services.objects.write(url, marker)
    old.services.now.sleep(30 * DAY)

    assert folder(2) not in remove(old)
    assert old.services.objects.info(f"{model_of(2)}.index")


def test_a_folder_that_was_written_to_lately_stays(old):
    old.services.objects.write(f"{folder(2)}/notes.txt", b"why this day was odd")

    assert folder(2) not in remove(old)
    assert old.services.objects.info(f"{model_of(2)}.index")


def test_a_folder_that_holds_something_needed_stays(old):
    inside = old.checkpoint(f"{folder(2)}/kept")
    old.store.open_chain("another_model", origin=Origin(inside, f"{folder(2)}/kept/x", ()), by="test")
    old.services.now.sleep(30 * DAY)

    assert folder(2) not in remove(old)


def test_a_folder_that_only_begins_like_an_old_one_stays(old):
    neighbour = f"{folder(2)}_of_somebody/model.ckpt-1.index"
    old.services.objects.write(neighbour, b"x")
    old.services.now.sleep(30 * DAY)

    assert folder(2) in remove(old)
    assert old.services.objects.info(neighbour)


def test_a_backfill_of_long_ago_does_not_remove_what_it_just_made(days):
    days.set(keep_days=7, keep_promotions=1)
    for day in range(1, 13):
        begun = days.begin(day)
        own(days, begun.model_dir)
        days.engine.promote(days.judge(begun).id, by="gate")

    assert remove(days) == []


def test_a_day_whose_run_still_has_a_job_stays(old):
    task = TaskKey("daily_finetune_movielens", "june2", "export", -1)
    old_export(old, task)

    removed = remove(old)

    assert folder(2) not in removed
    assert folder(3) in removed


def test_what_a_job_of_another_dag_reads_stays(old):
    old_export(old, TaskKey("reports", "today", "evaluate", -1), checkpoint_path=model_of(2))

    assert remove(old) == [folder(1), folder(3)]


def old_export(days, task: TaskKey, **parameters: str) -> None:
    """Somebody has cleared the export of a day long ago."""
    from include.experiments.job_plan import EXPORT, JobSpec
    from include.experiments.single_job import start_job

    spec = JobSpec(
        "easy_rec_ext", "algo_public", {"cmd": "export", **parameters}, folder(2), days.plan.settings, EXPORT
    )
    start_job(days.services, spec, model="movielens", task=task, task_max_tries=3, by="test")


def test_what_a_crash_left_half_removed_is_removed_the_next_time(old):
    delete, marker = old.services.objects.delete, names.owner_marker(folder(1))

    def breaks(url: str) -> None:
        if url == marker:
            raise RetryableError("OSS is away")
        delete(url)

    old.services.objects.delete = breaks
    with pytest.raises(RetryableError):
        remove(old)
    assert left(old) >= {folder(1)}

    old.services.objects.delete = delete
    assert folder(1) in remove(old)
    assert old.services.objects.info(marker) is None
