"""What every assessor keeps, ours, NNI's and users' (reference R10, R12)."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from include.adapters import nni_assessors
from include.errors import ConfigError, ProblemsError
from include.ports import Assessor
from include.search.config import ClassConfig

USER_FILE = """
import logging
from nni.assessor import Assessor, AssessResult
from {base} import PAIAssessor
from hpo_nni.core.pyodps_utils import kill_instance
from hpo_nni.core.utils import remove_filepath
from helper import LIMIT

class Threshold(Assessor):
    def __init__(self, limit=LIMIT):
        self.limit = limit
    def assess_trial(self, trial_job_id, trial_history):
        return AssessResult.Good if trial_history[-1] >= self.limit else AssessResult.Bad

class Stricter(PAIAssessor):
    '''As the old manual shows it.'''
    def assess_trial(self, trial_job_id, trial_history):
        if trial_history[-1] < 0.1:
            return AssessResult.Bad
        return super().assess_trial(trial_job_id, trial_history)
    def trial_end(self, trial_job_id, success):
        if not success:
            kill_instance(trial_job_id=trial_job_id)
            remove_filepath(trial_id=trial_job_id)

class Broken(Assessor):
    def assess_trial(self, trial_job_id, trial_history):
        return 1 / 0

class Silent(Assessor):
    def assess_trial(self, trial_job_id, trial_history):
        pass

class Median:
    def assess_trial(self, trial_job_id, trial_history):
        return True
"""
KINDS = ["PAIAssessor", "Medianstop", "Curvefitting", "Threshold", "Stricter"]
GOOD = [0.6, 0.7, 0.75, 0.78, 0.8, 0.81, 0.82, 0.825]
POOR = [0.1, 0.11, 0.12, 0.12, 0.125, 0.126, 0.126, 0.127]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(USER_FILE.format(base="hpo_nni.core.pai_assessor"))
    (tmp_path / "short.py").write_text(USER_FILE.format(base="pai_assessor"))
    (tmp_path / "helper.py").write_text("LIMIT = 0.5\n")
    return tmp_path


def config_of(name: str, folder: Path) -> ClassConfig:
    if name in ("PAIAssessor", "Medianstop"):
        return ClassConfig(name)
    if name == "Curvefitting":
        return ClassConfig(name, {"epoch_num": 10, "start_step": 6})
    return ClassConfig(None, {}, f"mine.{name}", folder)


@pytest.fixture(params=KINDS)
def assessor(request: pytest.FixtureRequest, folder: Path) -> Assessor:
    return nni_assessors.create(config_of(request.param, folder))


def test_a_poor_trial_is_stopped_and_a_good_one_goes_on(assessor: Assessor) -> None:
    histories = {0: GOOD, 1: [v - 0.01 for v in GOOD], 2: POOR, 3: [v + 0.01 for v in GOOD]}
    poor, good = assessor.assess(2, histories), assessor.assess(3, histories)
    assert poor.stop
    assert not good.stop


def test_every_decision_has_a_reason_with_numbers(assessor: Assessor) -> None:
    decision = assessor.assess(1, {0: GOOD, 1: POOR})
    assert any(digit in decision.reason for digit in "0123456789")


def test_a_trial_without_results_goes_on(assessor: Assessor) -> None:
    assert not assessor.assess(0, {1: GOOD}).stop
    assert not assessor.assess(0, {0: [], 1: GOOD}).stop


def test_the_same_histories_get_the_same_verdict_again(assessor: Assessor) -> None:
    histories = {0: GOOD, 1: POOR, 2: GOOD[:6]}
    first = [assessor.assess(n, histories) for n in histories]
    random.random()
    np.random.random()
    assert [assessor.assess(n, histories) for n in histories] == first


def test_histories_and_global_randomness_stay_as_they_are(assessor: Assessor) -> None:
    histories = {0: list(GOOD), 1: list(POOR)}
    before = copy.deepcopy(histories), random.getstate(), np.random.get_state()[1].tolist()
    assessor.assess(1, histories)
    assert (histories, random.getstate(), np.random.get_state()[1].tolist()) == before


@pytest.mark.parametrize("file", ["mine", "short"])
def test_a_class_written_for_the_old_base_class_works(folder: Path, file: str) -> None:
    config = ClassConfig(None, {"optimize_mode": "maximize", "start_step": 2}, f"{file}.Stricter", folder)
    assessor = nni_assessors.create(config)
    assert assessor.assess(1, {0: [0.5, 0.5], 1: [0.05]}).stop
    assert not assessor.assess(1, {0: [0.5, 0.5], 1: [0.2]}).stop  # start_step
    assert assessor.assess(1, {0: [0.5, 0.5], 1: [0.2, 0.3]}).stop
    assert not assessor.assess(1, {0: [0.5, 0.5], 1: [0.2, 0.6]}, finished=[0]).stop  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("class_name", "words"),
    [
        ("mine.Nobody", "there is no class Nobody"),
        ("mien.Threshold", "there is no mien.py.*did you mean 'mine'"),
        ("broken.X", "fails while it is imported: ZeroDivisionError"),
        ("mine.LIMIT", "there is no class LIMIT"),
        ("empty.X", "has no method assess_trial"),
    ],
)
def test_a_class_that_can_not_be_loaded_is_named(folder: Path, class_name: str, words: str) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "empty.py").write_text("class X: pass\n")
    with pytest.raises(ConfigError, match=words):
        nni_assessors.create(ClassConfig(None, {}, class_name, folder))


def test_a_missing_code_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder"):
        nni_assessors.create(ClassConfig(None, {}, "mine.X", tmp_path / "nowhere"))


def test_wrong_class_args_of_a_users_class_are_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="can't be made with classArgs"):
        nni_assessors.create(ClassConfig(None, {"limmit": 1}, "mine.Threshold", folder))


@pytest.mark.parametrize(
    ("name", "words"), [("Broken", "ZeroDivisionError"), ("Silent", "AssessResult.Good")]
)
def test_a_users_class_that_fails_says_so(folder: Path, name: str, words: str) -> None:
    assessor = nni_assessors.create(config_of(name, folder))
    with pytest.raises(ConfigError, match=words):
        assessor.assess(0, {0: [0.5]})


def test_two_models_may_each_have_a_file_of_the_same_name(tmp_path: Path) -> None:
    verdicts = []
    for limit in (0.2, 0.8):
        folder = tmp_path / str(limit)
        folder.mkdir()
        (folder / "mine.py").write_text(USER_FILE.format(base="pai_assessor"))
        (folder / "helper.py").write_text(f"LIMIT = {limit}\n")
        verdicts.append(nni_assessors.create(config_of("Threshold", folder)).assess(0, {0: [0.5]}).stop)
    assert verdicts == [False, True]
    assert not {"mine", "helper", "pai_assessor", "hpo_nni"} & sys.modules.keys()


def test_a_users_file_may_have_the_name_of_an_installed_module(folder: Path) -> None:
    import colorsys

    (folder / "colorsys.py").write_text("LIMIT = 0.9\n")
    (folder / "helper.py").write_text("from colorsys import LIMIT\n")
    assert nni_assessors.create(config_of("Threshold", folder)).assess(0, {0: [0.8]}).stop
    assert sys.modules["colorsys"] is colorsys


@pytest.mark.parametrize(
    ("class_args", "words"),
    [
        ({}, "epoch_num is missing"),
        ({"epoch_num": 0}, "epoch_num must be"),
        ({"epoch_num": 5, "gap": 0}, "gap must be"),
        ({"epoch_num": 5, "threshold": "x"}, "threshold must be"),
        ({"epoch_num": 5, "optimize_mode": "minimize"}, "can only maximize"),
        ({"epoch_nums": 5}, "did you mean 'epoch_num'"),
    ],
)
def test_wrong_arguments_of_curvefitting_are_named(class_args, words) -> None:
    with pytest.raises(ProblemsError, match=words):
        nni_assessors.create(ClassConfig("Curvefitting", class_args))


def test_curvefitting_needs_a_finished_trial() -> None:
    assessor = nni_assessors.create(ClassConfig("Curvefitting", {"epoch_num": 10}))
    assert not assessor.assess(1, {0: GOOD, 1: POOR}, finished=[]).stop  # type: ignore[call-arg]


def test_importing_and_creating_costs_no_nni() -> None:
    code = """
import sys
from include.adapters import nni_assessors, nni_tuners
from include.search import space
from include.search.config import ClassConfig
nni_assessors.create(ClassConfig("PAIAssessor"))
nni_assessors.create(ClassConfig("Curvefitting", {"epoch_num": 5}))
nni_tuners.create("TPE", {}, space.parse('{"a": {"_type": "uniform", "_value": [0, 1]}}', "s"))
print(sorted({"nni", "numpy", "scipy"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"
