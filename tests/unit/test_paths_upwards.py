"""No path that a user gives leads out of the folder that it names: not on OSS, not in a table's name."""

from __future__ import annotations

import json

import pytest

from benchmarks.bad_inputs.lab import MODEL, Lab
from include import names
from include.daily.origin import find_origin
from include.daily.plan import FinetunePlan
from include.errors import ConfigError, ProblemsError
from include.experiments import settings
from include.jobs import ini
from include.jobs.payload import render

INI = MODEL / "begin" / "config_begin.ini"
UPWARDS = "oss://sandbox-bucket/movielens/../other"


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


@pytest.mark.parametrize("key", ["..", "../x", "a/../b", "a/..", "./a", "a/.", "a/../../../b"])
def test_an_oss_path_with_dots_between_slashes_is_refused(key):
    with pytest.raises(ConfigError, match="leads elsewhere"):
        names.split_oss_url(f"oss://bucket/{key}")


@pytest.mark.parametrize("key", ["a\nb", "a\0", "\x1b[2J", "a\x7f"])
def test_an_oss_path_with_a_control_character_is_refused(key):
    with pytest.raises(ConfigError, match="control character"):
        names.split_oss_url(f"oss://bucket/{key}")


@pytest.mark.parametrize("key", ["", "a/.hidden", "a/..b", "a.b/c..", "...", "a/.../b", "模型/v1.0"])
def test_dots_within_a_name_are_fine(key):
    assert names.split_oss_url(f"oss://bucket/{key}") == ("bucket", key)


@pytest.mark.parametrize("url", ["odps://p/tables/..", "odps://../tables/t", "odps://p/tables/./dt=1"])
def test_a_tables_name_is_no_step_upwards(url):
    with pytest.raises(ConfigError, match="not a table path"):
        names.split_table_url(url)


@pytest.mark.parametrize("key", ["model_dir", "fine_tune_checkpoint", "export_dir", "script", "buckets"])
def test_every_path_of_an_ini_is_looked_at_before_anything_is_sent(key):
    lines = [line for line in INI.read_text().splitlines() if not line.startswith(f"-D{key}=")]
    lines.insert(lines.index("-name=easy_rec_ext"), f"-D{key}={UPWARDS}/a.py")
    with pytest.raises(ProblemsError, match=f"-D{key}.*leads elsewhere"):
        ini.parse("\n".join(lines), INI)


@pytest.mark.parametrize(
    "edits",
    [
        json.dumps({"train_config.fine_tune_checkpoint": UPWARDS}),
        json.dumps({"a": ["oss://b/x", UPWARDS]}),
        '{"train_config.fine_tune_checkpoint": "oss:\\/\\/b\\/\\u002e\\u002e\\/x"}',
        f"train_config.fine_tune_checkpoint: {UPWARDS}",
    ],
)
def test_an_edit_carries_no_path_upwards_however_it_is_written(edits):
    with pytest.raises(ConfigError, match="leads elsewhere"):
        render(ini.load(INI), model_dir="oss://b/m", edit_config_json=edits, max_hours=1)


def test_parameters_of_the_form_carry_none(lab):
    with pytest.raises(ProblemsError, match="leads elsewhere"):
        lab.open(custom_parameters=({"train_config.fine_tune_checkpoint": UPWARDS},))
    assert lab.touched() == ""


def test_a_chain_starts_from_no_path_upwards(lab):
    with pytest.raises(ConfigError, match="leads elsewhere"):
        find_origin(lab.services(), FinetunePlan.load(lab.model), f"{UPWARDS}/model.ckpt-1")


def test_promotions_are_published_to_no_path_upwards():
    with pytest.raises(ProblemsError, match=r"finetune\.promotions.*leads elsewhere"):
        settings.parse(f"finetune: {{promotions: {UPWARDS}}}", "model.yml")


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "a-b", "", ".", "a\n", "ａ", "x" * 65])
def test_a_models_name_is_one_plain_word(name):
    with pytest.raises(ConfigError, match="can't be used"):
        names.check_model_name(name)
