"""Keys of OSS from ossutil's configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.adapters import ossutil_config
from include.errors import ConfigError

KEYS = {"endpoint": "oss-cn-beijing.aliyuncs.com", "accessKeyID": "my-id", "accessKeySecret": "my-secret=%s"}


def written(folder: Path, section: str = "Credentials", **values: str) -> Path:
    lines = [f"{key}={value}" for key, value in {**KEYS, **values}.items()]
    path = folder / "ossutilconfig"
    path.write_text("\n".join([f"[{section}]", "language=CH", *lines, "[Bucket-Endpoint]", "x=y"]), "utf-8")
    return path


def test_the_file_of_the_old_command_line_is_read(tmp_path: Path) -> None:
    found = ossutil_config.load(written(tmp_path, stsToken="my-token"))
    assert found.endpoint == "http://oss-cn-beijing.aliyuncs.com"
    assert (found.access_key_id, found.access_key_secret) == ("my-id", "my-secret=%s")
    assert (found.security_token, found.region) == ("my-token", "cn-beijing")
    assert "my-" not in repr(found)


def test_the_file_of_ossutil_2_is_read_with_its_spellings(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(
        "\ufeff# made by ossutil\n[profile default]\naccess-key-id = my-id\naccess_key_secret = 'my-secret'\n"
        "region = cn-hangzhou\n[profile other]\naccessKeyId = no\n",
        "utf-8",
    )
    found = ossutil_config.load(path)
    assert found.endpoint == "https://oss-cn-hangzhou.aliyuncs.com"
    assert (found.access_key_id, found.access_key_secret, found.region) == (
        "my-id",
        "my-secret",
        "cn-hangzhou",
    )


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path).rename(tmp_path / ".ossutilconfig")
    assert ossutil_config.load(ossutil_config.DEFAULT_PATH).access_key_id == "my-id"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no section [Credentials]"),
        ("[other]\naccessKeyID=my-id", "has no section [Credentials]"),
        ("[Credentials]\naccessKeyID=my-id\nendpoint=", "lacks accessKeySecret, endpoint"),
        ("accessKeySecret=my-secret", "is not a configuration file of ossutil"),
        ("[Credentials]\nmy-secret", "is not a configuration file of ossutil"),
        ("[Credentials]\nmy-secret=\xff", "is not a configuration file of ossutil"),
    ],
)
def test_what_is_wrong_is_said_without_showing_a_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "config"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        ossutil_config.load(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "my-" not in str(caught.value)


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ossutil config"):
        ossutil_config.load(tmp_path / "none")
    with pytest.raises(ConfigError, match="can't be read"):
        ossutil_config.load(tmp_path)
