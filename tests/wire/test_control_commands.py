"""``days``, ``promote``, ``rollback`` and ``logview`` against the sandbox, with keys from the vendor's own files."""

from __future__ import annotations

import getpass
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests

from include.adapters.maxcompute import MaxComputeJobs
from include.adapters.oss import OssObjects
from include.cli import main
from include.daily import by_hand
from include.names import StepId
from include.ports import JobPayload
from include.sandbox import Endpoints
from include.store import DayState, ExperimentStore, NewExperiment, RunKey, TaskKey
from tests.support.daily import BAD, Days, june, opened_days
from tests.support.sandboxed import QUICK, control, maxcompute_credentials, oss_credentials, running_sandbox

MODEL = Path(__file__).resolve().parents[2] / "include" / "models" / "movielens"
LIVE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    with running_sandbox(tmp_path_factory.mktemp("cloud")) as sandbox:
        yield sandbox.endpoints


@dataclass
class Desk:
    """A person's terminal: the model's folder, key files, the store."""

    endpoints: Endpoints
    home: Path
    days: Days
    capsys: pytest.CaptureFixture[str]

    @property
    def store(self) -> ExperimentStore:
        return self.days.services.store

    def run(self, *command: object) -> tuple[int, str, str]:
        code = main([*map(str, command), "--store", f"sqlite:///{self.home / 'store.db'}"])
        out, err = self.capsys.readouterr()
        assert self.endpoints.access_key_secret not in out + err
        return code, out, err

    def by_hand(self, command: str, *options: object, keys: str = "ossutil") -> tuple[int, str, str]:
        return self.run(
            command,
            self.home / "movielens",
            *options,
            "--reason",
            "a test",
            f"--oss_config={self.home / keys}",
        )

    def current(self) -> dict[str, Any]:
        """What readers of OSS see."""
        url = self.days.plan.promotions_prefix + "current.json"
        found: dict[str, Any] = json.loads(self.days.services.objects.read(url))
        return found

    def oss_keys(self, name: str, secret: str) -> None:
        lines = [f"endpoint={self.endpoints.oss}", f"accessKeyID={self.endpoints.access_key_id}"]
        (self.home / name).write_text("\n".join(["[Credentials]", *lines, f"accessKeySecret={secret}", ""]))


@pytest.fixture
def desk(endpoints: Endpoints, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    shutil.copytree(MODEL, tmp_path / "movielens")
    settings = {"finetune": {"promotions": f"oss://{endpoints.bucket}/{tmp_path.name}/promotions"}}
    given = (MODEL / "model.yml").read_text()
    assert "finetune:\n" in given
    place = settings["finetune"]["promotions"]
    (tmp_path / "movielens" / "model.yml").write_text(
        given.replace("finetune:\n", f"finetune:\n  promotions: {place}\n")
    )
    objects = OssObjects(oss_credentials(endpoints), retries=QUICK)
    with opened_days(tmp_path / "movielens", tmp_path / "store.db", objects) as days:
        desk = Desk(endpoints, tmp_path, days, capsys)
        desk.oss_keys("ossutil", endpoints.access_key_secret)
        yield desk
    control(endpoints, "faults", method="DELETE")


def test_a_refused_day_serves_once_a_person_promotes_it(desk: Desk) -> None:
    desk.days.promote(1)
    desk.days.train(2, BAD)
    assert desk.current()["bizdate"] == "2022-06-01"

    code, out, err = desk.by_hand("promote", "20220602")

    assert (code, err) == (0, "")
    assert "promotion 2 serves: 2022-06-02" in out
    assert "20220602_model/model.ckpt-10" in out
    pointer = desk.current()
    assert (pointer["number"], pointer["bizdate"], pointer["reason"]) == (2, "2022-06-02", "a test")
    assert pointer["by"] == getpass.getuser()
    assert desk.store.leases("movielens") == []


def test_a_rollback_serves_the_earlier_model_again(desk: Desk) -> None:
    desk.days.promote(1, 2)

    code, out, _ = desk.by_hand("rollback", "--to", 1)

    assert code == 0
    assert "promotion 3 serves: 2022-06-01" in out
    pointer = desk.current()
    assert (pointer["number"], pointer["kind"], pointer["bizdate"]) == (3, "rollback", "2022-06-01")
    assert desk.store.leases("movielens") == []


@pytest.mark.parametrize("command", [("promote", "20220602"), ("rollback", "--to", "1")])
def test_while_a_run_has_the_lease_nothing_changes_and_the_run_is_named(
    desk: Desk, command: Sequence[str]
) -> None:
    desk.days.promote(1, 2)
    desk.days.train(3, BAD)
    run = RunKey("daily_finetune_movielens", "june4")
    assert desk.store.try_lease("movielens", run=run, bizdate=june(4), live_for=LIVE).held

    code, out, err = desk.by_hand(*command)

    assert (code, out) == (1, "")
    assert "daily_finetune_movielens/june4 has the lease for 2022-06-04" in err
    assert "--ended-run june4" in err
    assert desk.current()["number"] == 2
    [lease] = desk.store.leases("movielens")
    assert (lease.run, lease.held) == (run, True)

    assert desk.by_hand(*command, "--ended-run", "another")[0] == 1
    assert desk.by_hand(*command, "--ended-run", "june4")[0] == 0
    assert desk.store.leases("movielens") == []


def test_the_lease_of_a_killed_command_ends_after_a_while(desk: Desk) -> None:
    desk.days.promote(1, 2)
    killed = by_hand.run_key("ada@host:1")
    assert desk.store.try_lease("movielens", run=killed, bizdate=june(1), live_for=LIVE).held
    [lease] = desk.store.leases("movielens")

    code, _, err = desk.by_hand("rollback", "--to", 1)
    assert code == 1
    assert "cli/ada@host:1 has the lease" in err

    later = datetime.now(timezone.utc) + timedelta(hours=1)
    assert by_hand.is_dead(lease, later)
    own = by_hand.run_key("bob@host:2")
    with by_hand.lease_held(desk.store, "movielens", run=own, bizdate=june(1), now=later):
        assert [each.run for each in desk.store.leases("movielens")] == [own]
    assert desk.store.leases("movielens") == []


def test_keys_that_oss_refuses_change_nothing(desk: Desk) -> None:
    desk.days.promote(1, 2)
    desk.days.train(3, BAD)
    desk.oss_keys("wrong", "not-the-secret")

    for command in (("promote", "20220603"), ("rollback", "--to", "1")):
        code, _, err = desk.by_hand(*command, keys="wrong")
        assert code == 1
        assert "SignatureDoesNotMatch" in err
        assert "not-the-secret" not in err

    assert len(desk.store.promotions("movielens")) == 2
    assert desk.store.leases("movielens") == []


def test_a_rollback_whose_publishing_failed_is_made_good_by_asking_again(desk: Desk) -> None:
    desk.days.promote(1, 2)
    fault = {
        "service": "oss",
        "kind": "status",
        "method": "PUT",
        "path": "000003",
        "status": 400,
        "code": "Bad",
    }
    control(desk.endpoints, "faults", fault)
    assert desk.by_hand("rollback", "--to", 1)[0] == 1
    assert desk.current()["number"] == 2
    control(desk.endpoints, "faults", method="DELETE")

    assert desk.by_hand("rollback", "--to", 1)[0] == 0

    assert desk.current()["number"] == 3
    assert len(desk.store.promotions("movielens")) == 3


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("promote", "20220609"), "no trained model of 2022-06-09"),
        (("promote", "june"), "'june' is not a day"),
        (("rollback", "--to", "7"), "no promotion 7"),
        (("rollback", "--to", "1", "--reason", " "), "--reason: the reason is empty"),
    ],
)
def test_what_can_not_be_done_says_why(desk: Desk, command: Sequence[str], says: str) -> None:
    desk.days.promote(1)

    # the last --reason counts
    name, *rest = command
    code, _, err = desk.run(
        name, desk.home / "movielens", "--reason", "x", *rest, f"--oss_config={desk.home / 'ossutil'}"
    )

    assert code == 1
    assert says in err
    assert desk.current()["number"] == 1


def test_days_show_the_chain_and_what_serves(desk: Desk) -> None:
    desk.days.promote(1)
    desk.days.train(2, BAD)

    code, out, _ = desk.run("days", "movielens", "--max-age-hours", 1)

    assert code == 0
    first, second = (line.split() for line in out.splitlines()[2:4])
    assert first[:4] == ["2022-06-01", "0", "PROMOTED", "0.70000"]
    assert second[:4] == ["2022-06-02", "0", "GATE_FAILED", "0.50000"]
    assert "auc_is_like 0.5 is not at least 0.55" in out
    assert "serves: promotion 1 (day 2022-06-01), 0.0 hours old" in out

    found = json.loads(desk.run("days", "movielens", "--json")[1])
    assert [(d["bizdate"], d["state"]) for d in found["days"]] == [
        ("2022-06-01", DayState.PROMOTED.value),
        ("2022-06-02", DayState.GATE_FAILED.value),
    ]
    assert found["serves"]["promotion"] == 1
    assert found["serves"]["checkpoint"] == found["days"][0]["checkpoint"]
    assert 0 <= found["serves"]["age_hours"] < 1


def test_a_model_that_is_too_old_or_was_never_promoted_ends_with_1(desk: Desk) -> None:
    desk.days.train(1, BAD)
    code, out, err = desk.run("days", "movielens", "--max-age-hours", 24)
    assert (code, "nothing serves yet" in out) == (1, True)
    assert "was ever promoted" in err
    assert desk.run("days", "movielens")[0] == 0

    desk.days.promote(2)
    assert desk.run("days", "movielens", "--max-age-hours", 1)[0] == 0
    code, out, err = desk.run("days", "movielens", "--json", "--max-age-hours", 1e-9)
    assert code == 1
    assert "more than 1e-09" in err
    assert json.loads(out)["too_old"] is True


def test_an_unknown_model_is_an_error(desk: Desk) -> None:
    desk.days.promote(1)

    code, out, err = desk.run("days", "movielenz")

    assert (code, out) == (1, "")
    assert "models that have one: movielens" in err


def test_a_link_to_a_trials_log_is_printed_and_kept_nowhere(desk: Desk, endpoints: Endpoints) -> None:
    key = "a-submission-key"
    parameters = {
        "cmd": "train",
        "model_dir": f"oss://{endpoints.bucket}/{desk.home.name}/job",
        "arn": "acs:ram::1:role/test",
        "buckets": f"oss://{endpoints.bucket}/",
        "gate": str(desk.home / "gate"),
    }
    job_id = MaxComputeJobs(maxcompute_credentials(endpoints), retries=QUICK).submit(
        JobPayload("easy_rec_ext", "algo_public", parameters),
        submission_key=key,
        store_uuid=desk.store.uuid,
    )
    (desk.home / "gate").write_text("0")
    step = trial_with_step(desk.store, key)
    desk.store.record_job(step, job_id)
    keys = desk.home / "odps_config.ini"
    keys.write_text(
        f"project_name={endpoints.project}\naccess_id={endpoints.access_key_id}\n"
        f"access_key={endpoints.access_key_secret}\nend_point={endpoints.maxcompute}\n"
    )
    events = len(desk.store.events("ctr-1"))

    code, out, err = desk.run("logview", "ctr-1", 0, f"--odps_config={keys}")

    assert (code, err) == (0, "")
    links = dict(line.split("  ") for line in out.splitlines())
    assert "job" in links
    # pyodps remembers the first LogView host that its process ever saw
    address = endpoints.maxcompute.replace("/api", "/logview-host/logview/?") + links["job"].partition("?")[2]
    assert requests.get(address, timeout=10).status_code == 200
    assert len(desk.store.events("ctr-1")) == events
    token = links["job"].partition("token=")[2]
    assert token
    assert [f for f in desk.home.rglob("*") if f.is_file() and token.encode() in f.read_bytes()] == []


def test_a_trial_without_a_job_has_no_log(desk: Desk) -> None:
    trial_with_step(desk.store, "never-submitted")

    code, out, err = desk.run("logview", "ctr-1", 0)

    assert (code, out) == (1, "")
    assert "trial 0 of ctr-1 has no job (WAITING)" in err


def trial_with_step(store: ExperimentStore, key: str) -> StepId:
    store.create_experiment(
        NewExperiment("ctr-1", "ctr", "begin", "dag", "run", 1, "maximize", 4, None, {}, "ada")
    )
    task = TaskKey("dag", "run", "trial", 0)
    store.record_ask("ctr-1", expected_asks=0, task=task, task_max_tries=3, parameters={}, seen=0)
    step = StepId("ctr-1", 0)
    store.intend_step(step, submission_key=key, model_dir="oss://b/m", payload={})
    return step
