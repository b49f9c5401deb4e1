"""The metric of a model_dir: not there yet, there, or never coming (reference R9)."""

from __future__ import annotations

import json
import math

import pytest
from tensorboard.compat.proto import event_pb2, summary_pb2

from include.daily.metric_probe import MetricProbe, read_eval_result
from include.errors import ConfigError, MetricError, RetryableError
from include.sandbox.trainer.events import record
from tests.support.fakes import MemoryObjects

MODEL_DIR = "oss://bucket/20220601_model"
RESULT = "oss://bucket/20220601_model/eval_result.txt"
WEIGHTS = {"auc": 0.75, "recall": 0.25}


class Training:
    """What the job of a model_dir writes."""

    def __init__(self) -> None:
        self.objects = MemoryObjects()

    def evaluate(self, step: int, **metrics: float) -> None:
        values = [summary_pb2.Summary.Value(tag=tag, simple_value=v) for tag, v in metrics.items()]
        event = event_pb2.Event(wall_time=1.0, step=step, summary=summary_pb2.Summary(value=values))
        url = f"{MODEL_DIR}/eval_val/events.out.tfevents.1.host"
        self.objects.append(url, record(event.SerializeToString()))

    def end(self) -> None:
        self.objects.write(f"{MODEL_DIR}/ESTIMATOR_TRAIN_DONE", b"")

    def probe(self, **how) -> MetricProbe:
        return MetricProbe(self.objects, MODEL_DIR, WEIGHTS, **how)


@pytest.fixture
def training() -> Training:
    return Training()


def test_it_is_there_when_training_has_ended(training):
    probe = training.probe()
    assert probe.look() is None
    training.evaluate(100, auc=0.8, recall=0.4)
    assert probe.look() is None
    training.evaluate(200, auc=0.6, recall=0.2)
    training.end()

    metric = probe.look()

    assert (metric.global_step, metric.objective) == (200, pytest.approx(0.5))
    assert metric.metrics == pytest.approx({"auc": 0.6, "recall": 0.2})


@pytest.mark.parametrize(("mode", "step"), [("maximize", 100), ("minimize", 200)])
def test_the_best_evaluation_counts_where_that_is_asked_for(training, mode, step):
    for at, auc in ((100, 0.9), (200, 0.5), (300, 0.7)):
        training.evaluate(at, auc=auc, recall=0.5)
    training.end()

    assert training.probe(final_metric="best", optimize_mode=mode).look().global_step == step


def test_the_first_complete_evaluation_is_enough_where_that_is_asked_for(training):
    probe = training.probe(until="first")
    training.evaluate(100, auc=0.8)
    assert probe.look() is None
    training.evaluate(200, auc=0.6, recall=0.2)

    assert probe.look().global_step == 200


def test_an_evaluation_that_shows_up_after_the_end_is_waited_for(training):
    probe = training.probe()
    training.end()
    assert [probe.look() for _ in range(3)] == [None] * 3
    training.evaluate(200, auc=0.6, recall=0.2)

    assert probe.look().global_step == 200


def test_a_training_that_ended_without_evaluation_is_an_error(training):
    probe = training.probe()
    training.end()
    for _ in range(3):
        assert probe.look() is None

    with pytest.raises(MetricError, match="without one evaluation that has all of auc, recall"):
        probe.look()


def test_an_evaluation_that_lacks_a_weighted_tag_is_an_error_before_training_ends(training):
    probe = training.probe()
    training.evaluate(100, auc=0.7)
    assert probe.look() is None  # the rest may still be being written

    with pytest.raises(MetricError, match="at step 100 has no metric 'recall'; it has auc"):
        probe.look()


def test_a_training_that_diverged_is_an_error(training):
    training.evaluate(100, auc=math.nan, recall=0.2)
    training.end()

    with pytest.raises(MetricError, match="training diverged"):
        training.probe().look()


def test_trouble_with_oss_is_for_another_look(training):
    training.evaluate(100, auc=0.8, recall=0.4)
    training.end()
    probe = training.probe()
    training.objects.fail_next(RetryableError("OSS is away"))

    with pytest.raises(RetryableError):
        probe.look()

    assert probe.look().global_step == 100


class TestEvalResult:
    def read(self, text: str | None, weights=WEIGHTS):
        objects = MemoryObjects()
        if text is not None:
            objects.write(RESULT, text.encode())
        return read_eval_result(objects, RESULT, weights)

    def test_none_while_there_is_no_file(self):
        assert self.read(None) is None

    def test_the_objective_is_the_weighted_sum(self):
        metric = self.read(json.dumps({"auc": 0.8, "recall": 0.4, "loss": 0.1, "global_step": 300}))

        assert (metric.global_step, metric.objective) == (300, pytest.approx(0.7))
        assert metric.metrics == {"auc": 0.8, "recall": 0.4, "loss": 0.1}

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "not an evaluation result"),
            ('{"auc": 0.8', "not an evaluation result"),
            ("[0.8]", "not an evaluation result"),
            (f'{{"auc": 1{"0" * 400}, "recall": 0.4}}', "not an evaluation result"),
            ('{"auc": "high", "recall": 0.4}', "not an evaluation result"),
            ('{"auc": 0.8, "loss": 0.1}', "has no metric recall; it has auc, loss"),
            ('{"auc": NaN, "recall": 0.4}', "the objective is nan"),
        ],
    )
    def test_what_can_not_be_used_is_an_error(self, text, said):
        with pytest.raises(MetricError, match=said):
            self.read(text)

    def test_an_objective_without_metrics_is_refused(self):
        with pytest.raises(ConfigError, match="no metrics"):
            self.read("{}", weights={})
