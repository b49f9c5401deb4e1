"""Event files: TensorBoard reads them, and faults damage them as requested."""

from __future__ import annotations

import math

import pytest

from include.errors import ConfigError, JobFailedError
from include.sandbox.trainer import training
from include.sandbox.trainer.job import Job


def test_tensorboard_reads_metrics_losses_and_learning_rate(world, events):
    metrics = world.train()
    evaluation, training_events = events("run", "eval_val"), events("run", "")
    tags = evaluation.Tags()["scalars"]
    assert {"auc_is_like", "auc_is_love", "loss", "loss/loss/cross_entropy_loss_is_like"} <= set(tags)
    points = evaluation.Scalars("auc_is_like")
    assert [point.step for point in points] == [10, 20, 30]
    assert points[-1].value == pytest.approx(metrics["auc_is_like"], rel=1e-6)
    assert training_events.Scalars("learning_rate")[0].value == pytest.approx(0.01)
    assert training_events.Scalars("loss/loss/total_loss")


def test_single_task_models_report_a_plain_auc(world):
    world.config = world.config.replace('"DBMTL"', '"FM"').replace("dbmtl {", "fm {} kd {} dbmtl {")
    head, _, _ = world.config.partition("fm {}")
    world.config = head + "fm {} }"
    assert "auc" in world.train()


def test_records_grow_while_the_job_runs(world, monkeypatch):
    sizes = []
    evaluate = training._Loop._evaluate

    def watched(self, step, prefix):
        evaluate(self, step, prefix)
        (name,) = (name for name in world.files("run") if name.startswith("eval_val/"))
        sizes.append(len(world.read(f"run/{name}")))

    monkeypatch.setattr(training._Loop, "_evaluate", watched)
    world.train()
    assert len(sizes) == 3
    assert sizes == sorted(set(sizes))


def steps(accumulator):
    return [point.step for point in accumulator.Scalars("auc_is_like")]


def test_a_torn_record_is_completed_by_the_next_one(world, events):
    with pytest.raises(JobFailedError):
        world.train("torn", faults=({"kind": "torn_event", "step": 20}, {"kind": "job_fail", "step": 25}))
    assert steps(events("torn", "eval_val")) == [10]
    world.train("whole", faults=({"kind": "torn_event", "step": 10},))
    assert steps(events("whole", "eval_val")) == [10, 20, 30]


def test_late_files_appear_whole_at_the_end(world, events):
    with pytest.raises(JobFailedError):
        world.train("dead", faults=("late_events", {"kind": "job_fail", "step": 25}))
    assert not [name for name in world.files("dead") if name.startswith("eval_val/")]
    world.train("late", faults=("late_events",))
    assert steps(events("late", "eval_val")) == [10, 20, 30]


def test_rotated_files_hold_one_evaluation_each(world):
    world.train(faults=("rotate_events",))
    assert len([name for name in world.files("run") if name.startswith("eval_val/")]) == 3


def test_the_rest_of_a_torn_record_stays_in_its_file(world, events):
    world.train(faults=("rotate_events", {"kind": "torn_event", "step": 10}))
    assert len([name for name in world.files("run") if name.startswith("eval_val/")]) == 2
    assert steps(events("run", "eval_val")) == [10, 20, 30]


def test_missing_and_nan_tags(world, events):
    world.train("missing", faults=({"kind": "missing_tag", "tag": "auc_is_love"},))
    assert "auc_is_love" not in events("missing", "eval_val").Tags()["scalars"]
    world.train("nan", faults=({"kind": "nan_metric", "tag": "auc_is_like", "step": 20},))
    values = [point.value for point in events("nan", "eval_val").Scalars("auc_is_like")]
    assert [math.isnan(value) for value in values] == [False, True, True]


def test_a_damaged_record_has_a_wrong_checksum(world, events):
    world.train(faults=({"kind": "corrupt_event", "step": 20},))
    assert steps(events("run", "eval_val")) == [10]


def test_faults_come_as_the_sandbox_hands_them_over(world):
    handed = {"service": "job", "kind": "job_fail", "path": "x", "count": 1, "options": {"step": 5}}
    assert world.job(faults=(handed,)).faults[0].step == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"job_id": 1, "parameterz": {}}', "parameterz.*did you mean 'parameters'"),
        ('{"job_id": 1}', "'parameters' is missing"),
        (
            '{"job_id": 1, "parameters": {}, "oss_root": "", "tables_root": "", "faults": ["job_fial"]}',
            "did you mean 'job_fail'",
        ),
    ],
)
def test_a_wrong_job_description_names_the_key(text, message):
    with pytest.raises(ConfigError, match=message):
        Job.read(text)


def test_speed_stretches_the_training(world, monkeypatch):
    slept = []
    monkeypatch.setattr(training.time, "sleep", slept.append)
    world.train(speed=0.05)
    assert slept  # also on a machine so slow that a quick pace asks for no nap
    assert max(slept) <= 2.5 / 0.05
