"""The learning itself: gradients, schedules, optimizers, features, metrics."""

from __future__ import annotations

import numpy as np
import pytest

from include.errors import ConfigError
from include.sandbox import easyrec_proto
from include.sandbox.tables import TableStorage
from include.sandbox.trainer import features, metrics, schedules
from include.sandbox.trainer.model import Model

GROUPS = 'feature_groups { group_name: "deep" feature_names: ["user_id", "item_id", "age", "genres"] '
DNN = 'dnn { hidden_units: [6, 5] activation: "tf.nn.tanh" }'
MODELS = {
    "dbmtl": None,
    "deepfm": f'model_class: "DeepFM" {GROUPS} wide_deep: WIDE_AND_DEEP }} deepfm {{ {DNN} l2_regularization: 0 '
    'final_dnn { hidden_units: [4] activation: "swish" use_bn: false } }',
    "wide_and_deep": f'model_class: "WideAndDeep" {GROUPS} wide_deep: WIDE_AND_DEEP }} '
    f"wide_and_deep {{ wide_output_dim: 2 {DNN} l2_regularization: 0 }}",
    "fm": f'model_class: "FM" {GROUPS} wide_deep: WIDE_AND_DEEP }} fm {{}}',
    "multi_tower": 'model_class: "MultiTower" '
    'feature_groups { group_name: "u" feature_names: ["user_id", "age"] wide_deep: DEEP } '
    'feature_groups { group_name: "i" feature_names: ["item_id", "genres"] wide_deep: DEEP } '
    f'multi_tower {{ towers {{ input: "u" {DNN} }} towers {{ input: "i" {DNN} }} l2_regularization: 0 '
    'final_dnn { hidden_units: [4] activation: "tanh" } }',
}


def build(world, model: str | None = None, **changes: object) -> Model:
    text = world.config.replace("hidden_units: [16]", 'hidden_units: [16] activation: "tanh"')
    text = text.replace("hidden_units: [8]", 'hidden_units: [8] activation: "sigmoid"')
    if model:
        text = (
            f"{text[: text.index('model_config')]} model_config {{ {model} embedding_regularization: 0.01 }}"
        )
    config = easyrec_proto.parse(text)
    paths = "odps://sandbox/tables/ratings_daily/dt=19970920"
    tables = TableStorage(world.tables_root)
    return Model(config, tables, train_paths=paths, eval_paths=paths, seed=0, checkpoint=None)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_the_loss(world, name):
    model = build(world, MODELS[name])
    network, rows = model.network, np.arange(200)
    labels = [label[rows] for label in model._labels]
    rng = np.random.default_rng(5)
    for segment, _ in model.trained:
        segment.values += rng.normal(0, 0.1, segment.values.shape).astype(np.float32)

    def loss() -> float:
        return network.train(rows, labels, np.random.default_rng(0))["total_loss"]

    for segment, _ in model.trained:
        for variable in segment.variables:
            loss()
            slope = variable.gradient.copy()
            norm = float(np.linalg.norm(slope))
            if norm < 1e-3:  # lost in the rounding of 32-bit losses
                continue
            step = np.float32(0.02)
            variable.value += step * slope / norm
            after = loss()
            variable.value -= 2 * step * slope / norm
            before = loss()
            variable.value += step * slope / norm
            assert (after - before) / (2 * step) == pytest.approx(norm, rel=0.03), variable.name


OPTIMIZERS = {
    "adam_optimizer": "", "adam_async_optimizer": "", "adamw_optimizer": "", "adam_asyncw_optimizer": "",
    "lazy_adam_optimizer": "", "momentum_optimizer": "", "momentumw_optimizer": "",
    "adagrad_optimizer": "", "ftrl_optimizer": "", "rms_prop_optimizer": "epsilon: 0.01",
}  # fmt: skip
LEARNING_RATES = {"ftrl_optimizer": 0.1, "adagrad_optimizer": 0.1, "momentum_optimizer": 0.1,
                  "momentumw_optimizer": 0.1}  # fmt: skip


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_optimizer_learns(world, kind):
    rate = LEARNING_RATES.get(kind, 0.01)
    world.config = world.config.replace(
        "adam_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.01 } } }",
        f"{kind} {{ {OPTIMIZERS[kind]} learning_rate {{ constant_learning_rate {{ learning_rate: {rate} }} }} }}",
    )
    model = build(world)
    rng = np.random.default_rng(0)
    rows = model.train_rows[:256]
    losses = [model.train_step(rows, step, rng)["total_loss"] for step in range(40)]
    assert losses[-1] < losses[0] - 0.01


@pytest.mark.parametrize(("kind", "moves"), [("adam_optimizer", True), ("lazy_adam_optimizer", False)])
def test_only_lazy_adam_leaves_untouched_embeddings_alone(world, kind, moves):
    world.config = world.config.replace("adam_optimizer", kind)
    model = build(world)
    users = model.network.embedding_segment.variables[0]
    rng = np.random.default_rng(0)
    model.train_step(model.train_rows[:1], 0, rng)
    touched = np.flatnonzero(np.abs(users.gradient).sum(1))
    others = [row for row in model.train_rows if row > 0 and not _same_user(model, 0, row)][:50]
    before = users.value[touched].copy()
    model.train_step(np.array(others), 1, rng)
    assert (not np.array_equal(users.value[touched], before)) == moves


def _same_user(model: Model, one: int, other: int) -> bool:
    buckets = model.network._encoded["user_id"].buckets
    return bool(buckets[one, 0] == buckets[other, 0])


def test_two_optimizers_train_embeddings_and_the_rest(world):
    second = "optimizer_config { momentum_optimizer { learning_rate { constant_learning_rate {} } } }"
    world.config = world.config.replace("num_steps: 30", f"{second} num_steps: 30")
    model = build(world)
    assert [sorted(optimizer.slots) for _, optimizer in model.trained] == [["Adam", "Adam_1"], ["Momentum"]]


def test_gradients_are_clipped_by_their_common_norm(world):
    world.config = world.config.replace("num_steps: 30", "gradient_clipping_by_norm: 0.001 num_steps: 30")
    model = build(world)
    model.train_step(model.train_rows[:100], 0, np.random.default_rng(0))
    norm = np.sqrt(sum(np.vdot(s.gradients, s.gradients) for s, _ in model.trained))
    assert norm == pytest.approx(0.001, rel=1e-3)


SCHEDULES = {
    "constant_learning_rate { learning_rate: 0.3 }": {0: 0.3, 900: 0.3},
    "exponential_decay_learning_rate { initial_learning_rate: 0.001 decay_steps: 1000 decay_factor: 0.1 "
    "min_learning_rate: 1e-7 }": {0: 1e-3, 999: 1e-3, 1000: 1e-4, 2500: 1e-5, 7999: 1e-7},
    "exponential_decay_learning_rate { initial_learning_rate: 0.1 decay_steps: 10 decay_factor: 0.5 "
    "burnin_steps: 10 burnin_learning_rate: 0.02 staircase: false }": {0: 0.02, 5: 0.06, 10: 0.1, 15: 0.1 * 0.5**0.5},
    "exponential_decay_learning_rate { initial_learning_rate: 0.1 decay_steps: 10 decay_factor: 0.5 "
    "burnin_steps: 10 }": {0: 0.1, 9: 0.1, 20: 0.05},
    "exponential_decay_learning_rate { initial_learning_rate: 0.1 decay_steps: 10 decay_factor: 0.5 "
    "burnin_steps: 10 burnin_learning_rate: 0.02 min_learning_rate: 0.05 }": {0: 0.05, 5: 0.06, 99: 0.05},
    "manual_step_learning_rate { initial_learning_rate: 0.1 schedule { step: 10 learning_rate: 0.5 } "
    "schedule { step: 20 learning_rate: 0.01 } }": {0: 0.1, 9: 0.1, 10: 0.5, 19: 0.5, 20: 0.01},
    "manual_step_learning_rate { initial_learning_rate: 0.1 schedule { step: 10 learning_rate: 0.5 } "
    "warmup: true }": {0: 0.1, 5: 0.3, 10: 0.5},
    "cosine_decay_learning_rate { learning_rate_base: 0.4 total_steps: 100 warmup_learning_rate: 0.1 "
    "warmup_steps: 10 hold_base_rate_steps: 10 }": {0: 0.1, 5: 0.25, 15: 0.4, 60: 0.2, 100: 0.0, 101: 0.0},
    "poly_decay_learning_rate { learning_rate_base: 0.4 total_steps: 100 power: 2 end_learning_rate: 0.1 }": {
        0: 0.4, 50: 0.175, 100: 0.1, 500: 0.1},
    "transformer_learning_rate { learning_rate_base: 2 hidden_size: 4 warmup_steps: 16 }": {
        0: 1 / 64, 15: 0.25, 99: 0.1},
}  # fmt: skip


@pytest.mark.parametrize(("text", "rates"), SCHEDULES.items())
def test_learning_rates_follow_easyrecs_schedules(text, rates):
    body = f"optimizer_config {{ adam_optimizer {{ learning_rate {{ {text} }} }} }}"
    config = easyrec_proto.parse(f"train_config {{ {body} }}")
    rate_at = schedules.build(config.train_config.optimizer_config[0].adam_optimizer.learning_rate, where="x")
    assert {step: rate_at(step) for step in rates} == pytest.approx(rates, rel=1e-6)


def feature(text: str) -> features.Feature:
    return next(iter(features.read_features(easyrec_proto.parse(f"feature_configs {{ {text} }}")).values()))


def buckets(text: str, *values: object) -> list[list[int]]:
    entry = feature(text)
    return features.encode(entry, {"x": np.array(values), "y": np.array(values)}).buckets.tolist()


def test_features_fall_into_their_buckets():
    ids = 'input_names: "x" feature_type: IdFeature '
    assert buckets(ids + "num_buckets: 5", 1, 4, 5, -1) == [[1], [4], [0], [0]]
    assert buckets(ids + 'vocab_list: ["a", "b"]', "b", "a", "z") == [[1], [0], [0]]
    raw = 'input_names: "x" feature_type: RawFeature '
    assert buckets(raw + "boundaries: [10, 20]", 9.0, 10.0, 25.0) == [[0], [1], [2]]
    tags = features.encode(
        feature('input_names: "x" feature_type: TagFeature hash_bucket_size: 9 combiner: "mean"'),
        {"x": np.array(["a|b", "a", ""])},
    )
    assert tags.weights.tolist() == [[0.5, 0.5], [1, 0], [0, 0]]
    assert tags.buckets[0][0] == tags.buckets[1][0]
    combined = 'input_names: "x" input_names: "y" feature_type: ComboFeature hash_bucket_size: 1000'
    assert buckets(combined, "a", "b") != buckets(ids + "hash_bucket_size: 1000", "a", "b")


def test_small_hash_buckets_collide():
    found = buckets('input_names: "x" hash_bucket_size: 3 feature_type: IdFeature', *range(50))
    assert {row[0] for row in found} == {0, 1, 2}


def test_missing_values_are_a_value_of_their_own():
    column = np.ma.MaskedArray(np.array(["a", "b"]), mask=[False, True])
    encoded = features.encode(
        feature('input_names: "x" feature_type: IdFeature hash_bucket_size: 100000'), {"x": column}
    )
    assert encoded.buckets[0] != encoded.buckets[1]


def test_auc_counts_ties_half_and_one_class_as_zero():
    labels = np.array([0, 0, 1, 1])
    assert metrics.auc(labels, np.array([0.1, 0.4, 0.35, 0.8])) == pytest.approx(0.75)
    assert metrics.auc(labels, np.zeros(4)) == pytest.approx(0.5)
    assert metrics.auc(np.ones(4), np.arange(4)) == 0


def test_all_configured_metrics_are_reported_by_their_tags(world):
    wanted = 'gauc { uid_field: "user_id" } } metrics_set { max_f1 {} } metrics_set { accuracy {}'
    world.config = world.config.replace("metrics_set { auc {} }", f"metrics_set {{ {wanted} }}")
    assert {"gauc_is_like", "max_f1_is_love", "accuracy_is_like"} <= set(world.train())


def test_a_rating_can_be_predicted_as_a_number(world):
    model = (
        'model_class: "MultiTower" label_name: "rating" loss_type: L2_LOSS '
        'feature_groups { group_name: "g" feature_names: ["user_id", "item_id"] wide_deep: DEEP } '
        'multi_tower { towers { input: "g" dnn { hidden_units: [8] } } l2_regularization: 0 '
        "final_dnn { hidden_units: [4] } }"
    )
    start = world.config.index("model_config")
    world.config = (
        world.config[:start].replace('"is_like", "is_love"', '"rating"') + f"model_config {{ {model} }}"
    )
    world.config = world.config.replace(
        "metrics_set { auc {} }", "metrics_set { root_mean_squared_error {} }"
    )
    found = world.train(edits={"train_config.num_steps": 200})
    assert found["root_mean_squared_error"] < 1.6
    assert "loss/loss/l2_loss" in found


def test_an_unknown_metric_is_named(world):
    world.config = world.config.replace("metrics_set { auc {} }", "metrics_set { session_auc {} }")
    with pytest.raises(ConfigError, match="no metric session_auc"):
        world.train()
