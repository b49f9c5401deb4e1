"""What the page says, in both languages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include.search.trial import TrialState
from include.store import DayState, ExperimentState, StepState

I18N = Path(__file__).parents[3] / "plugins" / "easyrec" / "web" / "static" / "i18n"
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
