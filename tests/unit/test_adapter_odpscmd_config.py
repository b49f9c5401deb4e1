"""Keys of MaxCompute from odpscmd's configuration file."""

from __future__ import annotations

import pytest

from include.adapters.odpscmd_config import load
from include.errors import ConfigError

FILE = (
    "# of odpscmd\r\nproject_name = pai_dev\naccess_id=LTAIid\naccess_key=se=cret\n"
    "end_point=http://service.odps.aliyun.com/api\nhttps_check=true\nsts_token=tok\n"
)


def test_what_odpscmd_wrote_is_read(tmp_path):
    (tmp_path / "odps_config.ini").write_text(FILE)

    found = load(tmp_path / "odps_config.ini")

    assert (found.project, found.endpoint) == ("pai_dev", "http://service.odps.aliyun.com/api")
    assert (found.access_key_id, found.access_key_secret, found.security_token) == (
        "LTAIid",
        "se=cret",
        "tok",
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"project_name=p\naccess_key=se=cret\n", "lacks access_id, end_point"),
        (FILE.replace("access_key=", "#access_key=").encode(), "lacks access_key"),
        (b"\xff\xfe", "not a configuration file of odpscmd"),
        (None, "no such file"),
    ],
)
def test_a_file_of_no_use_is_named_and_no_line_of_it_is_shown(tmp_path, content, says):
    file = tmp_path / "odps_config.ini"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError, match=says) as caught:
        load(file)

    assert str(file) in str(caught.value)
    assert "se=cret" not in str(caught.value)
