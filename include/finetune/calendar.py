"""Business dates: which day a run stands for, and its dates in a user's values (reference R24, design section 6).

A business date is a ``datetime.date``, never a number or a text until it is rendered; a time zone is always
named. Airflow's ``ds`` is the UTC date, which is a day off in Shanghai for a run at 02:00: it is never used.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Mapping
from datetime import date, datetime, timedelta

from include.errors import ConfigError
from include.finetune import placeholders

_FORMS = "write 2022-06-17 or 20220617"
_DAY = re.compile(r"([0-9]{4})(?:-([0-9]{2})-([0-9]{2})|([0-9]{2})([0-9]{2}))")
_ONE_DAY = timedelta(days=1)


def business_date(
    *,
    interval_start: datetime | None,
    run_after: datetime,
    timezone: str,
    requested: date | str | None = None,
) -> date:
    """The day that a run trains.

    ``requested`` (a form field, ``2022-06-17`` or ``20220617``) wins. Else it is the local date on which the
    run's data interval begins. Else, for a run without interval (UI, CLI and REST by default, asset events),
    the last day that was complete when it was due: the local date of ``run_after`` minus one.
    ``timezone``: name of the business's zone, e.g. ``Asia/Shanghai``.

    Raises ConfigError for times without a zone, an unknown zone and a requested day that is none.
    """
    local = time_zone(timezone)
    local_start = None if interval_start is None else _local_date(interval_start, local, "interval_start")
    last_complete = previous(_local_date(run_after, local, "run_after"))
    if requested is not None:
        return parse_day(requested)
    return last_complete if local_start is None else local_start


def render(template: str, bizdate: date) -> str:
    """``template`` with its dates as yyyymmdd: ``{bizdate}``, ``{eval_ymd}`` (the next day) and ``{predate}``
    (the day before), each also as ``<bizdate>`` …

    Raises ConfigError for misspelt placeholders; ``include.finetune.placeholders`` has the rule.
    """
    return placeholders.fill(template, _dates(bizdate))


def render_all(values: Mapping[str, str], bizdate: date, *, where: str = "") -> dict[str, str]:
    """``render`` of every ``-D`` value of an ini. Raises ProblemsError with all that is misspelt."""
    return placeholders.fill_all(values, _dates(bizdate), where=where)


def parse_day(value: date | str) -> date:
    """A day as users give it: ``2022-06-17``, ``20220617`` or a date. ConfigError for anything else."""
    if isinstance(value, date):
        return _only_date(value)
    found = _DAY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ConfigError(f"{value!r} is not a day", hint=_FORMS)
    year, month, day = (int(part) for part in found.groups() if part is not None)
    try:
        return date(year, month, day)
    except ValueError:
        raise ConfigError(f"there is no day {value!r} in the calendar", hint=_FORMS) from None


def days(start: date | str, end: date | str) -> list[date]:
    """All days from ``start`` to ``end``, both included. ConfigError when ``end`` comes first."""
    first, last = parse_day(start), parse_day(end)
    if last < first:
        raise ConfigError(f"the last day {last} comes before the first {first}", hint="swap them")
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def previous(day: date) -> date:
    """The day before."""
    return _moved(day, -_ONE_DAY)


def following(day: date) -> date:
    """The day after."""
    return _moved(day, _ONE_DAY)


def yyyymmdd(day: date) -> str:
    """``20220617``, as partitions and model folders have it."""
    day = _only_date(day)
    return f"{day.year:04}{day.month:02}{day.day:02}"  # strftime does not pad years everywhere


def _dates(bizdate: date) -> dict[str, str]:
    each = (bizdate, following(bizdate), previous(bizdate))
    return {name: yyyymmdd(day) for name, day in zip(placeholders.NAMES, each, strict=True)}


def _only_date(value: date) -> date:
    # A datetime is a date to Python, but which day it stands for depends on a zone.
    if isinstance(value, datetime):
        raise ConfigError(f"{value.isoformat()} is a time, not a day", hint="give the day alone")
    return value


def _moved(day: date, by: timedelta) -> date:
    try:
        return _only_date(day) + by
    except OverflowError:
        raise ConfigError(f"{day} has no neighbour in the calendar") from None


def _local_date(moment: datetime, zone: zoneinfo.ZoneInfo, name: str) -> date:
    if not isinstance(moment, datetime):
        raise ConfigError(f"{name} is {moment!r}, not a time with its zone")
    if moment.utcoffset() is None:
        raise ConfigError(
            f"{name} {moment.isoformat()} has no time zone",
            hint="which day it belongs to depends on the zone",
        )
    return moment.astimezone(zone).date()


def time_zone(name: str) -> zoneinfo.ZoneInfo:
    """The zone of this name; ConfigError with near ones for an unknown one."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        known = zoneinfo.available_timezones()
        close = difflib.get_close_matches(str(name), known, 3, 0.6)
        hint = f"did you mean {' or '.join(close)}?" if close else "write e.g. Asia/Shanghai"
        raise ConfigError(f"unknown time zone {name!r}", hint=hint) from None
