"""The audit of the chaos suite catches each thing that must never happen."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from benchmarks.chaos.audit import CHECKS, audit
from benchmarks.chaos.chain_audit import Training, undisturbed_chain
from benchmarks.chaos.collect import scalars
from benchmarks.chaos.evidence import DayRow, Evidence, Job, StepRow, TrialRow
from include.sandbox.trainer.events import EventWriter

FOLDER = "oss://b/m/model/search_0"
DAY = "oss://b/m/finetune/19971119_model"
NEXT_DAY = "oss://b/m/finetune/19971120_model"
TASK = ("begin_search_m", "run", "trial", 0)
JOB = Job("j0", "k0", FOLDER, "Success", 1, 2, 1)
STEP = StepRow("k0", "search", 0, 0, 0, "j0", "SUCCEEDED", "", FOLDER)
TRIAL = TrialRow("search", 0, TASK, 0, "SUCCEEDED", "", 0.7, told=True)
FIRST_DAY_JOB = Job("d1", "kd1", DAY, "Success", 10, 20, 1, by_store=False)
NEXT_DAY_JOB = Job("d2", "kd2", NEXT_DAY, "Success", 30, 40, 1, by_store=False)
GOOD = Evidence(
    jobs=[JOB, FIRST_DAY_JOB, NEXT_DAY_JOB],
    steps=[STEP],
    trials=[TRIAL],
    evaluations={FOLDER: {10: 0.6, 20: 0.7}},
    results={"k0": [(10, 0.6), (20, 0.7)]},
    days=[
        DayRow("1997-11-19", "PROMOTED", "oss://b/o/model.ckpt-40", f"{DAY}/model.ckpt-5", DAY),
        DayRow("1997-11-20", "PROMOTED", f"{DAY}/model.ckpt-5", f"{NEXT_DAY}/model.ckpt-4", NEXT_DAY),
    ],
    days_wanted=["1997-11-19", "1997-11-20"],
    origin="oss://b/o",
    trained_from={DAY: "oss://b/o/model.ckpt-40", NEXT_DAY: f"{DAY}/model.ckpt-5"},
    promotions=[1, 2],
    runs={"begin_search_m/run": "success"},
)


def violations(evidence: Evidence) -> dict[str, str]:
    return {name: str(found[0]) for name, found in audit(evidence).items() if found}


def test_a_run_in_which_all_is_well_has_no_violation():
    assert violations(GOOD) == {}
    assert set(audit(GOOD)) == set(CHECKS)


def with_job(**changes: Any) -> Evidence:
    return replace(GOOD, jobs=[replace(JOB, **changes), FIRST_DAY_JOB, NEXT_DAY_JOB])


def with_trial(**changes: Any) -> Evidence:
    return replace(GOOD, trials=[replace(TRIAL, **changes)])


def with_step(**changes: Any) -> Evidence:
    return replace(GOOD, steps=[replace(STEP, **changes)])


def with_days(first: dict[str, Any], second: dict[str, Any]) -> Evidence:
    one, two = GOOD.days
    return replace(GOOD, days=[replace(one, **first), replace(two, **second)])


WRONG = {
    "a second job of a step": (
        replace(GOOD, jobs=[*GOOD.jobs, replace(JOB, id="j1", model_dir="elsewhere")]),
        "jobs submitted = steps begun",
        "2 jobs of one submission key",
    ),
    "a job that no step began": (
        with_job(key="other"),
        "jobs submitted = steps begun",
        "the store knows nothing",
    ),
    "a step that names another job": (
        with_step(job_id="j9"),
        "jobs submitted = steps begun",
        "recorded as job j9",
    ),
    "a job that still runs": (with_job(status="Running", ended=None), "nothing runs", "still Running"),
    "a process that is left": (replace(GOOD, processes_alive=1), "nothing runs", "1 training processes"),
    "a step that is open": (with_step(state="RUNNING"), "nothing runs", "is RUNNING"),
    "a trial that never ended": (with_trial(state="RUNNING"), "nothing runs", "is RUNNING"),
    "a lease that is left": (replace(GOOD, leases=["dag/run"]), "nothing runs", "never given back"),
    "a run that never ends": (replace(GOOD, runs={"dag/run": "running"}), "nothing runs", "is running"),
    "a job trained twice": (with_job(processes=2), "none trained twice", "started 2 times"),
    "two trainings in one folder": (
        replace(GOOD, jobs=[*GOOD.jobs, replace(JOB, id="j1", key="k1", by_store=False)]),
        "none trained twice",
        "2 jobs trained in it",
    ),
    "a result that was lost": (
        replace(GOOD, results={"k0": [(20, 0.7)]}),
        "no result lost or doubled",
        "steps [10] were never recorded",
    ),
    "a result that is there twice": (
        replace(GOOD, results={"k0": [(10, 0.6), (10, 0.6), (20, 0.7)]}),
        "no result lost or doubled",
        "recorded 2 times",
    ),
    "a result of another step": (
        replace(GOOD, results={"k0": [(10, 0.6), (20, 0.7), (30, 0.8)]}),
        "no result lost or doubled",
        "no event file has it",
    ),
    "a result with another value": (
        replace(GOOD, results={"k0": [(10, 0.5), (20, 0.7)]}),
        "no result lost or doubled",
        "recorded 0.5, written 0.6",
    ),
    "a success whose job failed": (with_job(status="Failed"), "every end has a true reason", "Failed"),
    "a failure without a reason": (with_trial(state="FAILED"), "every end has a true reason", "no reason"),
    "a failure although the job succeeded": (
        with_trial(state="FAILED", reason="job j0 failed"),
        "every end has a true reason",
        "its last job: Success",
    ),
    "an early stop that stopped nothing": (
        replace(
            with_trial(state="EARLY_STOPPED", reason="below the median"),
            jobs=[replace(JOB, status="Failed"), *GOOD.jobs[1:]],
        ),
        "every end has a true reason",
        "its last job: Failed",
    ),
    "a trial cancelled by nobody": (
        with_trial(state="CANCELLED", reason="a user ended the task"),
        "every end has a true reason",
        "a user ended the task",
    ),
    "a tuner that was told something else": (
        with_trial(metric=0.65),
        "the tuner was told the truth",
        "its files end with 0.7",
    ),
    "a success that the tuner never heard of": (
        with_trial(told=False),
        "the tuner was told the truth",
        "was not told",
    ),
    "a day that was left out": (with_days({}, {"state": "FAILED"}), "one chain of days", "never promoted"),
    "a day from another checkpoint": (
        replace(GOOD, trained_from={DAY: "oss://b/o/model.ckpt-40", NEXT_DAY: f"{DAY}/model.ckpt-3"}),
        "one chain of days",
        "the day before left",
    ),
    "a first day from elsewhere": (
        replace(GOOD, origin="oss://b/other"),
        "one chain of days",
        "oss://b/other",
    ),
    "a day that no job trained": (
        replace(GOOD, jobs=[JOB, FIRST_DAY_JOB]),
        "one chain of days",
        "left by no job",
    ),
    "two days that train at once": (
        replace(GOOD, jobs=[JOB, FIRST_DAY_JOB, replace(NEXT_DAY_JOB, started=15)]),
        "one chain of days",
        "before",
    ),
    "a promotion number that is missing": (
        replace(GOOD, promotions=[1, 3]),
        "one chain of days",
        "numbered [1, 3]",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_each_violation_is_found_under_its_name(what):
    evidence, check, words = WRONG[what]

    found = audit(evidence)

    assert any(words in str(violation) for violation in found[check]), found


def test_a_poor_job_whose_training_part_was_stopped_shows_as_failed():
    jobs = [replace(JOB, status="Failed", stopped=True), *GOOD.jobs[1:]]

    evidence = replace(with_trial(state="EARLY_STOPPED", reason="below the median"), jobs=jobs)

    assert violations(evidence) == {}


def test_a_poor_job_may_fail_by_itself_in_the_second_in_which_it_is_found_poor():
    """Its folder was on a full disk (seed 3): the stop came after its end, which nobody had seen."""
    evidence = replace(
        with_trial(state="EARLY_STOPPED", reason="below the median"),
        jobs=[replace(JOB, status="Failed"), *GOOD.jobs[1:]],
        steps=[replace(STEP, state="STOPPED")],
    )

    assert violations(evidence) == {}


def test_a_person_may_cancel_a_trial():
    evidence = with_trial(state="CANCELLED", reason="a user ended the task", told=False)

    assert violations(replace(evidence, acted_on=frozenset({TASK}))) == {}


def test_a_job_that_was_stopped_before_its_id_was_recorded_is_no_violation():
    step = replace(STEP, job_id=None, state="STOPPED", reason="the task was cleared")
    again = replace(STEP, key="k1", epoch=1, job_id="j1", model_dir="second")
    jobs = [
        replace(JOB, status="Cancelled"),
        replace(JOB, id="j1", key="k1", model_dir="second"),
        *GOOD.jobs[1:],
    ]
    moved = {"second": GOOD.evaluations[FOLDER]}

    evidence = replace(
        GOOD, jobs=jobs, steps=[step, again], evaluations=moved, results={"k1": GOOD.results["k0"]}
    )

    assert violations(evidence) == {}


def test_the_reader_of_event_files_knows_what_the_trainer_writes_and_leaves_a_torn_end_out():
    written = []

    class Disk:
        def append(self, url: str, data: bytes) -> None:
            written.append(data)

    writer = EventWriter(Disk(), "oss://b/m/eval_val", host="h")  # type: ignore[arg-type]
    for step in (10, 20):
        writer.append(writer.scalars({"auc": step / 40}, step, checkpoint="model.ckpt-1"))
    data = b"".join(written)

    assert list(scalars(data)) == [(10, {"auc": 0.25}), (20, {"auc": 0.5})]
    assert list(scalars(data[: data.rindex(struct.pack("<f", 0.5))])) == [(10, {"auc": 0.25})]


ORIGIN = "oss://b/o"
FIRST, SECOND = date(1997, 11, 19), date(1997, 11, 20)
CHAIN = [
    Training("d1", FIRST, DAY, "Success", 10.0, 20.0, 1, f"{ORIGIN}/model.ckpt-40"),
    Training("d2", SECOND, NEXT_DAY, "Success", 30.0, 40.0, 1, f"{DAY}/model.ckpt-5"),
]


def test_a_chain_of_one_job_a_day_is_right():
    assert undisturbed_chain(CHAIN, [FIRST, SECOND], ORIGIN) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ended": None}, "still runs"),
        ({"status": "Failed"}, "ended as Failed"),
        ({"processes": 2}, "started 2 times"),
        ({"started": 15.0}, "had ended"),
        ({"checkpoint_in": f"{ORIGIN}/model.ckpt-40"}, "not from"),
        ({"bizdate": FIRST}, "2 jobs"),
        ({"bizdate": date(1997, 11, 25)}, "nobody asked"),
    ],
)
def test_a_chain_with_anything_else_in_it_is_wrong(changes, words):
    found = undisturbed_chain([CHAIN[0], replace(CHAIN[1], **changes)], [FIRST, SECOND], ORIGIN)

    assert any(words in each for each in found), found
