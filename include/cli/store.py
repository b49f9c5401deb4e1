"""The command ``store``: which Airflow uses the store; a move of it, and a copy that gets its own life."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from include.cli.groups import Commands, add_store_option, confirm, open_store, user


def add_to(commands: Commands) -> None:
    store = commands.add_parser("store", help="which Airflow uses the store; move or separate it")
    actions = store.add_subparsers(required=True, metavar="action")
    _action(actions, "show", "its UUID and the Airflow that uses it", _show)
    rebind = _action(
        actions,
        "rebind",
        "let another Airflow have the store: the first one that uses it from now on",
        _rebind,
        "For an Airflow that takes the place of another one, or that lost its database or its Variables. The "
        "other one is refused from now on. Runs that the new one doesn't know are over for it: its "
        "easyrec_reconcile stops their jobs.",
    )
    separate = _action(
        actions,
        "separate",
        "make a copy of a store a store of its own, so that it leaves the original's jobs alone",
        _separate,
        "Run it on the copy, while no component of the copy's Airflow runs. The copy gets a UUID of its own; what "
        "is open in it ends in its records, while the jobs themselves go on for the original.",
    )
    for changing in (rebind, separate):
        changing.add_argument("--yes", action="store_true", help="don't ask")


def _action(
    actions: Commands,
    name: str,
    about: str,
    run: Callable[[argparse.Namespace], None],
    description: str | None = None,
) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=about, description=description or about, allow_abbrev=False)
    add_store_option(action)
    action.set_defaults(run=run)
    return action


def _show(arguments: argparse.Namespace) -> None:
    with open_store(arguments) as store:
        binding = store.binding()
    print(f"UUID {binding.uuid}")
    if binding.at is None:
        print("no Airflow uses it yet")
    else:
        print(f"used by Airflow {binding.to} since {binding.at:%Y-%m-%d %H:%M} UTC")


def _rebind(arguments: argparse.Namespace) -> None:
    with open_store(arguments) as store:
        jobs = len(store.open_steps())
        confirm(
            f"the next Airflow that uses store {store.uuid} has it, and no other. {jobs} of its jobs are open: those "
            "whose tasks that Airflow doesn't know will be stopped",
            yes=arguments.yes,
        )
        store.unbind(by=user())
    print("the next Airflow that uses it has it")


def _separate(arguments: argparse.Namespace) -> None:
    with open_store(arguments) as store:
        jobs = len(store.open_steps())
        confirm(
            f"this is a store of its own, no longer {store.uuid}. {jobs} jobs are open and go on without it",
            yes=arguments.yes,
        )
        made = store.separate_copy(by=user())
    print(f"its UUID is {made}; the next Airflow that uses it has it")
