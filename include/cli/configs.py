"""The command ``modify-pipeline-config``: hand a learning rate over to finetune (reference R23)."""

from __future__ import annotations

import argparse
import sys

from include.cli.groups import Commands, add_oss_option, objects
from include.errors import ConfigError


def add_to(commands: Commands) -> None:
    modify = commands.add_parser(
        "modify-pipeline-config",
        help="write the learning rate to start with into a pipeline config",
        description="Sets the rate with which the schedule of every optimizer begins; all else stays as it is. "
        "Either path may be local or on OSS, and both may be the same.",
        allow_abbrev=False,
    )
    for name, text in (
        ("pipeline_config_path", "the config to read: a file, or oss://…"),
        ("save_path", "where the patched config goes: a file, or oss://…"),
        ("learning_rate", "e.g. 1e-6; or one for each optimizer_config: 1e-6,1e-5"),
    ):
        modify.add_argument(f"--{name}", f"--{name.replace('_', '-')}", required=True, help=text)
    add_oss_option(modify)
    modify.set_defaults(run=_modify)


def _modify(arguments: argparse.Namespace) -> None:
    from include.daily.config_files import ConfigFiles
    from include.finetune.learning_rate import hand_over

    source, target = arguments.pipeline_config_path, arguments.save_path
    rates = _rates(arguments.learning_rate)
    files = ConfigFiles(lambda: objects(arguments.oss_config))
    text = files.read(source)
    try:
        handed = hand_over(text, rates[0] if len(rates) == 1 else rates)
    except ConfigError as error:
        raise ConfigError(str(error), where=source) from error
    for warning in handed.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    files.write(target, handed.text)
    for change in handed.changes:
        print(change)
    print(f"{target}: {'written' if handed.changes else 'written, it had this rate already'}")


def _rates(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        hint = "write e.g. 1e-6, or one for each optimizer: 1e-6,1e-5"
        raise ConfigError(f"{text!r} is not a number", where="--learning_rate", hint=hint) from None
