"""What a person does to a search while it runs, or after: ``limits``, ``pause``, ``stop``, … (reference R2, +20)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from include.cli.groups import Commands, add_store_option, open_store, user
from include.errors import ConfigError

if TYPE_CHECKING:
    from include.experiments.control import Control, Outcome


def add_to(commands: Commands) -> None:
    _add_limits(commands)
    _command(commands, "pause", "start no new trial until resume; trials that run go on", _pause)
    _command(commands, "resume", "end a pause", _resume)
    stop = _command(
        commands, "stop", "end a search with all its trials, or some trials, and their jobs", _stop
    )
    stop.add_argument(
        "--trial", type=int, action="append", metavar="N", help="only this one; may be repeated"
    )
    extend = _command(commands, "extend", "more trials for a search that runs or has ended", _extend)
    extend.add_argument("trials", type=int, help="how many more")
    add = _command(commands, "add", "a trial with given parameters", _add)
    add.add_argument(
        "parameters", nargs="+", help='a whole set as JSON: {"<key of the search space>": <value>, …}'
    )
    clone = _command(commands, "clone", "a new trial with the parameters of an earlier one", _clone)
    clone.add_argument("trial", type=int, help="its number")
    clone.add_argument("--change", default="{}", metavar="JSON", help="what is to be different")
    retry = _command(commands, "retry", "new trials with the parameters of failed ones", _retry)
    retry.add_argument(
        "--trial", type=int, action="append", metavar="N", help="only this one; may be repeated"
    )


def _add_limits(commands: Commands) -> None:
    limits = _command(
        commands,
        "limits",
        "lower or raise the limits of a search that runs",
        _limits,
        "The next trial that wants to start follows them; trials that have begun go on. At a limit, the tasks that "
        "are left are skipped. A maximum above what the tasks at work can reach starts an extension run.",
    )
    limits.add_argument("--trials", type=int, help="maximum number of trials, those of the past included")
    limits.add_argument(
        "--hours",
        type=float,
        help="maximum duration, from the start of its (newest) DAG run as maxExecDuration counts; "
        "after it no trial starts",
    )
    limits.add_argument(
        "--concurrency",
        type=int,
        help="trials at once, of all searches of the model together: its pool's slots",
    )


def _command(
    commands: Commands,
    name: str,
    about: str,
    action: Callable[[Control, argparse.Namespace], None],
    description: str | None = None,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=about, description=description or about, allow_abbrev=False)
    command.add_argument("experiment", help="id of the search")
    command.add_argument("--by", help="who wants it, for the record (default: the user of this terminal)")
    add_store_option(command)
    command.set_defaults(run=lambda arguments: action(_control(arguments), arguments))
    return command


def _control(arguments: argparse.Namespace) -> Control:
    from include.adapters.airflow_workflow import AirflowWorkflow
    from include.experiments.control import Control

    return Control(open_store(arguments), AirflowWorkflow(), arguments.by or user())


def _limits(control: Control, arguments: argparse.Namespace) -> None:
    from include.experiments.control import check_slots, set_concurrency
    from include.experiments.limits import change_limits

    if arguments.concurrency is not None:
        check_slots(arguments.concurrency)  # before anything is changed
    others = arguments.trials is not None or arguments.hours is not None
    if others or arguments.concurrency is None:
        changed, notes = change_limits(
            control, arguments.experiment, trials=arguments.trials, hours=arguments.hours
        )
        trials = "no maximum" if changed.max_trials is None else f"at most {changed.max_trials}"
        until = "no end" if changed.deadline is None else f"{changed.deadline:%Y-%m-%d %H:%M:%S} UTC"
        print(f"{changed.id}: {trials} trials ({changed.asks} begun), new ones until: {until}")
        for note in notes:
            print(f"note: {note}")
    if arguments.concurrency is not None:
        _show(set_concurrency(control, arguments.experiment, arguments.concurrency))


def _pause(control: Control, arguments: argparse.Namespace) -> None:
    from include.experiments.control import pause

    _show(pause(control, arguments.experiment))


def _resume(control: Control, arguments: argparse.Namespace) -> None:
    from include.experiments.control import resume

    _show(resume(control, arguments.experiment))


def _stop(control: Control, arguments: argparse.Namespace) -> None:
    from include.experiments.control import stop_search, stop_trials

    if arguments.trial:
        _show(stop_trials(control, arguments.experiment, arguments.trial))
    else:
        _show(stop_search(control, arguments.experiment))


def _extend(control: Control, arguments: argparse.Namespace) -> None:
    from include.experiments.control import extend

    _show(extend(control, arguments.experiment, arguments.trials))


def _add(control: Control, arguments: argparse.Namespace) -> None:
    from include.experiments.control import add_trials

    _show(add_trials(control, arguments.experiment, [_parameters(text) for text in arguments.parameters]))


def _clone(control: Control, arguments: argparse.Namespace) -> None:
    from include.experiments.control import clone_trial

    _show(clone_trial(control, arguments.experiment, arguments.trial, _parameters(arguments.change)))


def _retry(control: Control, arguments: argparse.Namespace) -> None:
    from include.experiments.control import retry_failed

    _show(retry_failed(control, arguments.experiment, arguments.trial or ()))


def _parameters(text: str) -> dict[str, Any]:
    try:
        parameters = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not JSON: {text!r} ({error})") from error
    if not isinstance(parameters, dict):
        raise ConfigError(f"not a JSON object: {text!r}", hint='{"<key of the search space>": <value>, …}')
    return parameters


def _show(outcome: Outcome) -> None:
    print(outcome.said)
    for note in outcome.notes:
        print(f"note: {note}")
