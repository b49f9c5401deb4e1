"""``modify-pipeline-config`` between local files and the sandbox's OSS, with keys from ossutil's file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oss2
import pytest

from include.adapters.oss import OssObjects
from include.cli import main
from include.errors import NotFoundError
from include.sandbox import Endpoints
from tests.support.sandboxed import control, oss_credentials, running_sandbox

CONFIG = (
    "train_config { optimizer_config { adam_optimizer { learning_rate { constant_learning_rate {\n"
    "  learning_rate: 0.001 # 精排\r\n} } } } }\n"
)
PATCHED = CONFIG.replace("0.001", "1e-06")


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    with running_sandbox(tmp_path_factory.mktemp("oss")) as sandbox:
        yield sandbox.endpoints


@pytest.fixture
def objects(endpoints: Endpoints) -> OssObjects:
    return OssObjects(oss_credentials(endpoints))


def write_keys(path: Path, endpoints: Endpoints, **changes: str) -> Path:
    keys = {
        "endpoint": endpoints.oss,
        "accessKeyID": endpoints.access_key_id,
        "accessKeySecret": endpoints.access_key_secret,
    }
    lines = [f"{name}={value}" for name, value in {**keys, **changes}.items()]
    path.write_text("\n".join(["[Credentials]", "language=EN", *lines, ""]))
    return path


def run(source: str, target: str, keys: Path) -> int:
    flags = [f"--pipeline_config_path={source}", f"--save_path={target}", "--learning_rate=1e-6"]
    return main(["modify-pipeline-config", *flags, f"--oss_config={keys}"])


def recorded_requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Methods of the requests that oss2 sends from now on."""
    sent: list[str] = []
    send = oss2.Session.do_request

    def noted(self: oss2.Session, request: Any, timeout: Any) -> Any:
        sent.append(request.method)
        return send(self, request, timeout)

    monkeypatch.setattr(oss2.Session, "do_request", noted)
    return sent


@pytest.mark.parametrize("source_kind", ["local", "oss"])
@pytest.mark.parametrize("target_kind", ["local", "oss", "same"])
@pytest.mark.parametrize("signed", ["V1", "V4", "STS"])
def test_any_mix_of_local_and_oss_works(
    endpoints: Endpoints,
    objects: OssObjects,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    source_kind: str,
    target_kind: str,
    signed: str,
) -> None:
    changes = {"V1": {}, "V4": {"region": "cn-sandbox"}, "STS": {}}[signed]
    if signed == "STS":
        given = control(endpoints, "sts", {})
        changes = {
            "accessKeyID": given["access_key_id"],
            "accessKeySecret": given["access_key_secret"],
            "stsToken": given["security_token"],
        }
    keys = write_keys(tmp_path / "keys", endpoints, **changes)
    base = f"oss://{endpoints.bucket}/{tmp_path.name}"
    places = {"local": str(tmp_path / "{}"), "oss": base + "/{}"}
    source = places[source_kind].format("in.config")
    target = source if target_kind == "same" else places[target_kind].format("out.config")

    def read(place: str) -> bytes:
        return objects.read(place) if place.startswith("oss://") else Path(place).read_bytes()

    if source_kind == "oss":
        objects.write(source, CONFIG.encode())
    else:
        Path(source).write_bytes(CONFIG.encode())
    sent = recorded_requests(monkeypatch)
    assert run(source, target, keys) == 0
    assert sent == ["GET"] * source.startswith("oss") + ["PUT"] * target.startswith("oss")
    assert read(target) == PATCHED.encode()
    if target != source:
        assert read(source) == CONFIG.encode()
    shown = "".join(capsys.readouterr())
    assert "constant_learning_rate.learning_rate: 0.001 -> 1e-06" in shown
    assert not any(secret in shown for secret in secrets(keys))


def secrets(keys: Path) -> list[str]:
    pairs = [line.partition("=") for line in keys.read_text().splitlines()]
    return [value for name, _, value in pairs if name.startswith(("accessKey", "sts"))]


def test_what_fails_leaves_the_target_as_it_was_and_shows_no_key(
    endpoints: Endpoints, objects: OssObjects, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = f"oss://{endpoints.bucket}/{tmp_path.name}"
    objects.write(f"{base}/out.config", b"old")
    local = tmp_path / "in.config"
    local.write_text(CONFIG)
    good = write_keys(tmp_path / "keys", endpoints)
    wrong = write_keys(tmp_path / "wrong", endpoints, accessKeySecret="not-the-secret")

    def fails(source: str, target: str, keys: Path, says: str) -> None:
        assert run(source, target, keys) == 1
        shown = "".join(capsys.readouterr())
        assert says in shown
        assert not any(secret in shown for secret in secrets(keys))
        assert objects.read(f"{base}/out.config") == b"old"

    fails(f"{base}/none.config", f"{base}/out.config", good, f"{base}/none.config: no such object")
    fails(str(local), f"{base}/out.config", wrong, "SignatureDoesNotMatch")
    fails(str(local), f"oss://{endpoints.bucket}", good, "is not an OSS path")
    fails(str(local), f"oss://{endpoints.bucket}/", good, "this is a bucket, not an object")
    control(
        endpoints,
        "faults",
        {"service": "oss", "kind": "status", "method": "PUT", "status": 400, "code": "Bad"},
    )
    fails(str(local), f"{base}/out.config", good, "OSS: Bad")
    local.write_text(CONFIG.replace("0.001", "0.001 learning_rate"))
    fails(str(local), f"{base}/out.config", good, f"error: {local}: line 3, column 1")
    with pytest.raises(NotFoundError):
        objects.read(f"{base}/none.config")


def test_the_command_line_takes_the_keys_from_the_home_folder(
    endpoints: Endpoints, objects: OssObjects, tmp_path: Path
) -> None:
    write_keys(tmp_path / ".ossutilconfig", endpoints)
    url = f"oss://{endpoints.bucket}/{tmp_path.name}/pipeline.config"
    objects.write(url, CONFIG.encode())
    flags = [f"--pipeline_config_path={url}", f"--save_path={url}", "--learning_rate=1e-6"]
    done = subprocess.run(
        [sys.executable, "-m", "include.cli", "modify-pipeline-config", *flags],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.001 -> 1e-06" in done.stdout
    assert objects.read(url) == PATCHED.encode()
