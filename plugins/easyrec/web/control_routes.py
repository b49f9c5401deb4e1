"""Routes that change something. All of them are guarded against forgery and ask for run access to the DAG.

What they do is done by ``include.experiments.control``, as for the command line.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from easyrec.discovery import adoption_dag, models_dir
from easyrec.web.access import Airflow, Changeable, Guarded, Store, TheirRights
from include.experiments import control
from include.experiments.control import Control, Outcome
from include.experiments.limits import change_limits

router = APIRouter(dependencies=[Guarded], tags=["control"])
Answer = dict[str, Any]


class _Body(BaseModel):
    """Unknown keys are errors: a mistyped one must not be taken for a wish."""

    model_config = ConfigDict(extra="forbid")


class Slots(_Body):
    slots: int


class Limits(_Body):
    trials: int | None = None
    hours: float | None = None


class More(_Body):
    trials: int


class Numbers(_Body):
    numbers: list[int] = Field(default_factory=list)


class Changes(_Body):
    changes: dict[str, Any] = Field(default_factory=dict)


class Reason(_Body):
    reason: str = ""


class Given(_Body):
    parameters: list[dict[str, Any]]


def acting(store: Store, airflow: Airflow, rights: TheirRights) -> Control:
    return Control(store, airflow, rights.name)


Acting = Annotated[Control, Depends(acting)]


@router.post("/experiments/{experiment}/concurrency")
def concurrency(found: Changeable, who: Acting, body: Slots) -> Answer:
    """Slots of the pool that the model's searches share."""
    return _said(control.set_concurrency(who, found.id, body.slots))


@router.post("/experiments/{experiment}/limits")
def limits(found: Changeable, who: Acting, body: Limits) -> Answer:
    """Maximum number of trials, maximum duration in hours, or both."""
    _, notes = change_limits(who, found.id, trials=body.trials, hours=body.hours)
    return _said(Outcome("the limits are changed", tuple(notes)))


@router.post("/experiments/{experiment}/pause")
def pause(found: Changeable, who: Acting) -> Answer:
    """No new trial starts until the search goes on."""
    return _said(control.pause(who, found.id))


@router.post("/experiments/{experiment}/resume")
def resume(found: Changeable, who: Acting) -> Answer:
    """End a pause."""
    return _said(control.resume(who, found.id))


@router.post("/experiments/{experiment}/stop")
def stop(found: Changeable, who: Acting) -> Answer:
    """End the search, its trials and their jobs."""
    return _said(control.stop_search(who, found.id))


@router.post("/experiments/{experiment}/extend")
def extend(found: Changeable, who: Acting, body: More) -> Answer:
    """So many more trials, also for a search that has ended."""
    return _said(control.extend(who, found.id, body.trials))


@router.post("/experiments/{experiment}/add")
def add(found: Changeable, who: Acting, body: Given) -> Answer:
    """Trials with given parameters, points of the search space."""
    return _said(control.add_trials(who, found.id, body.parameters))


@router.post("/experiments/{experiment}/retry")
def retry(found: Changeable, who: Acting, body: Numbers) -> Answer:
    """New trials with the parameters of failed ones: of these, or of all that failed."""
    return _said(control.retry_failed(who, found.id, body.numbers))


@router.post("/experiments/{experiment}/stop-trials")
def stop_trials(found: Changeable, who: Acting, body: Numbers) -> Answer:
    """End these trials and their jobs."""
    return _said(control.stop_trials(who, found.id, body.numbers))


@router.post("/experiments/{experiment}/trials/{number}/clone")
def clone(found: Changeable, who: Acting, number: int, body: Changes) -> Answer:
    """A new trial with the parameters of this one, some of them changed."""
    return _said(control.clone_trial(who, found.id, number, body.changes))


@router.post("/experiments/{experiment}/trials/{number}/adopt")
def adopt(found: Changeable, rights: TheirRights, store: Store, number: int, body: Reason) -> Answer:
    """Train the model's days that begin from now on with this trial's parameters (of a finetune search)."""
    from easyrec import runtime
    from include.daily import adoption
    from include.daily.plan import FinetunePlan

    rights.check_change(adoption_dag(found.model))
    plan = FinetunePlan.load(models_dir() / found.model)
    trial = adoption.parameters_to_adopt(store, found.model, found.id, number)
    objects = runtime.objects(plan.settings)
    adopted = adoption.adopt(store, objects, plan, trial, by=rights.name, reason=body.reason)
    return _said(Outcome(f"{adopted} counts: days that begin from now on are trained with its parameters"))


def _said(outcome: Outcome) -> Answer:
    return {"said": outcome.said, "notes": list(outcome.notes), "run_id": outcome.run_id}
