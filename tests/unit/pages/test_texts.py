"""What the page says, in both languages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.errors import ConfigError, StateError
from include.experiments import control
from include.experiments.control import Control
from include.experiments.limits import change_limits
from include.search.assessors import MedianstopAssessor, PaiAssessor
from include.search.trial import TrialState
from include.store import DayState, ExperimentState, StepState
from tests.support.fakes import MemoryWorkflow
from tests.support.searches import add_running, add_search

I18N = Path(__file__).parents[3] / "plugins" / "easyrec" / "web" / "static" / "i18n"
SAID = json.loads((I18N / "zh.said.json").read_text(encoding="utf-8"))
CHINESE = re.compile("[\u4e00-\u9fff]")
STYLES = (I18N.parent / "page.css").read_text(encoding="utf-8")
STATES = [TrialState, StepState, ExperimentState, DayState]


def test_both_languages_have_the_same_texts_with_the_same_blanks():
    english, chinese = (json.loads((I18N / f"{n}.json").read_text(encoding="utf-8")) for n in ("en", "zh"))
    assert english.keys() == chinese.keys()
    blanks = {
        key: sorted(part.split("}")[0] for part in text.split("{")[1:]) for key, text in english.items()
    }
    assert {
        key: sorted(p.split("}")[0] for p in text.split("{")[1:]) for key, text in chinese.items()
    } == blanks


@pytest.mark.parametrize("state", [state for states in STATES for state in states], ids=str)
def test_every_state_has_a_text_in_both_languages_and_a_colour(state):
    for name in ("en", "zh"):
        assert f"state.{state.value}" in json.loads((I18N / f"{name}.json").read_text(encoding="utf-8"))
    assert f".badge.{state.value.lower()}" in STYLES


def in_chinese(text: str) -> str:
    """As ``said`` of i18n.js does it."""
    for pattern, translation in SAID.items():
        if found := re.fullmatch(pattern, text):
            return re.sub(r"\{(\d)\}", lambda blank: in_chinese(found[int(blank[1])]), translation)
    return text


def verdicts() -> Iterator[str]:
    """Why assessors stop a trial, in their own words."""
    good = {1: [0.7, 0.8, 0.9], 2: [0.6, 0.7, 0.8]}
    poor = {**good, 3: [0.3, 0.2, 0.1]}
    yield PaiAssessor().assess(3, poor).reason
    yield PaiAssessor(proportion=0.75, moving_avg=True).assess(3, poor).reason
    yield PaiAssessor(moving_avg=True).assess(3, poor).reason
    yield PaiAssessor(proportion=0.75).assess(3, poor).reason
    yield PaiAssessor(patience=2).assess(3, poor).reason
    yield PaiAssessor("minimize").assess(1, {**poor, 4: [0.1, 0.1, 0.1]}).reason
    yield PaiAssessor().assess(4, {**good, 4: [float("nan")]}).reason
    yield MedianstopAssessor().assess(3, poor).reason


def refused(wrong: type[Exception], act, *given, **named) -> str:
    with pytest.raises(wrong) as caught:
        act(*given, **named)
    return caught.value.message


def answers(store) -> Iterator[str]:
    """What actions say, and why they are refused."""
    who = Control(store, MemoryWorkflow(), "ann")
    search = add_search(store).id
    for number in (8, 9):
        add_running(store, search, number)
    outcomes = [control.set_concurrency(who, search, 3), control.set_concurrency(who, search, 4)]
    yield refused(ConfigError, control.set_concurrency, who, search, 0)
    yield refused(ConfigError, change_limits, who, search, trials=0)
    yield refused(ConfigError, change_limits, who, search, hours=0)
    yield refused(ConfigError, control.extend, who, search, 0)
    yield refused(ConfigError, control.add_trials, who, search, [{"no": 1}])
    yield refused(ConfigError, control.clone_trial, who, search, 0, {"data_config.batch_size": -1})
    yield refused(ConfigError, control.retry_failed, who, search, [0, 99])
    yield refused(ConfigError, control.stop_trials, who, search, [0])
    outcomes += [control.pause(who, search), control.extend(who, search, 2), control.resume(who, search)]
    yield refused(StateError, control.resume, who, search)
    yield from change_limits(who, search, trials=1, hours=0.001)[1]
    yield from change_limits(who, search, trials=20)[1]
    outcomes += [control.stop_trials(who, search, [8]), control.stop_search(who, search)]
    yield refused(StateError, control.stop_search, who, search)
    outcomes.append(control.retry_failed(who, search))
    yield refused(ConfigError, control.retry_failed, who, search)
    yield refused(StateError, change_limits, who, search, hours=1)
    yield from (text for outcome in outcomes for text in (outcome.said, *outcome.notes))
    yield store.trial(search, 8).reason


def test_common_reasons_of_the_core_are_told_in_chinese():
    told = {reason: in_chinese(f"2026-06-01: {reason}") for reason in verdicts()}
    assert [t for t in told.values() if " is " in t or "trials" in t or "result" in t] == []
    assert all(CHINESE.search(t) for t in told.values())


def test_what_actions_answer_is_told_in_chinese(store):
    lines = [line for text in answers(store) for line in text.split("\n")]
    assert len(lines) > 30
    assert [line for line in lines if not CHINESE.search(in_chinese(line))] == []


def test_whatever_happens_to_a_search_has_a_name_in_both_languages(store):
    assert list(answers(store))
    (search,) = (e.id for e in store.experiments())
    run = {"run_id": "more", "by": "test"}
    store.open_run(search, more=2, deadline=None, **run)
    store.close_run(search, state=ExperimentState.FINISHED, reason="", **run)
    store.open_run(search, deadline=None, **run)
    kinds = {e.kind for e in store.events(search)} | {f"step_{state.value.lower()}" for state in StepState}
    assert {"extended", "reopened", "closed", "run_request_withdrawn", "cancelled", "asked"} <= kinds
    for name in ("en", "zh"):
        known = json.loads((I18N / f"{name}.json").read_text(encoding="utf-8"))
        assert {kind for kind in kinds if f"event.{kind}" not in known} == set()
