"""What comes from outside and is no text, or no file, is one ConfigError that says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.adapters import odpscmd_config, ossutil_config, user_classes
from include.cli import main
from include.daily.config_files import ConfigFiles
from include.errors import ConfigError
from include.experiments import settings
from include.jobs import ini
from include.search import config as search_config
from include.search import space
from include.texts import file_text, local_path, utf8


def test_what_is_no_text_is_said_with_its_place():
    assert utf8("\ufeffa\r\nä".encode(), "x") == "\ufeffa\r\nä"
    with pytest.raises(ConfigError, match=r"^oss://b/x: not UTF-8 text \(byte 2\)$"):
        utf8(b"ab\xff", "oss://b/x")


def test_a_file_is_read_without_its_mark_and_with_one_kind_of_line_end(tmp_path):
    (tmp_path / "x").write_bytes("\ufeffa\r\nb\rc\n".encode())
    assert file_text(tmp_path / "x") == "a\nb\nc\n"


READERS = [
    file_text,
    ini.load,
    search_config.load,
    space.load,
    settings.load,
    lambda path: ConfigFiles(lambda: None).read(str(path)),
]


@pytest.mark.parametrize("read", READERS)
def test_a_file_that_cannot_be_read_is_named(tmp_path, read):
    (tmp_path / "bad").write_bytes(b"a\xff")
    for path, said in (
        (tmp_path / "bad", "not UTF-8"),
        (tmp_path / "none", "No such file"),
        (tmp_path, "can't be read"),
        (Path("a\0b"), "zero byte"),
        (Path("~no.such-person/x"), "no such home"),
    ):
        with pytest.raises(ConfigError, match=said) as refused:
            read(path)
        assert repr(str(path))[1:-1] in str(refused.value)


@pytest.mark.parametrize(
    "use",
    [
        local_path,
        odpscmd_config.load,
        ossutil_config.load,
        lambda path: user_classes.load(path, "my_tuner.Tuner"),
        lambda path: ConfigFiles(lambda: None).write(str(path), "x"),
    ],
)
@pytest.mark.parametrize("path", ["a\0b", "~no.such-person/x"])
def test_a_path_that_names_nothing_is_refused(use, path):
    with pytest.raises(ConfigError, match=r"zero byte|no such home"):
        use(Path(path))


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "a\0b"],
        ["check", "a", "--pipeline-config", "a\0b"],
        ["import-connections", "a\0b", "--region", "cn-beijing"],
        [
            "modify-pipeline-config",
            "--pipeline-config-path",
            "a\0",
            "--save-path",
            "b",
            "--learning-rate",
            "1",
        ],
        ["experiments", "--store", "sqlite:///a\0b"],
        ["pause", "movielens-\udcff"],
    ],
)
def test_what_is_no_text_in_a_command_is_one_error(arguments, capsys):
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith("error: an argument holds a zero byte")
