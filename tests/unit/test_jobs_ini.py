"""What a user of config_begin.ini relies on (reference R3, R5, section 4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.errors import ConfigError, ProblemsError
from include.jobs import ini

GOOD = {
    "oss_config": ["endpoint=http://oss-cn-beijing.aliyuncs.com"],
    "odps_config": ["project_name=pai_rec_dev", "odps_endpoint=http://service.odps.aliyun.com/api"],
    "easyrec_cmd_config": [
        "-name=easy_rec_ext",
        "-project=algo_public",
        '-Dversion="0.4.2"',
        "-Dconfig=oss://lcl-bj/eval_test/easyrec_model.config",
        "-Dcmd=train",
        "-Dtrain_tables=odps://pai_rec_dev/tables/train_10000",
        "-Deval_tables=odps://pai_rec_dev/tables/test_1000/dt=20240101",
        '-Dcluster={"ps":{"count":1,"cpu":1000 },"worker":{"count":3,"cpu":1000,"gpu":100}}',
        "-Darn=acs:ram::123:role/x",
        "-Dbuckets=oss://lcl-bj/",
        "-Dmodel_dir=oss://lcl-bj/eval_dist_test/",
        "-DossHost=oss-cn-beijing-internal.aliyuncs.com",
        "-Deval_method=separate",
    ],
    "metric_config": ["auc=1"],
}


def text(without: str = "", **extra: list[str] | str) -> str:
    """The manual's ini; a line in ``extra`` replaces the one with the same key, or is added."""
    out = []
    for section, lines in GOOD.items():
        added = extra.get(section, [])
        added = [added] if isinstance(added, str) else added
        keys = {line.split("=")[0] for line in added}
        out.append(f"[{section}]")
        out += [x for x in lines if x.split("=")[0] not in keys and x.split("=")[0] != without]
        out += added
    return "\n".join(out) + "\n"


def command(*lines: str) -> str:
    return text(easyrec_cmd_config=list(lines))


def problems(source: str, **options: bool) -> str:
    with pytest.raises(ProblemsError) as caught:
        ini.parse(source, "begin/config_begin.ini", **options)
    return str(caught.value)


def test_the_manuals_file_is_read_as_written() -> None:
    job = ini.parse(text(), "begin/config_begin.ini")

    assert (job.xflow_name, job.xflow_project) == ("easy_rec_ext", "algo_public")
    assert (job.odps_project, job.odps_endpoint) == ("pai_rec_dev", "http://service.odps.aliyun.com/api")
    assert job.oss_endpoint == "http://oss-cn-beijing.aliyuncs.com"
    assert job.weights == {"auc": 1.0}
    assert list(job.parameters)[:3] == ["version", "config", "cmd"]
    assert job.parameters["version"] == "0.4.2"
    assert job.parameters["cluster"].startswith('{"ps":{"count":1,"cpu":1000 }')
    assert job.warnings == ()


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("-Dversion=0.10", "version", "0.10"),
        ("-Dversion='0.10'", "version", "0.10"),
        ("-Dversion=\"'a'\"", "version", "'a'"),
        ("-Dselected_cols=a=b==c", "selected_cols", "a=b==c"),
        ("-Dselected_cols=a:b%c#d;e", "selected_cols", "a:b%c#d;e"),
        ("-Dbatch_size = 0032 ", "batch_size", "0032"),
        ("-Dextra_params=\"x' ", "extra_params", "\"x'"),
        ("-Dscript=", "script", ""),
    ],
)
def test_values_are_kept_verbatim(line: str, key: str, value: str) -> None:
    assert ini.parse(command(line), "x.ini").parameters[key] == value


def test_comments_stand_on_their_own_lines_and_a_bom_and_crlf_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "config_begin.ini"
    source = "\ufeff# made by\n; someone\n\n" + text().replace("auc=1", "auc=1\n  # note\n 中文=0.5")
    path.write_bytes(source.replace("\n", "\r\n").encode())
    job = ini.load(path)
    assert job.weights == {"auc": 1.0, "中文": 0.5}
    assert job.path == path


def test_several_objectives_keep_their_signs_and_order() -> None:
    job = ini.parse(text(metric_config=["auc=0.5", "auc_is_like=.25", "loss/loss/play=-25e-2"]), "x.ini")
    assert list(job.weights.items()) == [("auc", 0.5), ("auc_is_like", 0.25), ("loss/loss/play", -0.25)]


@pytest.mark.parametrize("weight", ["nan", "inf", "-Infinity", "x", "", "1,5"])
def test_a_weight_that_is_no_finite_number_is_refused(weight: str) -> None:
    assert "the weight of auc is not a finite number" in problems(text(metric_config=f"auc={weight}"))


def test_a_weight_of_zero_is_noted_and_all_zeros_are_refused() -> None:
    job = ini.parse(text(metric_config=["auc=1", "auc2=0"]), "x.ini")
    assert job.weights["auc2"] == 0.0
    assert "auc2 has weight 0" in job.warnings[0]
    assert "every weight is 0" in problems(text(metric_config="auc=0"))


@pytest.mark.parametrize(
    ("line", "section"),
    [
        ("accessKeyID=LTAI5tabcdefghijkl", "oss_config"),
        ("accesskeysecret=hunter2hunter2", "oss_config"),
        ("ACCESS_KEY_ID=hunter2hunter2", "odps_config"),
        ("access_id=hunter2hunter2", "odps_config"),
        ("-DaccessKeySecret=hunter2hunter2", "easyrec_cmd_config"),
        ("-Dextra_params=--ak LTAI5tabcdefghijkl", "easyrec_cmd_config"),
        ("-Dextra_params=accessKeySecret:hunter2hunter2", "easyrec_cmd_config"),
    ],
)
def test_keys_in_the_file_are_refused_with_the_command_that_moves_them(line: str, section: str) -> None:
    message = problems(text(**{section: [line]}))
    assert "python -m include.cli import-connections begin/config_begin.ini" in message
    assert "hunter2" not in message
    assert "LTAI5t" not in message


def test_a_secret_never_shows_even_in_a_broken_file() -> None:
    source = text(
        oss_config=["accessKeyID=hunter2", "accessKeyID=hunter2", "hunter2", "accessKeySecret: hunter2"]
    )
    assert "hunter2" not in problems("accessKeySecret=hunter2\n[wrong]\naccessKeyID=hunter2\n" + source)


def test_secrets_can_be_moved_out(tmp_path: Path) -> None:
    path = tmp_path / "old.ini"
    source = text(oss_config=['accessKeyID="my-id"', "accessKeySecret=my=secret"])
    path.write_text(source)

    secrets = ini.read_secrets(path)

    assert (secrets.access_key_id, secrets.access_key_secret) == ("my-id", "my=secret")
    assert (secrets.odps_project, secrets.oss_endpoint) == (
        "pai_rec_dev",
        "http://oss-cn-beijing.aliyuncs.com",
    )
    assert "my" not in repr(secrets)
    assert ini.parse(ini.without_secrets(source), path).weights == {"auc": 1.0}
    assert ini.without_secrets(text()) == text()


def test_two_different_keys_are_not_guessed_between(tmp_path: Path) -> None:
    path = tmp_path / "old.ini"
    path.write_text(text(oss_config=["accessKeySecret=hunter2"], odps_config=["accessKeySecret=other"]))
    with pytest.raises(ConfigError, match="a second, different accessKeySecret") as caught:
        ini.read_secrets(path)
    assert "hunter2" not in str(caught.value)


def test_duplicates_name_both_lines() -> None:
    assert "line 4: '-name' is already set at line 2" in problems(
        "[easyrec_cmd_config]\n-name=a\n\n-name=b\n"
    )
    assert "line 3: section [metric_config] is already at line 1" in problems(
        "[metric_config]\nauc=1\n[metric_config]\n"
    )


def test_what_stands_outside_the_known_places_is_an_error_with_the_nearest_name() -> None:
    message = problems(
        "x=1\n[metrics_config]\nauc=1\n[oss_config]\nendpont=y\n[easyrec_cmd_config]\nname=z\n-D=\nnonsense\n[x"
    )
    assert "line 1: 'x' stands before the first section" in message
    assert "line 2: unknown section [metrics_config] (did you mean metric_config?)" in message
    assert "line 5: unknown key 'endpont' in [oss_config] (did you mean endpoint?)" in message
    assert "line 7: unknown key 'name' in [easyrec_cmd_config] (did you mean -name?)" in message
    assert "line 8: unknown key '-D'" in message
    assert "line 9: expected <key>=<value>" in message
    assert "line 10: not a section header" in message


def test_an_unknown_parameter_passes_through_with_a_warning() -> None:
    job = ini.parse(command("-Dtrain_table=x", "-Dbrand_new=1"), "x.ini")
    assert job.parameters["train_table"] == "x"
    assert (
        "-Dtrain_table is not among the xflow's declared parameters (did you mean train_tables?)"
        in job.warnings[0]
    )
    assert len(job.warnings) == 2


@pytest.mark.parametrize(
    "key",
    ["-name", "-project", "-Dconfig", "-Dmodel_dir", "-Darn", "-Dbuckets", "-Dtrain_tables", "-Deval_tables"],
)
def test_a_missing_required_key_is_an_error(key: str) -> None:
    assert f"{key} is missing or empty" in problems(text(without=key))


def test_cmd_may_be_left_to_the_xflows_default_but_must_be_train() -> None:
    assert "cmd" not in ini.parse(text(without="-Dcmd"), "x.ini").parameters
    assert "-Dcmd is 'evaluate'" in problems(command("-Dcmd=evaluate"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-Deval_method=none", "-Deval_method is none"),
        ("-Deval_method=seperate", "did you mean separate?"),
        ('-Dcluster={"worker":{"count":1}}', "needs at least two"),
        ('-Dcluster={"ps":{"count":1}}', "has 0 worker(s)"),
        ('-Dcluster={"worker":{"count":3}', "is not JSON: Expecting ',' delimiter at character 21"),
        ("-Dcluster=[]", "must map roles to resources"),
        ('-Dcluster={"worker":{"count":"3"}}', "worker.count must be a whole number"),
        ("-Dbuckets=oss://other/", "does not cover bucket lcl-bj of -Dconfig"),
        ("-Dbuckets=lcl-bj", "names no bucket"),
        ("-Dconfig=oss://lcl-bj/a.json", "must be one oss://….config file"),
        ("-Dconfig=http://h/a.config", "must be one oss://….config file"),
        ("-Dconfig=oss://lcl-bj/a.config,oss://lcl-bj/b.config", "must be one oss://….config file"),
        ("-Dmodel_dir=/tmp/x", "is not an OSS path"),
        ("-Dtrain_tables=odps://p/tables/a,odps://p/b", "'odps://p/b' is not a table path"),
        ("-DmaxTrainingTimeInHour=soon", "must be whole hours"),
        ("-Dedit_config_json={a: [", "neither JSON nor YAML"),
        ("-Dedit_config_json=[1]", "not a mapping"),
    ],
)
def test_what_would_fail_after_the_submit_is_found_before(line: str, message: str) -> None:
    found = problems(command(line))
    assert message in found
    assert "line " in found


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(ProblemsError) as caught:
        ini.parse(command("-Dcmd=predict", "-Deval_method=none", "-Dbuckets=oss://b/"), "x.ini")
    assert len(caught.value.problems) == 4


def test_table_lists_partitions_and_placeholders_are_accepted() -> None:
    job = ini.parse(
        command(
            "-Dtrain_tables=odps://p/tables/a/dt=1/hour=2,odps://p/tables/b_{bizdate}",
            "-Deval_tables=odps://p/tables/c/dt=<eval_ymd>",
            "-Dmodel_dir=oss://lcl-bj/x/{bizdate}_m",
            '-Dedit_config_json={"train_config.fine_tune_checkpoint":"oss://lcl-bj/x/{predate}_m"}',
            '-Dcluster={"worker":{"count":${workers}}}',
        ),
        "x.ini",
    )
    assert job.warnings == ()


def test_a_daily_job_needs_neither_metrics_nor_evaluation() -> None:
    source = command("-Deval_method=none").replace("[metric_config]\nauc=1\n", "")
    source = source.replace(GOOD["easyrec_cmd_config"][6] + "\n", "")
    job = ini.parse(source, "x.ini", for_search=False)
    assert job.weights == {}
    assert "[metric_config] is missing" in problems(source)


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        ini.load(tmp_path / "none.ini")
    (tmp_path / "gbk.ini").write_bytes("中文".encode("gbk"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        ini.load(tmp_path / "gbk.ini")
