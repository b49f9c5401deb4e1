"""The exact job that is submitted (reference R4, R5, R7, section 4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.errors import ConfigError
from include.jobs.ini import JobConfig
from include.jobs.payload import merge_edits, pai_command, render
from include.ports import JobPayload

MODEL_DIR = "oss://b/models/exp_3"


def job(**parameters: str) -> JobConfig:
    base = {"version": "0.10", "config": "oss://b/p.config", "model_dir": "oss://b/models/", "cmd": "train"}
    return JobConfig(Path("x.ini"), "easy_rec_ext", "algo_public", {**base, **parameters}, {"auc": 1.0})


def test_the_whole_payload_of_a_trial() -> None:
    edits = '{"model_config.l2": 0.1}'
    payload = render(
        job(edit_config_json='{"a": 1}', arn="x"), model_dir=MODEL_DIR, edit_config_json=edits, max_hours=24
    )
    assert payload == JobPayload(
        "easy_rec_ext",
        "algo_public",
        {
            "version": "0.10",
            "config": "oss://b/p.config",
            "model_dir": MODEL_DIR,
            "cmd": "train",
            "edit_config_json": edits,
            "arn": "x",
            "maxTrainingTimeInHour": "24",
        },
    )


def test_a_patched_config_takes_the_place_of_the_edits_that_are_in_it() -> None:
    payload = render(
        job(edit_config_json='{"a": 1}'), model_dir=MODEL_DIR, config_url="oss://b/c/3.config", max_hours=24
    )
    assert payload.parameters == {
        "version": "0.10",
        "config": "oss://b/c/3.config",
        "model_dir": MODEL_DIR,
        "cmd": "train",
        "maxTrainingTimeInHour": "24",
    }


def test_the_inis_own_edits_are_kept_when_there_are_no_others() -> None:
    payload = render(job(edit_config_json='{"a": 1}'), model_dir=MODEL_DIR, max_hours=1)
    assert payload.parameters["edit_config_json"] == '{"a": 1}'


@pytest.mark.parametrize(
    ("own", "limit", "sent"),
    [(None, 24, "24"), (None, 0.5, "1"), ("3", 24, "3"), ("48", 24, "24"), ("0", 24, "24"), ("2", 1.5, "2")],
)
def test_a_deadline_is_always_sent_and_a_smaller_one_of_the_user_wins(
    own: str | None, limit: float, sent: str
) -> None:
    config = job(maxTrainingTimeInHour=own) if own else job()
    assert render(config, model_dir=MODEL_DIR, max_hours=limit).parameters["maxTrainingTimeInHour"] == sent


@pytest.mark.parametrize("hours", [0, -1, float("nan"), float("inf")])
def test_a_deadline_must_be_a_real_one(hours: float) -> None:
    with pytest.raises(ConfigError, match="max_hours"):
        render(job(), model_dir=MODEL_DIR, max_hours=hours)


def test_a_days_values_override_the_inis() -> None:
    payload = render(
        job(), model_dir=MODEL_DIR, max_hours=1, overrides={"cmd": "export", "export_dir": "oss://b/e"}
    )
    assert (payload.parameters["cmd"], payload.parameters["export_dir"]) == ("export", "oss://b/e")
    with pytest.raises(ConfigError, match="can't be overridden"):
        render(job(), model_dir=MODEL_DIR, max_hours=1, overrides={"model_dir": "oss://b/x"})


@pytest.mark.parametrize(
    "parameters",
    [
        {"extra_params": "LTAI5tabcdefghijkl"},
        {"extra_params": "STS.NUxxxxxxxxxxxxxxxxxx"},
        {"buckets": "oss://b/?accessKeySecret=hunter2"},
        {"accessKeyId": "hunter2"},
        {"edit_config_json": '{"security_token": "hunter2"}'},
    ],
)
def test_a_secret_is_never_sent_and_never_shown(parameters: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="must not be sent") as caught:
        render(job(**parameters), model_dir=MODEL_DIR, max_hours=1)
    assert not any(secret in str(caught.value) for secret in ("hunter2", "LTAI5t", "STS.NU"))


def test_a_variable_that_nothing_filled_is_never_sent() -> None:
    with pytest.raises(ConfigError, match=r"-Dselected_cols: \$\{column\} has no value"):
        render(job(selected_cols="user_id,${column}"), model_dir=MODEL_DIR, max_hours=1)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ('{"a": "it\'s"}', "'"),
        ('{"a": "x;y"}', "cuts a value at ';'"),
        ('{"%s": 1}' % ("k" * 1001), "1001 characters"),
        ('{"a":\n1}', "control character"),
        ("{", "neither JSON nor YAML"),
    ],
)
def test_edits_that_easyrec_would_misread_are_refused(edits: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        render(job(), model_dir=MODEL_DIR, edit_config_json=edits, max_hours=1)


def test_joined_keys_carry_as_many_values() -> None:
    render(job(), model_dir=MODEL_DIR, edit_config_json='{"a;b": "1;2"}', max_hours=1)


def test_the_command_form_can_be_pasted() -> None:
    payload = JobPayload("easy_rec_ext", "algo_public", {"cmd": "train", "cluster": '{"ps":{"count":1}}'})
    assert pai_command(payload) == (
        "PAI -name easy_rec_ext -project algo_public\n"
        "    -Dcmd='train'\n"
        '    -Dcluster=\'{"ps":{"count":1}}\';'
    )
    with pytest.raises(ConfigError, match="-Dcmd"):
        pai_command(JobPayload("n", "p", {"cmd": "a' -Dx='b"}))


@pytest.mark.parametrize(
    "base", ['{"a": 1, "b": 0.001}', "{a: 1, b: 0.001}", "{'a': 1, 'b': 0.001,}", '{"a": 1, "b": 1e-3}']
)
def test_edits_of_the_ini_are_read_as_leniently_as_easyrec_reads_them(base: str) -> None:
    assert merge_edits(base, {"c": [1]}) == {"a": 1, "b": 0.001, "c": [1]}


def test_a_trials_parameters_win_and_come_last() -> None:
    merged = merge_edits('{"f[:].dim": 8, "f[0].dim": 4, "day": 1}', {"f[:].dim": 16})
    assert list(merged.items()) == [("f[0].dim", 4), ("day", 1), ("f[:].dim", 16)]


def test_no_edits_and_dates_and_nonsense() -> None:
    assert merge_edits("", {"a": 1}) == {"a": 1}
    assert merge_edits("a: 2022-06-17", {}) == {"a": "2022-06-17"}
    with pytest.raises(ConfigError, match="line 1, column"):
        merge_edits("{a: b: c}", {})
    with pytest.raises(ConfigError, match="mapping"):
        merge_edits("just text", {})
