"""The command ``adopt``: a finetune search's parameters, handed to the model's daily finetune (reference R26)."""

from __future__ import annotations

import argparse
from pathlib import Path

from include.cli.groups import Commands, add_oss_option, add_store_option, confirm, objects, open_store, user
from include.errors import ConfigError


def add_to(commands: Commands) -> None:
    adopt = commands.add_parser(
        "adopt",
        help="train a model's coming days with the parameters of a finetune search",
        description="Days that begin from now on get them; they win over the ini's edits and over the learning "
        "rate that is handed over. Shows what would be adopted and asks first.",
        allow_abbrev=False,
    )
    adopt.add_argument("folder", type=Path, help="e.g. include/models/movielens")
    adopt.add_argument("experiment", nargs="?", help="id of a finetune search")
    adopt.add_argument("--trial", type=int, metavar="N", help="number of a trial (default: the best one)")
    adopt.add_argument("--none", action="store_true", help="train days as before all adoptions")
    adopt.add_argument("--reason", default="", help="for the record")
    adopt.add_argument("--yes", action="store_true", help="don't ask")
    add_oss_option(adopt)
    add_store_option(adopt)
    adopt.set_defaults(run=_adopt)


def _adopt(arguments: argparse.Namespace) -> None:
    from include.daily import adoption
    from include.daily.plan import FinetunePlan

    if arguments.none == bool(arguments.experiment):
        raise ConfigError("give the id of a finetune search, or --none")
    plan = FinetunePlan.load(arguments.folder.resolve())
    store, by, reason = open_store(arguments), user(), arguments.reason
    if arguments.none:
        confirm(f"days of {plan.model} are trained as before all adoptions", yes=arguments.yes)
        adopted = adoption.adopt_none(store, plan, by=by, reason=reason)
    else:
        trial = adoption.parameters_to_adopt(store, plan.model, arguments.experiment, arguments.trial)
        print(f"trial {trial.number} of {trial.experiment_id}, metric {trial.metric}:")
        for key, value in trial.parameters.items():
            print(f"  {key} = {value}")
        for key, value in adoption.adopted_before(store, trial).items():
            print(f"  {key} = {value} (adopted before that search)")
        confirm(f"every day of {plan.model} that begins from now on is trained with them", yes=arguments.yes)
        oss = objects(arguments.oss_config)
        adopted = adoption.adopt(store, oss, plan, trial, by=by, reason=reason)
    print(f"adoption {adopted.number} of {adopted.model} counts")
