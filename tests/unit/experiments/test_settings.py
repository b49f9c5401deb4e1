"""``model.yml``: the section about messages, and what is said of its mistakes."""

from __future__ import annotations

import pytest

from include.errors import ProblemsError
from include.experiments.settings import TOPICS, parse


def test_without_the_section_nobody_is_told():
    assert parse("poll_seconds: 5\n", "model.yml").notify is None


def test_an_empty_section_tells_of_everything_by_the_default_connection():
    notify = parse("notify: {}\n", "model.yml").notify

    assert notify is not None
    assert (notify.dingding_conn_id, notify.on) == ("dingding_default", TOPICS)


@pytest.mark.parametrize("key", ["on", "'on'"])
def test_the_key_on_means_the_word_although_yaml_takes_it_for_true(key):
    notify = parse(f"notify:\n  dingding_conn_id: recommender_group\n  {key}: [failures, best]\n", "m").notify

    assert notify is not None
    assert notify.on == ("failures", "best")


def test_every_mistake_is_named_with_what_is_known():
    with pytest.raises(ProblemsError) as found:
        parse("notify: {dingding_con_id: x, on: [failure]}\npol: x\n", "model.yml")

    one, two, three = sorted(found.value.problems)
    assert one.startswith("notify.on.0: Input should be 'failures', 'gate'")
    assert two == "unknown key 'notify.dingding_con_id' (did you mean dingding_conn_id?)"
    assert three == "unknown key 'pol' (did you mean pool?)"


def test_a_word_where_a_list_belongs_is_a_mistake():
    with pytest.raises(ProblemsError, match=r"notify\.on: "):
        parse("notify: {on: best}\n", "model.yml")
