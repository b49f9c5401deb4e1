"""``import-connections`` against a real Airflow: an empty metadata database, its own command line."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from include.adapters.connections import MaxComputeCredentials, OssCredentials

ROOT = Path(__file__).parents[2]
KEY, SECRET, TOKEN = "LTAIfakeKeyForTests1", 'f4ke/"Secret=\\%', "CAISfakeTokenForTests"
INI = f"""\
; kept as it is\r
[oss_config]
endpoint=http://oss-cn-beijing.aliyuncs.com
accessKeyID={KEY}
accessKeySecret={SECRET}

[odps_config]
project_name=pai_rec_dev
odps_endpoint=http://service.odps.aliyun.com/api
accessKeyID={KEY}
accessKeySecret={SECRET}
security_token={TOKEN}

[metric_config]
auc=1
"""
CLEANED = "".join(
    line for line in INI.splitlines(keepends=True) if not line.lower().startswith(("accesskey", "security"))
)
LISTENER = """
import sys
sys.addaudithook(lambda event, args: event == "subprocess.Popen" and print("RUN", args[1], file=sys.stderr))
from include.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""The command line, and what it runs said on stderr."""


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AIRFLOW_HOME with an empty database; tests work on copies."""
    home = tmp_path_factory.mktemp("airflow")
    airflow(home, "db", "migrate")
    return home


@pytest.fixture
def home(migrated: Path, tmp_path: Path) -> Path:
    shutil.copytree(migrated, tmp_path / "airflow")
    return tmp_path / "airflow"


@pytest.fixture
def old_ini(tmp_path: Path) -> Path:
    file = tmp_path / "config_begin.ini"
    file.write_bytes(INI.encode())
    file.chmod(0o600)
    return file


def environment(home: Path) -> dict[str, str]:
    (home / "tmp").mkdir(exist_ok=True)
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")},
        "PYTHONPATH": str(ROOT),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "TMPDIR": str(home / "tmp"),
    }


def airflow(home: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *command],
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stored(home: Path) -> Mapping[str, Mapping[str, str]]:
    """Every connection that Airflow has, as it gives them out: its type with what is in ``extra``."""
    file = home / "exported.json"
    airflow(home, "connections", "export", str(file))
    found = json.loads(file.read_text())
    return {
        name: {"conn_type": each["conn_type"], **json.loads(each["extra"])} for name, each in found.items()
    }


def move(home: Path, ini: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LISTENER, "import-connections", str(ini), "--region", "cn-beijing"]
    done = subprocess.run(
        [*command, *options], env=environment(home), capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert not [secret for secret in (KEY, SECRET, TOKEN) if secret in said]
    assert list((home / "tmp").iterdir()) == [], "something with keys was left behind"
    return done


def test_the_keys_move_into_two_connections_that_our_clients_can_use(home: Path, old_ini: Path) -> None:
    done = move(home, old_ini)

    assert done.returncode == 0, done.stderr
    assert "RUN" in done.stderr  # what it runs was listened to, and showed no key
    assert "maxcompute_default, oss_default" in done.stdout
    kept = stored(home)
    extra = kept["maxcompute_default"]
    assert extra["conn_type"] == "maxcompute"
    maxcompute = MaxComputeCredentials.from_extra("maxcompute_default", extra)
    assert (maxcompute.access_key_id, maxcompute.access_key_secret) == (KEY, SECRET)
    assert maxcompute.security_token == TOKEN
    assert (maxcompute.project, maxcompute.endpoint) == (
        "pai_rec_dev",
        "http://service.odps.aliyun.com/api",
    )
    extra = kept["oss_default"]
    assert extra["conn_type"] == "oss"
    oss = OssCredentials.from_extra("oss_default", extra)
    assert (oss.access_key_id, oss.access_key_secret, oss.security_token) == (KEY, SECRET, TOKEN)
    assert (oss.region, oss.endpoint) == ("cn-beijing", "http://oss-cn-beijing.aliyuncs.com")
    assert old_ini.read_bytes() == CLEANED.encode()
    assert stat.S_IMODE(old_ini.stat().st_mode) == 0o600
    assert [p.name for p in old_ini.parent.glob("*.ini*")] == [old_ini.name]


def test_a_connection_that_holds_something_else_is_kept_and_so_are_the_keys(
    home: Path, old_ini: Path
) -> None:
    with sqlite3.connect(home / "airflow.db") as database:  # a person made it
        database.execute(
            "INSERT INTO connection (conn_id, conn_type, extra, is_encrypted, is_extra_encrypted) "
            """VALUES ('oss_default', 'oss', '{"a": "b"}', 0, 0)"""
        )

    done = move(home, old_ini)

    assert done.returncode == 1
    assert "oss_default" in done.stderr
    assert "maxcompute_default" not in done.stderr
    assert old_ini.read_bytes() == INI.encode()
    with sqlite3.connect(home / "airflow.db") as database:
        assert database.execute("SELECT conn_id FROM connection").fetchall() == [("oss_default",)]


def test_what_airflow_passes_over_is_noticed_and_the_keys_stay(home: Path, old_ini: Path) -> None:
    done = move(home, old_ini, "--oss-conn-id", "our oss!")

    assert done.returncode == 1
    assert "our oss!" in done.stderr
    assert old_ini.read_bytes() == INI.encode()


def test_a_database_that_can_t_be_used_leaves_the_ini_alone(home: Path, old_ini: Path) -> None:
    (home / "airflow.db").write_text("no database at all, and long enough to be looked at as one")

    done = move(home, old_ini)

    assert done.returncode == 1
    assert "airflow db check" in done.stderr
    assert old_ini.read_bytes() == INI.encode()


@pytest.mark.parametrize("without", ["accessKeyID", "accessKeySecret", "project_name", "odps_endpoint"])
def test_an_ini_that_lacks_a_part_is_refused_before_airflow_is_asked(
    tmp_path: Path, old_ini: Path, without: str
) -> None:
    lines = [line for line in INI.splitlines() if not line.startswith(without)]
    old_ini.write_text("\n".join(lines))

    done = move(tmp_path, old_ini)

    assert done.returncode == 1
    assert without in done.stderr
    assert "RUN" not in done.stderr
    assert old_ini.read_text() == "\n".join(lines)
