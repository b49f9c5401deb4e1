"""The command line as a whole."""

from __future__ import annotations

import pytest

from include.cli import main

COMMANDS = (
    "check",
    "import-connections",
    "modify-pipeline-config",
    "experiments",
    "limits",
    "logview",
    "days",
    "promote",
    "rollback",
    "sandbox",
)


def test_every_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert [command for command in COMMANDS if f"    {command}" not in shown] == []


@pytest.mark.parametrize("command", COMMANDS[:-1])
def test_unknown_options_are_errors(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--unknown"])
    assert caught.value.code == 2
    assert capsys.readouterr().err


def test_the_sandbox_gets_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["sandbox", "--help"])
    assert caught.value.code == 0
    assert "--endpoints-file" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(["sandbox", "--folder", "x", "--unknown"])
    assert caught.value.code == 2
