"""Reading ``config.yml`` (reference R1)."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import ConfigError, ProblemsError
from include.search import config

MANUAL = """
experimentWorkingDirectory: ../expdir
searchSpaceFile: search_space.json
trialCommand: python3 ./run_begin.py --config=./config_begin.ini --exp_dir=../exp
trialConcurrency: 1
maxTrialNumber: 1
tuner:
  name: TPE
  classArgs:
    optimize_mode: maximize
trainingService:
  platform: local
assessor:
   codeDirectory: ../../../core
   className: pai_assessor.PAIAssessor
   classArgs:
      optimize_mode: maximize
      start_step: 2
"""
MINIMAL = """
searchSpaceFile: search_space.json
trialCommand: python3 ./run_begin.py --config=./config_begin.ini
trialConcurrency: 2
tuner: {name: TPE, classArgs: {optimize_mode: maximize}}
"""


def read(text: str) -> config.SearchConfig:
    return config.parse(text, "models/m/begin/config.yml")


def problems(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return str(caught.value)


def test_the_manuals_file_reads_as_it_is() -> None:
    found = read(MANUAL)
    assert found.ini_path == Path("models/m/begin/config_begin.ini")
    assert found.search_space_path == Path("models/m/begin/search_space.json")
    assert (found.concurrency, found.max_trials, found.optimize_mode) == (1, 1, "maximize")
    assert found.tuner.name == "TPE"
    assert found.kind == "begin"
    assert any("experimentWorkingDirectory" in note for note in found.notes)


@pytest.mark.parametrize("name", ["pai_assessor.PAIAssessor", "pai_assessor.PaiAssessor"])
def test_the_manuals_assessor_is_the_built_in_one(name: str) -> None:
    assessor = read(MANUAL.replace("pai_assessor.PAIAssessor", name)).assessor
    assert assessor is not None
    assert assessor.name == "PAIAssessor"
    assert assessor.class_name is None
    assert assessor.class_args == {"optimize_mode": "maximize", "start_step": 2}


def test_the_successors_assessor_reads_with_all_its_options() -> None:
    text = MINIMAL + (
        "assessor: {name: PAIAssessor, classArgs: {platform: MAXCOMPUTE, optimize_mode: maximize, "
        "start_step: 1, moving_avg: true, proportion: 0.5, patience: 10}}"
    )
    found = read(text)
    assert found.assessor is not None
    assert any("platform" in note for note in found.notes)


def test_the_manuals_finetune_file_has_its_days() -> None:
    text = MANUAL.replace(
        "run_begin.py --config=./config_begin.ini",
        "run_finetune.py --config=./config_finetune.ini --start_time=2022-05-30 --end_time=2022-06-17",
    )
    found = read(text)
    assert (found.kind, found.start_date, found.end_date) == (
        "finetune",
        date(2022, 5, 30),
        date(2022, 6, 17),
    )
    assert found.ini_path.name == "config_finetune.ini"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("python3 run_begin.py", "--config=<ini file> is missing"),
        ("python3 run_begin.py --confg=a.ini", "did you mean '--config'"),
        ("python3 run_begin.py --config", "--config has no value"),
        ("python3 run_begin.py --config=a --config=b", "--config stands there twice"),
        ("python3 'run_begin.py --config=a", "not readable as a command"),
        ("python3 run_finetune.py --config=a", "needs both --start_time and --end_time"),
        ("python3 x.py --config=a --start_time=2022-01-01", "needs both --start_time and --end_time"),
        ("x --config=a --start_time=2022-02-30 --end_time=2022-03-01", "'2022-02-30' is not a date"),
        ("x --config=a --start_time=20220302 --end_time=20220301", "is after --end_time"),
    ],
)
def test_mistakes_in_the_trial_command_are_named(command: str, words: str) -> None:
    message = problems(MINIMAL.replace("python3 ./run_begin.py --config=./config_begin.ini", f'"{command}"'))
    assert words in message
    assert "line 3, trialCommand" in message


def test_options_may_stand_behind_a_space() -> None:
    found = read(MINIMAL.replace("--config=./config_begin.ini", "--config conf/a.ini --exp_dir ../exp"))
    assert found.ini_path == Path("models/m/begin/conf/a.ini")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2h", timedelta(hours=2)),
        ("30m", timedelta(minutes=30)),
        ("1d", timedelta(days=1)),
        ("90s", timedelta(seconds=90)),
        ("1.5h", timedelta(minutes=90)),
        ("3600", timedelta(hours=1)),
    ],
)
def test_durations_read_as_in_nni(written: str, meant: timedelta) -> None:
    found = read(MINIMAL + f"maxExperimentDuration: {written}\nmaxTrialDuration: '{written}'")
    assert found.max_duration == found.max_trial_duration == meant


@pytest.mark.parametrize("written", ["2 weeks", "-1h", "0", "h", ".inf", "[1]", "true", "1e400h"])
def test_a_duration_that_is_none_is_an_error(written: str) -> None:
    assert "maxExperimentDuration: must be a time like 2h" in problems(
        MINIMAL + f"maxExperimentDuration: {written}"
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("trialConcurency: 2", "did you mean 'trialConcurrency'"),
        ("maxTrialNumber: 0", "maxTrialNumber: must be a whole number from 1"),
        ("maxTrialNumber: '3'", "maxTrialNumber: must be a whole number from 1"),
        ("advisor: {name: BOHB}", "advisors aren't supported"),
        ("sharedStorage: {}", "jobs read and write OSS"),
        ("useAnnotation: true", "annotations aren't supported"),
        ("maxExecDuration: 2h", "NNI version 1; write maxExperimentDuration"),
        ("trainingService: {platform: remote}", "only platform: local"),
        ("trainingService: kubeflow", "only platform: local"),
        ("trainingService: {platform: local, reuseMod: true}", "did you mean 'reuseMode'"),
        ("trial_concurrency: 3", "is trialConcurrency, which is given already"),
        ("trialConcurrency: 3", "stands there twice, in lines 4 and 6"),
        ("assessor: {name: PAIAssesor}", "did you mean 'PAIAssessor'"),
        ("assessor: {name: PAIAssessor, classArgs: {start_stp: 1}}", "did you mean 'start_step'"),
        ("assessor: {name: Medianstop, classArgs: {optimize_mode: minimize}}", "they must agree"),
        ("assessor: {builtinAssessorName: Medianstop}", "NNI version 1; write name"),
        ("assessor: {name: A, className: b.C}", "not both"),
        ("assessor: {className: C}", "must be <file>.<class>"),
        ("assessor: {classArgs: {}}", "needs a name"),
        ("assessor: [PAIAssessor]", "must hold name and classArgs"),
        ("assessor: {name: PAIAssessor, classArgs: [1]}", "must hold keys and values"),
        ("assessor: {name: PAIAssessor, clasArgs: {}}", "did you mean 'classArgs'"),
        ("searchSpace: {a: {_type: choice, _value: [1]}}", "not both"),
        ("experimentType: nas", "only hpo"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_line(line: str, words: str) -> None:
    message = problems(MINIMAL + line)
    assert words in message
    assert "line " in message


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(ProblemsError) as caught:
        read("trialConcurrency: 0\nmaxTrialNum: 3\nx: 1\n")
    assert len(caught.value.problems) == 5  # the three lines, and the two keys that are missing


@pytest.mark.parametrize("key", ["debug: true", "logLevel: debug", "nniManagerIp: 1.2.3.4", "trialGpuNumber: 1",
                                 "trainingService: {platform: local, maxTrialNumberPerGpu: 2}"])  # fmt: skip
def test_keys_without_meaning_here_are_noted(key: str) -> None:
    assert any("has no meaning here" in note for note in read(MINIMAL + key).notes)


def test_keys_may_be_written_with_underscores_as_in_nni() -> None:
    assert read(MINIMAL.replace("trialConcurrency", "trial_concurrency")).concurrency == 2


def test_a_search_space_may_stand_in_the_file_itself() -> None:
    text = MINIMAL.replace(
        "searchSpaceFile: search_space.json", "searchSpace: {rate: {_type: uniform, _value: [1e-4, 1e-2]}}"
    )
    found = read(text)
    assert found.search_space_path is None
    assert found.inline_space is not None
    assert found.inline_space.extremes() == {"rate": (1e-4, 1e-2)}
    assert "key rate: low 0.1 is greater" in problems(text.replace("1e-4", "0.1"))


def test_the_assessor_takes_over_the_tuners_mode() -> None:
    text = MINIMAL.replace("maximize", "minimize") + "assessor: {name: Medianstop}"
    found = read(text)
    assert found.optimize_mode == "minimize"
    assert found.assessor is not None
    assert found.assessor.class_args["optimize_mode"] == "minimize"


def test_without_a_mode_maximize_is_assumed_and_said() -> None:
    found = read(MINIMAL.replace(", classArgs: {optimize_mode: maximize}", ""))
    assert found.optimize_mode == "maximize"
    assert any("optimize_mode isn't given" in note for note in found.notes)


def test_own_classes_are_looked_for_beside_the_file() -> None:
    found = read(MINIMAL + "assessor: {className: mine.Strict, codeDirectory: ../code, classArgs: {a: 1e-3}}")
    assert found.assessor is not None
    assert found.assessor.code_directory == Path("models/m/begin/../code")
    assert found.assessor.class_args == {"a": 1e-3}


@pytest.mark.parametrize(
    "text", ["", "[1]", "a: [", "a: *b", "a: &x [*x]\n", "? [1]\n: 2", "a: !!python/object:os.x {}"]
)
def test_text_that_is_no_config_is_an_error_that_names_the_file(text: str) -> None:
    assert problems(text).startswith("models/m/begin/config.yml: ")


def test_a_missing_file_is_an_error_that_names_it(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yml"):
        config.load(tmp_path / "nowhere.yml")


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_garbage_is_an_error_never_a_traceback(text: str) -> None:
    with pytest.raises(ConfigError):
        read(text)
