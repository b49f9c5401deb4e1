"""The finetune folder of a model: dates filled for the right day, mistakes found before any day begins (R24, R25)."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from include.daily.plan import FinetunePlan
from include.errors import ProblemsError
from tests.support.daily import MODEL

LEAP = date(2024, 2, 29)
INI = "finetune/config_finetune.ini"
SOURCE = "oss://sandbox-bucket/movielens/finetune/<predate>_model"


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path / "movielens"
        shutil.copytree(MODEL, self.path)

    def change(self, old: str, new: str, name: str = INI) -> None:
        text = (self.path / name).read_text(encoding="utf-8")
        assert old in text
        (self.path / name).write_text(text.replace(old, new), encoding="utf-8")

    def load(self) -> FinetunePlan:
        return FinetunePlan.load(self.path)

    def problems(self) -> str:
        with pytest.raises(ProblemsError) as refused:
            self.load()
        return str(refused.value)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_every_value_gets_the_day_the_next_and_the_one_before(folder):
    plan = folder.load()

    train, export = plan.parameters(LEAP), plan.parameters(LEAP, "export")

    assert train["train_tables"] == "odps://sandbox/tables/ratings_daily/dt=20240229"
    assert train["eval_tables"] == "odps://sandbox/tables/ratings_daily/dt=20240301"
    assert train["model_dir"] == "oss://sandbox-bucket/movielens/finetune/20240229_model"
    assert export["export_dir"] == "oss://sandbox-bucket/movielens/export/20240229"
    assert plan.named_checkpoint(LEAP) == "oss://sandbox-bucket/movielens/finetune/20240228_model"
    assert plan.edits(LEAP) == {"data_config.num_epochs": 1}


def test_both_spellings_of_a_placeholder_are_the_same(folder):
    before = folder.load().parameters(LEAP)
    for name in ("bizdate", "eval_ymd", "predate"):
        folder.change(f"<{name}>", f"{{{name}}}")

    assert folder.load().parameters(LEAP) == before


@pytest.mark.parametrize(
    "wrong", ["<bizdat>", "<biz_date>", "{{bizdate}}", "${bizdate}", "<today>", "<bizdate-1>"]
)
@pytest.mark.parametrize("key", ["-Dmodel_dir=", "-Darn=", "-Dexport_dir="])
def test_a_misspelt_or_left_over_placeholder_is_refused_wherever_it_stands(folder, wrong, key):
    folder.change(key, f"{key}{wrong}")

    found = folder.problems()

    assert "config_finetune.ini" in found
    assert wrong in found


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("dt=<bizdate>", "dt=20220601", "-Dtrain_tables must hold <bizdate>"),
        ("<bizdate>_model", "one_model", "-Dmodel_dir must hold <bizdate>"),
        ("dt=<eval_ymd>", "dt=<bizdate>", "-Deval_tables must hold <eval_ymd>"),
        (SOURCE, SOURCE.replace("<predate>", "<bizdate>"), "fine_tune_checkpoint must hold <predate>"),
        (SOURCE, SOURCE + "s", "don't correspond: 2024-03-01 would continue from"),
        (SOURCE, SOURCE.replace("/finetune/", "/finetuned/"), "don't correspond"),
        ("-Deval_method=separate", "-Deval_method=none", "-Deval_method is none"),
        ("auc_is_like=0.75\nauc_is_love=0.25\n", "", "[metric_config]"),
        ('"data_config.num_epochs":1}', '"data_config.num_epochs":1', "edit_config_json"),
    ],
)
def test_what_every_day_would_fail_on_is_refused(folder, old, new, said):
    folder.change(old, new)

    assert said in folder.problems()


@pytest.mark.parametrize("exact", ["/", "/model.ckpt-100"])
def test_the_ini_may_name_yesterdays_checkpoint_in_other_words(folder, exact):
    folder.change(SOURCE, SOURCE + exact)

    assert folder.load().named_checkpoint(LEAP).endswith("20240228_model" + exact)


def test_a_checkpoint_that_overrides_the_config_must_correspond_too(folder):
    folder.change(
        "-Deval_method", "-Dfine_tune_checkpoint=oss://sandbox-bucket/other/<predate>_model\n-Deval_method"
    )

    assert "-Dfine_tune_checkpoint and -Dmodel_dir don't correspond" in folder.problems()


def test_an_ini_without_checkpoint_is_fine_the_chain_decides(folder):
    folder.change(f'"train_config.fine_tune_checkpoint":"{SOURCE}",', "")

    assert folder.load().named_checkpoint(LEAP) == ""


def test_all_problems_of_all_files_come_at_once(folder):
    folder.change("max_drop: 0.08", "max_drob: 0.08", "model.yml")
    folder.change("-Dversion=", "Dversion=")

    found = folder.problems()

    assert "max_drob" in found
    assert "config_finetune.ini" in found


def test_a_missing_ini_is_said(folder):
    (folder.path / INI).unlink()

    assert "config_finetune.ini" in folder.problems()


@pytest.mark.parametrize(
    ("mode", "eval_day", "said"),
    [
        ("same_day", "eval_ymd", "-Deval_tables holds <eval_ymd>, but finetune.evaluation is same_day"),
        ("evaluate_job", "bizdate", "write a section [evaluate_cmd_config]"),
    ],
)
def test_the_evaluation_and_its_tables_must_fit(folder, mode, eval_day, said):
    folder.change("timezone: UTC", f"evaluation: {mode}\n  timezone: UTC", "model.yml")
    folder.change("dt=<eval_ymd>", f"dt=<{eval_day}>")

    assert said in folder.problems()


def test_the_tables_of_a_day_are_known_and_which_of_them_may_come_later(folder):
    folder.change(
        "-Dcluster", "-Dtables=odps://sandbox/tables/users, odps://sandbox/tables/items_<predate>\n-Dcluster"
    )

    tables = [(t.key, t.url.rpartition("/tables/")[2], t.dated) for t in folder.load().tables(LEAP)]

    assert tables == [
        ("train_tables", "ratings_daily/dt=20240229", True),
        ("eval_tables", "ratings_daily/dt=20240301", True),
        ("tables", "users", False),
        ("tables", "items_20240228", True),
    ]


def test_the_old_systems_number_arithmetic_is_not_ours(folder):
    plan = folder.load()

    assert plan.parameters(date(2022, 6, 30))["eval_tables"].endswith("dt=20220701")
    assert plan.named_checkpoint(date(2022, 1, 1)).endswith("20211231_model")


RATE = (
    "train_config.optimizer_config[0].adam_optimizer.learning_rate.exponential_decay_learning_rate"
    ".initial_learning_rate"
)


@pytest.mark.parametrize(
    ("setting", "winner"),
    [
        ("handover", "the rate handed over wins"),
        ("1.0e-5", "finetune.learning_rate 1e-05 wins"),
        ("unchanged", ""),
    ],
)
def test_an_edit_of_the_learning_rate_that_is_overwritten_is_a_note_that_says_by_what(
    folder, setting, winner
):
    folder.change('"data_config.num_epochs":1', f'"{RATE}":0.25')
    folder.change("finetune:", f"finetune:\n  learning_rate: {setting}", "model.yml")

    notes = [note for note in folder.load().notes if "0.25" in note]

    assert len(notes) == bool(winner)
    assert all(RATE in note and winner in note for note in notes)
