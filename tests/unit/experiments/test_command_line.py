"""What people and scripts get from ``python -m include.cli check`` and ``experiments``."""

from __future__ import annotations

import json
import shutil

import pytest

from include.cli import main
from include.experiments.closing import close_experiment, report_of_store

from .conftest import MODEL


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(MODEL, tmp_path / "movielens")
    return tmp_path / "movielens"


@pytest.fixture(autouse=True)
def no_store_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "nowhere"))
    monkeypatch.delenv("EASYREC_AUTOML_STORE", raising=False)


@pytest.fixture
def store(lab, tmp_path):
    """The address of a store with one search of two trials that has ended."""
    lab.open(trials=2)
    for number, value in enumerate((0.6, 0.7)):
        lab.start(number)
        lab.finish(number, value)
    close_experiment(lab.services, lab.experiment, dag_id="dag", run_id="run", by="test")
    return f"sqlite:///{tmp_path / 'store.db'}"


def run(capsys, *command) -> tuple[int, str, str]:
    code = main([str(word) for word in command])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_good_folder_is_said_to_be_fine(capsys, folder):
    code, out, err = run(capsys, "check", folder, "--pipeline-config", folder / "pipeline.config")

    assert (code, err) == (0, "")
    assert "movielens: 9 hyper-parameters" in out
    assert out.rstrip().endswith("fine")
    assert "note: experimentWorkingDirectory has no meaning here" in out


def test_every_problem_of_a_folder_is_listed_at_once_and_no_key_is_shown(capsys, folder):
    begin = folder / "begin"
    (folder / "model.yml").write_text("poll_secondz: 5\n")
    config = (begin / "config.yml").read_text()
    ini = (begin / "config_begin.ini").read_text()
    ini = ini.replace("-name=easy_rec_ext\n", "").replace("[odps_", "accessKeySecret=hunter2\n[odps_")
    (begin / "config_begin.ini").write_text(ini)
    (begin / "search_space.json").write_text('{"a": {"_type": "randnt", "_value": [1, 2]}, "b": 3}')

    code, out, err = run(capsys, "check", folder)

    assert (code, out) == (1, "")
    for words in ("poll_seconds", "-name is missing", "accessKeySecret", "randint", "key b:"):
        assert words in err
    assert "hunter2" not in err

    (begin / "config.yml").write_text(
        config.replace("trialConcurrency: 4", "trialConcurency: 4\nmaxTrials: 3")
    )
    code, _, err = run(capsys, "check", folder)
    assert code == 1
    for words in ("poll_seconds", "trialConcurrency", "maxTrials"):
        assert words in err


def test_every_key_that_does_not_fit_the_pipeline_config_is_listed(capsys, folder):
    (folder / "begin" / "search_space.json").write_text(
        json.dumps(
            {
                "train_config.num_stepz": {"_type": "randint", "_value": [1, 9]},
                "data_config.batch_size": {"_type": "choice", "_value": [64, "many"]},
                "train_config.num_steps": {"_type": "randint", "_value": [1, 9]},
            }
        )
    )

    code, out, err = run(capsys, "check", folder, "--pipeline-config", folder / "pipeline.config")

    assert code == 1
    assert "fine" not in out
    assert "num_stepz" in err
    assert "batch_size" in err
    assert "train_config.num_steps:" not in err


def test_the_daily_finetune_is_checked_too_and_an_overwritten_edit_is_noted(capsys, folder):
    ini = folder / "finetune" / "config_finetune.ini"
    rate = (
        "train_config.optimizer_config[0].adam_optimizer.learning_rate.constant_learning_rate.learning_rate"
    )
    text = ini.read_text()
    ini.write_text(text.replace('"data_config.num_epochs":1', f'"{rate}":0.25'))

    code, out, _ = run(capsys, "check", folder)

    assert code == 0
    assert f"note: the edit {rate} = 0.25 has no effect: the rate handed over wins" in out

    shutil.rmtree(folder / "begin")
    ini.write_text(text.replace("dt=<bizdate>", "dt=today"))
    code, _, err = run(capsys, "check", folder)
    assert code == 1
    assert "-Dtrain_tables must hold <bizdate>" in err


def test_what_is_not_there_is_named(capsys, folder, tmp_path):
    code, _, err = run(capsys, "check", tmp_path / "no_such_model")
    assert code == 1
    assert "no_such_model" in err

    code, _, err = run(capsys, "check", folder, "--pipeline-config", tmp_path / "my.config")
    assert code == 1
    assert "my.config" in err


def test_experiments_are_listed_for_people_and_for_scripts(capsys, lab, store):
    code, out, _ = run(capsys, "experiments", "--store", store)

    assert code == 0
    assert out.splitlines()[0].split() == ["experiment", "model", "state", "created", "trials"]
    assert out.splitlines()[1].split()[:3] == [lab.experiment, "movielens", "FINISHED"]

    _, out, _ = run(capsys, "experiments", "--json", "--store", store)
    assert json.loads(out) == [
        {
            "experiment": lab.experiment,
            "model": "movielens",
            "state": "FINISHED",
            "created": "2026-05-01T00:00:00+00:00",
            "trials": 2,
        }
    ]


def test_the_list_can_be_narrowed_to_a_model(capsys, lab, store):
    assert lab.experiment in run(capsys, "experiments", "--model", "movielens", "--store", store)[1]
    assert run(capsys, "experiments", "--model", "other", "--store", store)[1] == "no experiments yet\n"
    assert run(capsys, "experiments", "--model", "other", "--json", "--store", store)[1] == "[]\n"


def test_one_experiment_is_shown_with_its_trials_and_where_its_best_lies(capsys, lab, store):
    code, out, _ = run(capsys, "experiments", lab.experiment, "--store", store)

    report = report_of_store(lab.store, lab.experiment)
    assert code == 0
    assert "best: trial 1 (" in out
    for place in (report.best_model_dir, report.best_config, report.prefix + "report.html"):
        assert place in out
    assert "0.60000" in out
    assert "data_config.batch_size" in out


def test_one_experiment_as_json_is_its_report(capsys, lab, store):
    code, out, _ = run(capsys, "experiments", lab.experiment, "--json", "--store", store)

    assert code == 0
    assert json.loads(out) == report_of_store(lab.store, lab.experiment).as_dict()


def test_an_unknown_experiment_is_an_error(capsys, store):
    code, out, err = run(capsys, "experiments", "movielens-00000000", "--store", store)

    assert (code, out) == (1, "")
    assert "movielens-00000000" in err


def test_the_store_is_found_by_variable_or_in_airflow_home(capsys, lab, store, tmp_path, monkeypatch):
    monkeypatch.setenv("EASYREC_AUTOML_STORE", store)
    assert lab.experiment in run(capsys, "experiments")[1]
    monkeypatch.delenv("EASYREC_AUTOML_STORE")
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    lab.store.close()
    (tmp_path / "store.db").rename(tmp_path / "easyrec_automl.db")
    assert lab.experiment in run(capsys, "experiments")[1]


@pytest.mark.parametrize("given", [True, False], ids=["--store", "AIRFLOW_HOME"])
def test_a_store_that_is_not_there_is_an_error_and_is_not_made(capsys, tmp_path, monkeypatch, given):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    file = tmp_path / ("other.db" if given else "easyrec_automl.db")
    options = ["--store", f"sqlite:///{file}"] if given else []

    code, out, err = run(capsys, "experiments", *options)

    assert (code, out) == (1, "")
    assert str(file) in err
    assert not file.exists()


class TestStore:
    """Which Airflow uses it, and what a person does about a copy or a move."""

    def test_an_unused_one_is_said_to_be_nobodys_yet(self, capsys, lab, store):
        code, out, _ = run(capsys, "store", "show", "--store", store)

        assert code == 0
        assert lab.store.uuid in out
        assert "no Airflow uses it yet" in out

    def test_the_airflow_that_uses_it_is_named_until_it_is_bound_anew(self, capsys, lab, store):
        lab.store.bind("token", "https://airflow.example.com")
        shown = run(capsys, "store", "show", "--store", store)[1]
        code, *_ = run(capsys, "store", "rebind", "--store", store, "--yes")

        assert "https://airflow.example.com" in shown
        assert code == 0
        assert "no Airflow uses it yet" in run(capsys, "store", "show", "--store", store)[1]

    def test_a_copy_gets_a_uuid_of_its_own(self, capsys, lab, store):
        code, out, _ = run(capsys, "store", "separate", "--store", store, "--yes")

        assert code == 0
        assert lab.store.binding().uuid != lab.store.uuid
        assert lab.store.binding().uuid in out

    @pytest.mark.parametrize("action", ["rebind", "separate"])
    def test_nothing_is_changed_without_a_yes(self, capsys, lab, store, action):
        before = lab.store.binding()

        code, _, err = run(capsys, "store", action, "--store", store)

        assert (code, lab.store.binding()) == (1, before)
        assert "--yes" in err
