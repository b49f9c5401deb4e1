"""People are told of what they asked for, and a message that can't be sent harms nothing (+21)."""

from __future__ import annotations

import logging
import re
import runpy
import shutil
import socket
import threading
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from airflow.sdk import BaseNotifier
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.log import mask_secret

from easyrec import notifications
from easyrec.callbacks import (
    PartitionsLateError,
    ToldAlready,
    failure_notice,
    on_failure,
    on_run_failure,
)
from easyrec.notifications import DingTalkNotifier, check, notify
from easyrec.operators.daily import WaitForTablesOperator
from include.daily.chain import ChainGapError
from include.errors import ConfigError, ProblemsError
from include.experiments.settings import NotifySettings, parse
from include.notices import TOPICS, Kind, Notice
from tests.support.robots import TOKEN, running_robot

ROOT = Path(__file__).resolve().parents[2]
GROUP = {"dingding_conn_id": "group"}
EVERYTHING = NotifySettings(arguments=GROUP)
NOTICE = Notice(
    Kind.GATE_FAILED, "movielens", "2026-11-23", ("auc 0.61 is below 0.65",), ("finetune_movielens", "run+1")
)


@pytest.fixture
def robot(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow.invalid/")
    with running_robot() as one:
        monkeypatch.setenv("AIRFLOW_CONN_GROUP", one.connection())
        yield one


STATES = {"wait": "success", "train": "failed", "promote": "upstream_failed"}


def failed_task(states=STATES, **changes):
    """Context of a callback, as far as it is read; what it pushes to XCom, it pulls."""
    pushed = {}
    ti = SimpleNamespace(
        dag_id="finetune_movielens",
        run_id="scheduled__2026-11-24",
        task_id="train",
        try_number=2,
        xcom_push=lambda key, value: pushed.__setitem__(key, value),
        xcom_pull=lambda task_ids, key: pushed.get(key) if task_ids == "train" else None,
        get_task_states=lambda dag_id, run_ids: {run_ids[0]: states},
    )
    dag = SimpleNamespace(dag_id=ti.dag_id, task_ids=["wait", "train", "promote"])
    run = SimpleNamespace(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        run_type="scheduled",
        conf=None,
        data_interval_start=datetime(2026, 11, 22, 19, tzinfo=timezone.utc),
        data_interval_end=datetime(2026, 11, 23, 19, tzinfo=timezone.utc),
        run_after=datetime(2026, 11, 23, 19, tzinfo=timezone.utc),
    )
    return {"ti": ti, "dag_run": run, "run_id": ti.run_id, "dag": dag, **changes}


def test_a_notice_arrives_at_the_robot_as_a_short_text_with_a_link(robot):
    notify(EVERYTHING, NOTICE)

    ((path, body),) = robot.requests
    assert path == f"/robot/send?access_token={TOKEN}"
    assert body["msgtype"] == "markdown"
    assert body["markdown"]["title"] == "EasyRec movielens: gate refused a day, 2026-11-23"
    assert body["markdown"]["text"] == (
        "#### EasyRec movielens: gate refused a day, 2026-11-23\n\n- auc 0.61 is below 0.65\n\n"
        "[open in Airflow](http://airflow.invalid/dags/finetune_movielens/runs/run%2B1)"
    )


@pytest.mark.parametrize("topic", TOPICS)
def test_people_hear_of_the_topics_they_asked_for_and_of_nothing_else(robot, topic):
    settings = NotifySettings(arguments=GROUP, on=(topic,))

    for kind in Kind:
        notify(settings, Notice(kind, "movielens", ""))

    asked = [f"#### EasyRec movielens: {kind.words}" for kind in Kind if kind.topic == topic]
    assert asked
    assert robot.texts() == asked


def test_without_the_section_a_notice_is_in_the_log_only(robot, caplog):
    caplog.set_level(logging.INFO)

    notify(None, NOTICE)

    assert "auc 0.61 is below 0.65" in caplog.text
    assert robot.requests == []


def refuses(robot):
    robot.answer = b'{"errcode":310000,"errmsg":"keywords not in content"}'


def breaks(robot):
    robot.status, robot.answer = 502, b"<html>proxy</html>"


def says_something_else(robot):
    robot.answer = b"<html>log in to the guest network</html>"


def says_nothing_of_an_error_code(robot):
    robot.answer = b"{}"


def sends_elsewhere(robot):
    robot.status, robot.headers = 302, {"Location": "/robot/send"}


def falls_silent(robot):
    robot.silent = True


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (refuses, "310000"),
        (breaks, "HTTP 502"),
        (says_something_else, "JSONDecodeError"),
        (says_nothing_of_an_error_code, "TypeError"),
        (sends_elsewhere, "HTTP 302"),
        (falls_silent, "no answer within 0.2 s"),
    ],
)
def test_what_the_robot_does_wrong_is_one_warning_and_no_error(robot, trouble, reason, caplog, monkeypatch):
    monkeypatch.setattr(notifications, "SECONDS", 0.2 if trouble is falls_silent else 5.0)
    caplog.set_level(logging.DEBUG)
    trouble(robot)

    notify(EVERYTHING, NOTICE)

    assert len(robot.requests) == 1
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "connection group" in warning
    assert reason in warning
    assert TOKEN not in caplog.text


def closed_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"host": f"http://127.0.0.1:{closed_port()}"}, "Connection refused"),
        ({"host": "oapi.dingtalk.invalid"}, "No scheme supplied"),
        ({"password": ""}, "token"),
    ],
)
def test_a_connection_that_leads_nowhere_is_one_warning_without_its_token(
    robot, changes, reason, caplog, monkeypatch
):
    monkeypatch.setenv("AIRFLOW_CONN_GROUP", robot.connection(**changes))
    caplog.set_level(logging.DEBUG)

    notify(EVERYTHING, NOTICE)

    (warning,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert reason in warning
    assert TOKEN not in caplog.text


def test_a_connection_that_does_not_exist_is_a_warning(caplog):
    notify(NotifySettings(arguments={"dingding_conn_id": "nobody_made_it"}), NOTICE)

    assert "nobody_made_it" in caplog.text


def test_the_token_is_in_no_log_of_a_message_that_arrives_either(robot, caplog):
    caplog.set_level(logging.DEBUG)

    notify(EVERYTHING, NOTICE)

    assert len(robot.requests) == 1
    assert "access_token=***" in caplog.text  # the client's own line, which had it
    assert TOKEN not in caplog.text


def test_secrets_that_airflow_knows_do_not_leave_with_a_message(robot):
    mask_secret("AKsecret-of-the-project")

    notify(EVERYTHING, Notice(Kind.DAY_FAILED, "movielens", "", ("AKsecret-of-the-project was refused",)))

    assert "- *** was refused" in robot.texts()[0]


def test_anyones_dag_can_give_the_notifier_templates(robot):
    tell = DingTalkNotifier(
        dingding_conn_id="{{ dag_run.conf.group }}", title="{{ ti.task_id }}", text="{{ ti.task_id }} failed"
    )

    tell({"ti": SimpleNamespace(task_id="train"), "dag_run": SimpleNamespace(conf={"group": "group"})})

    assert robot.texts() == ["train failed"]


def test_a_failed_task_tells_where_what_and_how_to_go_on(robot):
    error = ProblemsError("the day can't start", ["{{ 7 * 7 }} is no checkpoint", "no partition"])

    tell = on_failure("movielens", EVERYTHING, Kind.DAY_FAILED, timezone="Asia/Shanghai")
    tell(failed_task(exception=AirflowFailException(str(error))))

    assert robot.texts()[0].splitlines() == [
        "#### EasyRec movielens: day failed, 2026-11-23",
        "",
        "- DAG run: finetune_movielens, scheduled__2026-11-24",
        "- task: train, try 2",
        "- error: the day can't start",
        "- {{ 7 * 7 }} is no checkpoint",
        "- no partition",
        "- to do: remove the cause, then clear the task train of this run (Clear on its page)",
        "",
        "[open in Airflow](http://airflow.invalid/dags/finetune_movielens/runs/scheduled__2026-11-24)",
    ]


def test_an_errors_text_is_never_taken_for_a_template(robot):
    on_failure("movielens", EVERYTHING, Kind.SEARCH_FAILED)(failed_task(exception=ValueError("{{ 7 * 7 }}")))

    assert "- error: {{ 7 * 7 }}" in robot.texts()[0]


def test_a_failure_that_follows_from_another_tasks_is_not_told_twice(robot):
    on_failure("movielens", EVERYTHING, Kind.SEARCH_FAILED)(failed_task(exception=ToldAlready("see above")))

    assert robot.requests == []


def test_a_failed_run_says_nothing_more_when_its_failed_task_did(robot):
    context = failed_task(exception=ValueError("no"), reason="task_failure")

    on_failure("movielens", EVERYTHING, Kind.DAY_FAILED)(context)
    on_run_failure("movielens", EVERYTHING, Kind.DAY_FAILED)(context)

    assert len(robot.requests) == 1


def test_a_failed_run_tells_of_a_task_that_was_killed(robot):
    """Airflow calls no task's callback then: measured with 3.3.2."""
    tell = on_run_failure("movielens", EVERYTHING, Kind.DAY_FAILED, timezone="Asia/Shanghai")

    tell(failed_task(reason="task_failure"))

    (text,) = robot.texts()
    assert text.startswith("#### EasyRec movielens: day failed, 2026-11-23\n")
    assert "- failed tasks: train\n" in text
    assert "killed" in text


def test_what_a_task_told_before_it_was_mended_does_not_silence_a_later_failure(robot):
    context = failed_task(exception=ValueError("no"), reason="task_failure")
    on_failure("movielens", EVERYTHING, Kind.DAY_FAILED)(context)
    later = {"wait": "success", "train": "success", "promote": "failed"}
    context["ti"].get_task_states = lambda dag_id, run_ids: {run_ids[0]: later}

    on_run_failure("movielens", EVERYTHING, Kind.DAY_FAILED)(context)

    assert "- failed tasks: promote\n" in robot.texts()[1]


def test_a_run_that_took_too_long_tells_although_no_task_failed(robot):
    context = failed_task(reason="timed_out")
    del context["ti"], context["dag_run"]

    on_run_failure("movielens", EVERYTHING, Kind.DAY_FAILED, timezone="Asia/Shanghai")(context)

    assert "error: timed_out" in robot.texts()[0]


def test_a_message_is_not_lost_with_the_note_that_it_was_sent(robot):
    context = failed_task(exception=ValueError("no"))
    del context["ti"].xcom_push

    on_failure("movielens", EVERYTHING, Kind.DAY_FAILED)(context)

    assert len(robot.requests) == 1


def test_a_task_whose_worker_was_lost_has_no_exception_and_tells_all_the_same():
    """Airflow's DAG processor calls back for it, when its heartbeat stays out."""
    notice = failure_notice("movielens", Kind.SEARCH_FAILED, failed_task())

    assert notice.title == "task train"
    assert any("killed" in line for line in notice.lines)


def test_a_run_whose_day_can_not_be_told_is_told_by_its_task():
    context = failed_task()
    context["dag_run"].conf = {"bizdate": "yesterday"}

    notice = failure_notice("movielens", Kind.DAY_FAILED, context, timezone="Asia/Shanghai")

    assert notice.title == "task train"


def test_a_line_of_any_length_fits_into_a_message(robot):
    notify(EVERYTHING, Notice(Kind.SEARCH_ENDED, "movielens", "", tuple("x" * 100_000 for _ in range(5))))

    assert len(robot.texts()[0]) < 5_000


class Mail(BaseNotifier):
    """Anybody's notifier: says what it was made with, as a mail would show it."""

    template_fields = ("subject", "body")
    sent: ClassVar[list[tuple[str, str]]] = []
    slow: ClassVar[threading.Event | None] = None

    def __init__(self, subject: str, body: str):
        super().__init__()
        self.subject, self.body = subject, body

    def notify(self, context):
        if self.slow is not None:
            self.slow.wait()
        if self.subject.startswith("!"):
            raise OSError("no mail server")
        self.sent.append((self.subject, self.body))


def by_mail(**arguments):
    return NotifySettings(notifier=f"{__name__}.Mail", arguments=arguments)


@pytest.fixture
def mails(monkeypatch):
    monkeypatch.setattr(Mail, "sent", [])
    return Mail.sent


def test_any_notifier_can_carry_a_notice(mails):
    settings = by_mail(subject="[prod] {{ notice.heading }}", body="{{ notice.text }}")

    notify(settings, Notice(Kind.GATE_FAILED, "ctr", "2026-11-23", ("auc of {{ 7 * 7 }} fell",)))

    heading = "EasyRec ctr: gate refused a day, 2026-11-23"
    assert mails == [(f"[prod] {heading}", f"{heading}\nauc of {{{{ 7 * 7 }}}} fell")]


def test_a_notifier_that_fails_is_a_warning(mails, caplog):
    notify(by_mail(subject="!", body=""), NOTICE)

    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "no mail server" in warning


def test_a_notifier_without_a_time_limit_of_its_own_holds_nobody_up(mails, caplog, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(Mail, "slow", over)
    monkeypatch.setattr(notifications, "SECONDS", 0.1)
    monkeypatch.setattr(notifications, "LOOK_UP_SECONDS", 0.0)

    notify(by_mail(subject="", body=""), NOTICE)

    assert "not done within 0.1 s" in caplog.text
    over.set()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (NotifySettings(notifier="no.such.Notifier"), "there is no no.such.Notifier"),
        (NotifySettings(notifier="easyrec.notifications.NoNotifier"), "there is no easyrec"),
        (NotifySettings(notifier="pathlib.Path"), "pathlib.Path is no notifier"),
        (NotifySettings(arguments={"dingding_con_id": "x"}), "dingding_con_id"),
    ],
)
def test_a_notifier_that_can_not_be_made_is_refused_before_anything_begins(settings, said, caplog):
    with pytest.raises(ConfigError, match=said):
        check(settings)

    notify(settings, NOTICE)  # somebody changed it since: no harm
    assert said in caplog.text


EXAMPLES = re.findall(r"```yaml\n(notify:.*?)```", (ROOT / "docs" / "finetune.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_manual_can_be_made(example):
    check(parse(example, "model.yml").notify)


def raised_from(cause):
    error = AirflowFailException(str(cause))
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("exception", "words"),
    [
        (raised_from(ChainGapError("3 day(s) before are not trained")), "days are missing in the chain"),
        (PartitionsLateError("after 48 hours there is still no -Dtrain_tables"), "partitions are late"),
        (raised_from(ConfigError("no such table")), "day failed"),
    ],
)
def test_holes_and_late_partitions_are_told_by_name(exception, words):
    notice = failure_notice("movielens", Kind.DAY_FAILED, failed_task(exception=exception), timezone="UTC")

    assert notice.heading == f"EasyRec movielens: {words}, 2026-11-22"
    assert f"error: {exception}" in notice.lines


def test_a_day_whose_partitions_do_not_come_in_time_says_so():
    wait = WaitForTablesOperator(task_id="wait", model_folder="x", wait_hours=48)

    with pytest.raises(PartitionsLateError, match="after 48 hours there is still no -Dtrain_tables"):
        wait.resume({}, {"late": "-Dtrain_tables=odps://p/tables/t/dt=20261123"})


def test_every_task_of_a_day_tells_when_it_fails_and_so_does_the_run(robot, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "include" / "models" / "movielens", tmp_path / "movielens")
    (tmp_path / "movielens" / "model.yml").write_text("notify: {arguments: {dingding_conn_id: group}}\n")
    monkeypatch.setenv("EASYREC_AUTOML_MODELS", str(tmp_path))
    dag = runpy.run_path(str(ROOT / "dags" / "daily_finetune.py"))["daily_finetune_movielens"]

    for task in dag.tasks:
        for tell in task.on_failure_callback:
            tell(failed_task(exception=AirflowFailException(f"{task.task_id} is broken")))
    dag.on_failure_callback(failed_task(reason="timed_out"))

    told = [text for text in robot.texts() if "movielens: day failed, 2026-11-23" in text]
    assert len(told) == len(dag.tasks) + 1


@pytest.mark.parametrize("task_id", ["open_experiment", "close_experiment"])
def test_the_first_and_last_task_of_a_search_tell_when_they_fail(robot, task_id, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "include" / "models" / "movielens", tmp_path / "movielens")
    (tmp_path / "movielens" / "model.yml").write_text(
        "notify:\n  arguments: {dingding_conn_id: group}\n  on: [failures]\n"
    )
    monkeypatch.setenv("EASYREC_AUTOML_MODELS", str(tmp_path))

    dag = runpy.run_path(str(ROOT / "dags" / "begin_search.py"))["begin_search_movielens"]
    for tell in dag.get_task(task_id).on_failure_callback:
        tell(failed_task(exception=AirflowFailException("no")))

    (text,) = robot.texts()
    assert text.startswith("#### EasyRec movielens: search failed")
    assert not dag.get_task("trial").on_failure_callback  # a failed trial is no failed search
    assert dag.on_failure_callback
