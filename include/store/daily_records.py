"""What the store keeps of daily finetune, as frozen records. All times are timezone-aware, in UTC."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from include.errors import ConfigError
from include.store.day_state import DayState


@dataclass(frozen=True)
class RunKey:
    """An Airflow DAG run: the part that no retry and no clear changes."""

    dag_id: str
    run_id: str

    def __str__(self) -> str:
        return f"{self.dag_id}/{self.run_id}"


@dataclass(frozen=True)
class Origin:
    """What a chain starts from.

    ``checkpoint``: exact prefix, ``oss://…/model.ckpt-N``. ``config_url``: the pipeline config saved
    beside it. ``learning_rates``: handed over, one per optimizer_config, the same every day; empty when
    the rates stay as they are. ``experiment`` and ``trial``: begin's, if it comes from one.
    """

    checkpoint: str
    config_url: str
    learning_rates: tuple[float, ...]
    experiment: str | None = None
    trial: int | None = None

    def __post_init__(self) -> None:
        # A list would compare as different, and so open a new chain each day.
        object.__setattr__(self, "learning_rates", tuple(float(rate) for rate in self.learning_rates))
        for rate in self.learning_rates:
            if not (math.isfinite(rate) and rate > 0):
                raise ConfigError(f"the learning rate handed over is {rate}", hint="a number above 0")


@dataclass(frozen=True)
class Chain:
    """One model's line of daily models from one origin. ``number``: from 1 within the model."""

    id: str
    model: str
    number: int
    origin: Origin
    created_by: str
    created_at: datetime


@dataclass(frozen=True)
class Day:
    """One training of one bizdate in a chain.

    ``repeat``: which one of the date, from 0, over all chains of the model. ``stale``: an earlier day of
    the chain was promoted anew after this one had got its inputs. ``ended_at``: when it came to its
    state, None while it is OPEN or TRAINED.
    """

    id: int
    model: str
    chain_id: str
    bizdate: date
    repeat: int
    run: RunKey
    task_max_tries: int
    state: DayState
    reason: str
    checkpoint_in: str
    model_dir: str
    checkpoint_out: str | None
    global_step: int | None
    metric: float | None
    metrics: Mapping[str, float]
    stale: bool
    begun_at: datetime
    trained_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Promotion:
    """One change of what serves, numbered from 1 within the model. The newest one serves.

    It holds what the day had at that moment, so that it can be published and gone back to.
    """

    model: str
    number: int
    kind: Literal["promote", "rollback"]
    chain_id: str
    bizdate: date
    repeat: int
    checkpoint: str
    model_dir: str
    export_dir: str | None
    config_url: str | None
    metric: float | None
    metrics: Mapping[str, float]
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class Adoption:
    """Parameters that a person took over from a finetune search, numbered from 1 within the model.

    The newest one counts, for days that begin after it. ``edits``: by config path; empty: none any more.
    """

    model: str
    number: int
    edits: Mapping[str, Any]
    experiment: str | None
    trial: int | None
    by: str
    reason: str
    at: datetime

    def __str__(self) -> str:
        return f"adoption {self.number} (trial {self.trial} of {self.experiment}, by {self.by})"


@dataclass(frozen=True)
class Lease:
    """A DAG run that holds a model's lease (``held``) or waits for it.

    ``since``: when it began to hold or to wait. ``seen_at``: when it last asked.
    """

    model: str
    run: RunKey
    bizdate: date
    held: bool
    since: datetime
    seen_at: datetime


@dataclass(frozen=True)
class Claim:
    """The answer to a run that asks for a lease.

    ``held``: the run has it. ``in_the_way``: else, who holds it, or who waits and comes first.
    """

    held: bool
    in_the_way: Lease | None


@dataclass(frozen=True)
class GivenPlace:
    """``run``, of ``bizdate``, ended so that ``to`` could begin, and is to be started again."""

    model: str
    run: RunKey
    bizdate: date
    to: RunKey


def current_days(days: Iterable[Day]) -> dict[date, Day]:
    """The day that counts of each bizdate, among ``days`` of one chain, by bizdate.

    That is the promoted one; else the newest with an outcome, SUPERSEDED left out; else the one in work.
    """
    current: dict[date, Day] = {}
    counting = (day for day in days if day.state is not DayState.SUPERSEDED)
    for day in sorted(counting, key=lambda day: (day.bizdate, _weight(day.state), day.repeat)):
        current[day.bizdate] = day
    return current


def _weight(state: DayState) -> int:
    return 2 if state is DayState.PROMOTED else int(state.is_over)
