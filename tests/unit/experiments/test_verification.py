"""Whether a job ran with the values that were meant for it."""

from __future__ import annotations

from include.experiments.verification import not_applied

MEANT = {"train_config.num_steps": 7}


def test_other_values_are_named_and_the_same_ones_are_not():
    assert not_applied("train_config { num_steps: 7 }", MEANT) == []
    assert not_applied("train_config { num_steps: 5 }", MEANT) == ["train_config.num_steps: meant 7, saved 5"]


def test_a_saved_config_that_can_not_be_read_fails_no_trial_but_is_told(caplog):
    assert not_applied("train_config {", MEANT) == []
    assert "not checked whether the edits were applied" in caplog.text
    assert "line 1" in caplog.text
