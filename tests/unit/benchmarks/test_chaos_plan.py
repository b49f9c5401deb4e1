"""A plan of faults: from a seed, of every kind, and understood by the sandbox."""

from __future__ import annotations

from benchmarks.chaos.plan import EVENTS, JOB, WIRE, make_plan, summary
from include.sandbox.faults import Fault
from include.sandbox.trainer.job import Fault as JobFault


def test_the_same_seed_gives_the_same_plan_and_another_one_a_different_plan():
    assert make_plan(3) == make_plan(3)
    assert make_plan(3) != make_plan(4)


def test_a_plan_has_at_least_200_faults_and_every_kind_of_event():
    counts = summary(make_plan(1))

    assert counts.total() >= 200
    assert {kind: counts[kind] for kind in EVENTS} == dict(EVENTS)


def test_every_fault_of_a_plan_is_one_that_the_sandbox_knows():
    plan = make_plan(5, wire=400)

    for action in plan:
        if action.kind in (WIRE, JOB):
            fault = Fault.parse(dict(action.options))
            if action.kind == JOB:
                JobFault.read({"kind": fault.kind, **fault.options})


def test_faults_are_spread_over_the_work_and_leave_its_end_in_peace():
    times = [action.at for action in make_plan(2)]

    assert times == sorted(times)
    assert times[0] < 0.1
    assert 0.8 < times[-1] < 0.95
