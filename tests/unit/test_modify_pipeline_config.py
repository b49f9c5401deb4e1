"""``modify-pipeline-config`` on local files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from include.cli import main

CONFIG = """# 精排
train_config {\r
  optimizer_config {
    adam_optimizer { learning_rate { exponential_decay_learning_rate {
      initial_learning_rate: 0.001  # begin's
      decay_steps: 1000 decay_factor: 0.1 min_learning_rate: 1e-07
    } } }
  }
}
"""
PATH = "train_config.optimizer_config[0].adam_optimizer.learning_rate.exponential_decay_learning_rate"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.config"
    path.write_bytes(CONFIG.encode())
    return path


def run(source: Path, target: Path | str, rate: str = "1e-6", *more: str) -> int:
    return main(
        [
            "modify-pipeline-config",
            f"--pipeline_config_path={source}",
            f"--save_path={target}",
            f"--learning_rate={rate}",
            *more,
        ]
    )


def test_the_manuals_command_changes_the_rate_and_nothing_else(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new" / "finetune.config"
    assert run(source, target) == 0
    assert target.read_bytes() == CONFIG.replace("0.001 ", "1e-06 ").encode()
    assert source.read_bytes() == CONFIG.encode()
    out, err = capsys.readouterr()
    assert f"{PATH}.initial_learning_rate: 0.001 -> 1e-06" in out
    assert str(target) in out
    assert err == ""


def test_flags_may_be_hyphenated_and_the_old_ones_are_not_abbreviated(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.config"
    arguments = ["--pipeline-config-path", str(source), "--save-path", str(target), "--learning-rate", "1e-6"]
    assert main(["modify-pipeline-config", *arguments]) == 0
    for wrong in (["--save", str(target)], ["--unknown=1"], []):
        with pytest.raises(SystemExit):
            main(["modify-pipeline-config", *arguments[:2], *arguments[4:], *wrong])


def test_the_same_path_in_and_out_keeps_its_mode_and_its_link(source: Path, tmp_path: Path) -> None:
    source.chmod(0o640)
    link = tmp_path / "current.config"
    link.symlink_to(source)
    assert run(link, link) == 0
    assert b"initial_learning_rate: 1e-06" in source.read_bytes()
    assert link.is_symlink()
    assert source.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current.config", "pipeline.config"]


def test_a_warning_goes_to_stderr(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source, source, "1e-9") == 0
    out, err = capsys.readouterr()
    assert err.startswith(f"warning: {PATH}.initial_learning_rate: 1e-09 is below min_learning_rate 1e-07")
    assert "-> 1e-07" in out


def test_a_second_run_changes_nothing(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source, source) == 0
    first = source.read_bytes()
    capsys.readouterr()
    assert run(source, source) == 0
    assert source.read_bytes() == first
    assert "had this rate already" in capsys.readouterr().out


def test_each_optimizer_may_get_its_rate(source: Path) -> None:
    block = CONFIG[CONFIG.index("  optimizer_config") : CONFIG.rindex("}")]
    source.write_text(CONFIG.replace(block, block + block))
    assert run(source, source, "1e-5,1e-6") == 0
    assert [line for line in source.read_text().split("\n") if "initial" in line] == [
        "      initial_learning_rate: 1e-05  # begin's",
        "      initial_learning_rate: 1e-06  # begin's",
    ]


@pytest.mark.parametrize(
    ("text", "rate", "says"),
    [
        (CONFIG, "fast", "--learning_rate: 'fast' is not a number"),
        (CONFIG, "nan", "nan is no learning rate"),
        (CONFIG, "1e-6,1e-6", "2 learning rates for 1 optimizers"),
        (CONFIG.replace("0.1 ", "1.5 "), "1e-6", f"{PATH}.decay_factor is 1.5: the rate grows"),
        ("train_config {", "1e-6", "line 1, column"),
        ("", "1e-6", "no optimizer is set"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, rate: str, says: str
) -> None:
    source.write_text(text)
    target = tmp_path / "folder" / "out.config"
    assert run(source, target, rate) == 1
    err = capsys.readouterr().err
    assert says in err
    assert rate == "fast" or str(source) in err
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline.config"]


def test_paths_that_can_not_be_used_are_named(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong_source, wrong_target, says in (
        (tmp_path / "none", source, "No such file"),
        (tmp_path, source, "can't be read"),
        (source, tmp_path, "it is a folder"),
        (source, source / "below" / "out.config", "can't be written"),
    ):
        assert run(wrong_source, wrong_target) == 1
        assert says in capsys.readouterr().err
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    assert run(binary, source) == 1
    assert "not UTF-8 text" in capsys.readouterr().err
    assert source.read_bytes() == CONFIG.encode()


def test_a_write_that_fails_half_way_leaves_the_old_file(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert run(source, source) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert source.read_bytes() == CONFIG.encode()
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline.config"]


def test_oss_without_keys_says_where_they_are_looked_for(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run(source, "oss://bucket/out.config") == 1
    err = capsys.readouterr().err
    assert str(tmp_path / ".ossutilconfig") in err
    assert "--oss_config" in err
