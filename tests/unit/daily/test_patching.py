"""A day's pipeline config: edits, rates of every optimizer, and shapes that must stay (R22, R23, R28)."""

from __future__ import annotations

import json

import pytest

from include.daily.config_files import ConfigFiles
from include.daily.patching import patch_config
from include.errors import ConfigError, NotFoundError, ProblemsError
from include.finetune.learning_rate import rate_at
from tests.support.daily import MODEL
from tests.support.fakes import MemoryObjects

SOURCE, TARGET, TRAINED = (
    "oss://bucket/source.config",
    "oss://bucket/target.config",
    "oss://bucket/trained/pipeline.config",
)
CHECKPOINT = "train_config.fine_tune_checkpoint"
RATE = "train_config.optimizer_config[0].adam_optimizer.learning_rate.exponential_decay_learning_rate"
SECOND = """
  optimizer_config {
    adagrad_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.02 } } }
  }
"""
NEW_FEATURE = """
feature_configs { input_names: "hour" feature_name: "hour_wide" feature_type: IdFeature hash_bucket_size: 24 }
"""


@pytest.fixture
def text() -> str:
    return (MODEL / "pipeline.config").read_text(encoding="utf-8")


@pytest.fixture
def objects(text) -> MemoryObjects:
    objects = MemoryObjects()
    objects.write(SOURCE, text.encode())
    objects.write(TRAINED, text.encode())
    return objects


def patch(objects, **changes):
    values = {
        "source": SOURCE,
        "target": TARGET,
        "edits": None,
        "learning_rate": None,
        "trained_config": TRAINED,
    }
    return patch_config(ConfigFiles(lambda: objects), **{**values, **changes})


def written(objects) -> str:
    return objects.read(TARGET).decode()


def assert_nothing_written(objects) -> None:
    assert objects.info(TARGET) is None


def test_edits_and_rate_are_in_what_is_written_and_all_else_stays(objects, text):
    patched = patch(objects, edits={CHECKPOINT: "oss://bucket/m/model.ckpt-7"}, learning_rate=1e-5)

    after = written(objects)
    assert after == patched.text
    assert rate_at(after, 0) == pytest.approx([1e-5])
    assert '"oss://bucket/m/model.ckpt-7"' in after
    assert objects.read(SOURCE).decode() == text
    added = set(after.splitlines()) - set(text.splitlines())
    assert len(added) == 2
    assert patched.edits == {CHECKPOINT: "oss://bucket/m/model.ckpt-7", f"{RATE}.initial_learning_rate": 1e-5}
    assert patched.warnings == ()


def test_values_may_come_as_the_texts_that_templates_make_of_them(objects):
    patch(objects, edits=json.dumps({"data_config.num_epochs": 1}), learning_rate="[1e-05]")

    assert "num_epochs: 1\n" in written(objects)
    assert rate_at(written(objects), 0) == pytest.approx([1e-5])


@pytest.mark.parametrize("none", [None, [], "", "None", "[]"])
def test_without_a_rate_the_rates_stay(objects, text, none):
    patch(objects, learning_rate=none)

    assert written(objects) == text


@pytest.mark.parametrize(("rate", "rates"), [(1e-5, [1e-5, 1e-5]), ([1e-5, 2e-5], [1e-5, 2e-5])])
def test_every_optimizer_gets_the_rate_or_its_own(objects, text, rate, rates):
    objects.write(SOURCE, text.replace("  num_steps: 300\n", SECOND + "  num_steps: 300\n").encode())

    patch(objects, learning_rate=rate)

    assert rate_at(written(objects), 0) == pytest.approx(rates)


def test_a_rate_below_the_schedules_bound_is_raised_to_it_and_said(objects):
    patched = patch(objects, learning_rate=1e-9)

    assert rate_at(written(objects), 0) == pytest.approx([1e-6])
    assert "below min_learning_rate" in patched.warnings[0]


@pytest.mark.parametrize(
    "key", [f"{RATE}.initial_learning_rate", f"{RATE}.initial_learning_rate".replace("[0]", "[:]")]
)
def test_an_edit_of_the_rate_loses_against_the_hand_over_and_both_are_named(objects, key):
    patched = patch(objects, edits={key: 0.25}, learning_rate=1e-5)

    assert rate_at(written(objects), 0) == pytest.approx([1e-5])
    (warning,) = patched.warnings
    assert f"{key} = 0.25 has no effect: 1e-05, which is handed over, wins" in warning
    assert "finetune.learning_rate" in warning
    assert 0.25 not in patched.edits.values()  # else it would be missed in what EasyRec says that it ran


def test_an_edit_of_the_rate_holds_when_nothing_is_handed_over(objects):
    patched = patch(objects, edits={f"{RATE}.initial_learning_rate": 0.25})

    assert rate_at(written(objects), 0) == pytest.approx([0.25])
    assert patched.warnings == ()


def test_an_edit_of_the_rates_schedule_holds_beside_a_hand_over(objects):
    patched = patch(objects, edits={f"{RATE}.decay_factor": 0.9}, learning_rate=1e-5)

    assert "decay_factor: 0.9" in written(objects)
    assert patched.warnings == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": "fast"}, "learning_rate 'fast' is not a number"),
        ({"learning_rate": True}, "is not a number"),
        ({"learning_rate": [1e-5, 1e-5]}, "2 learning rates for 1 optimizers"),
        ({"learning_rate": -1e-5}, "-1e-05 is no learning rate"),
        ({"edits": "{"}, "edits are not JSON"),
        ({"edits": "[1]"}, "not a mapping"),
        ({"edits": {"train_config.no_such_field": 1}}, "no_such_field"),
        ({"source": "oss://bucket/nowhere.config"}, "nowhere.config"),
        ({"trained_config": "oss://bucket/nowhere.config"}, "nowhere.config"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(objects, changes, said):
    with pytest.raises((ConfigError, NotFoundError)) as refused:
        patch(objects, **changes)

    assert said in str(refused.value)
    assert_nothing_written(objects)


class TestShapes:
    @pytest.fixture
    def wider(self, objects, text):
        changed = text.replace("embedding_dim: 16", "embedding_dim: 24")
        assert changed != text
        objects.write(SOURCE, changed.encode())
        return objects

    def test_another_shape_is_refused_with_the_reason(self, wider):
        with pytest.raises(ProblemsError, match="silently start these afresh") as refused:
            patch(wider)

        assert "embedding_dim" in str(refused.value)
        assert "16" in str(refused.value)
        assert "force_shapes" in str(refused.value)
        assert_nothing_written(wider)

    def test_one_that_comes_by_an_edit_is_refused_too(self, objects):
        with pytest.raises(ProblemsError, match="embedding_dim"):
            patch(objects, edits={"feature_configs[0].embedding_dim": 64})

        assert_nothing_written(objects)

    def test_where_it_is_forced_it_is_a_warning(self, wider):
        patched = patch(wider, force_shapes=True)

        assert any("embedding_dim" in warning for warning in patched.warnings)
        assert "embedding_dim: 24" in written(wider)

    def test_a_new_feature_that_changes_no_width_is_a_warning(self, objects, text):
        wide = 'feature_groups { group_name: "hours" feature_names: "hour_wide" wide_deep: WIDE }\n'
        objects.write(
            SOURCE, text.replace("model_config {", NEW_FEATURE + "model_config {\n  " + wide, 1).encode()
        )

        patched = patch(objects)

        assert any("hour_wide" in warning for warning in patched.warnings)
        assert "hour_wide" in written(objects)

    def test_without_a_config_to_compare_with_nothing_is_compared(self, wider):
        assert patch(wider, trained_config=None).warnings == ()


def test_the_inputs_of_a_day_are_what_patching_takes(days):
    days.set(learning_rate=1e-5)
    days.promote(1)
    begun = days.begin(2)

    patched = patch_config(
        ConfigFiles(lambda: days.services.objects),
        source=begun.config_source,
        target=begun.config_target,
        edits=begun.edits,
        learning_rate=begun.learning_rate,
        trained_config=begun.trained_config,
    )

    text = days.services.objects.read(begun.config_target).decode()
    assert f'fine_tune_checkpoint: "{begun.checkpoint}"' in text
    assert patched.edits["data_config.num_epochs"] == 1
