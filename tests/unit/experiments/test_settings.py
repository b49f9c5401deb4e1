"""``model.yml``: the section about messages, and what is said of its mistakes."""

from __future__ import annotations

import pytest

from include.errors import ProblemsError
from include.experiments.settings import parse
from include.notices import TOPICS


def test_without_the_section_nobody_is_told():
    assert parse("poll_seconds: 5\n", "model.yml").notify is None


def test_an_empty_section_tells_dingtalk_of_everything():
    notify = parse("notify: {}\n", "model.yml").notify

    assert notify is not None
    assert notify.notifier == "easyrec.notifications.DingTalkNotifier"
    assert (notify.arguments, notify.on) == ({}, TOPICS)


@pytest.mark.parametrize("key", ["on", "'on'"])
def test_the_key_on_means_the_word_although_yaml_takes_it_for_true(key):
    notify = parse(f"notify:\n  {key}: [failures, searches]\n", "m").notify

    assert notify is not None
    assert notify.on == ("failures", "searches")


def test_every_mistake_is_named_with_what_is_known():
    with pytest.raises(ProblemsError) as found:
        parse("notify: {notifer: x.Y, on: [failure]}\nfinetune: {gate: {mn: {}}}\npol: x\n", "model.yml")

    one, gate, two, three = sorted(found.value.problems)
    assert one.startswith("notify.on.0: Input should be 'failures', 'gate'")
    assert gate == "unknown key 'finetune.gate.mn' (did you mean min?)"
    assert two == "unknown key 'notify.notifer' (did you mean notifier?)"
    assert three == "unknown key 'pol' (did you mean pool?)"


def test_a_word_where_a_list_belongs_is_a_mistake():
    with pytest.raises(ProblemsError, match=r"notify\.on: "):
        parse("notify: {on: searches}\n", "model.yml")


@pytest.mark.parametrize(
    "arguments", ["{password: x}", "{access_token: x}", "{url: 'https://robot.example.com/send?token=abc'}"]
)
def test_a_secret_in_the_file_is_a_mistake_for_it_is_kept_with_every_search(arguments):
    with pytest.raises(ProblemsError, match=r"[Cc]onnection"):
        parse(f"notify: {{arguments: {arguments}}}\n", "model.yml")


def test_a_notifier_is_the_path_of_a_class():
    with pytest.raises(ProblemsError, match=r"notify\.notifier: "):
        parse("notify: {notifier: dingding_default}\n", "model.yml")
