"""What a job does to its model_dir, as EasyRec does it (reference section 4)."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from include.errors import AccessError, ConfigError, EasyRecAutoMLError, NotFoundError
from include.sandbox import easyrec_proto
from include.sandbox.trainer import checkpoints
from include.sandbox.trainer.oss import Oss

RATE = "train_config.optimizer_config[0].adam_optimizer.learning_rate.constant_learning_rate.learning_rate"
ROOT = Path(__file__).resolve().parents[3]


def test_a_job_leaves_checkpoints_config_events_and_its_mark(world):
    metrics = world.train()
    files = world.files("run")
    for step in (0, 10, 20, 30):
        for suffix in ("index", "data-00000-of-00001", "meta"):
            assert f"model.ckpt-{step}.{suffix}" in files
    assert {"checkpoint", "pipeline.config", "version", "ESTIMATOR_TRAIN_DONE"} <= set(files)
    assert [f for f in files if f.startswith("eval_val/events.out.tfevents.")]
    assert [f for f in files if f.startswith("events.out.tfevents.")]
    assert 'model_checkpoint_path: "model.ckpt-30"' in world.read("run/checkpoint").decode()
    assert 0.5 < metrics["auc_is_like"] < 1
    assert {"auc_is_love", "loss", "loss/loss/total_loss"} <= set(metrics)


def test_the_same_job_and_seed_give_the_same_metrics(world):
    first = world.train("one", seed=3)
    assert world.train("two", seed=3) == first
    assert world.train("three", seed=4) != first


def test_better_parameters_give_a_better_curve(world, events):
    world.train("good")
    world.train("poor", edits={RATE: 0.00001})
    curves = {
        name: [e.value for e in events(name, "eval_val").Scalars("auc_is_like")] for name in ("good", "poor")
    }
    later = list(zip(curves["good"], curves["poor"], strict=True))[1:]
    assert all(good > poor + 0.03 for good, poor in later)


def test_overrides_win_over_edits_and_the_saved_config_says_what_ran(world):
    edits = {"model_dir": "oss://bucket/demo/edited", "train_config.num_steps": 7}
    world.train("override", edits=edits, train_tables="odps://sandbox/tables/ratings_daily/dt=19970920")
    saved = easyrec_proto.parse(world.read("override/pipeline.config").decode())
    assert saved.model_dir == "oss://bucket/demo/override/"
    assert saved.train_config.num_steps == 7
    assert saved.train_input_path.endswith("dt=19970920")
    assert "model.ckpt-7.index" in world.files("override")


def test_a_used_model_dir_is_continued_and_the_fine_tune_checkpoint_ignored(world, caplog):
    world.train("begin")
    world.train("run", edits={"train_config.num_steps": 10})
    with caplog.at_level(logging.INFO):
        world.train(
            "run", edits={"train_config.num_steps": 20}, fine_tune_checkpoint="oss://bucket/demo/begin/"
        )
    assert "model.ckpt-20.index" in world.files("run")
    assert "is ignored: model_dir has a checkpoint" in caplog.text
    assert "Restoring parameters from oss://bucket/demo/run/model.ckpt-10" in caplog.text


def test_a_finished_model_dir_trains_nothing_more(world, caplog):
    world.train("run")
    with caplog.at_level(logging.WARNING):
        assert world.train("run") == {}
    assert "Skipping training" in caplog.text


def test_a_stale_mark_ends_the_separate_evaluator_early(world, events):
    world.train("run", edits={"train_config.num_steps": 10})
    world.train("run", edits={"train_config.num_steps": 40})
    steps = [e.step for e in events("run", "eval_val").Scalars("auc_is_like")]
    assert steps == [10, 20]


def test_continuing_with_another_shape_fails(world):
    world.train("run", edits={"train_config.num_steps": 10})
    with pytest.raises(ConfigError, match="shapes of both tensors"):
        world.train("run", edits={"feature_configs[0].embedding_dim": 6})


def test_continue_train_false_refuses_a_used_model_dir(world):
    world.train("run")
    with pytest.raises(ConfigError, match="not empty"):
        world.train("run", continue_train="false")


def test_fine_tuning_restarts_at_step_0_from_the_old_weights(world, events):
    begin = world.train("begin")
    tuned = world.train(
        "day", edits={RATE: 1e-7, "train_config.num_steps": 5}, fine_tune_checkpoint="oss://bucket/demo/begin"
    )
    assert tuned["auc_is_like"] == pytest.approx(begin["auc_is_like"], abs=1e-3)
    assert {"model.ckpt-0.index", "model.ckpt-5.index"} <= set(world.files("day"))
    saved = easyrec_proto.parse(world.read("day/pipeline.config").decode())
    assert saved.train_config.fine_tune_checkpoint == "oss://bucket/demo/begin/model.ckpt-30"
    assert [e.step for e in events("day", "eval_val").Scalars("auc_is_like")] == [5]


def test_an_exact_checkpoint_is_taken_when_it_is_named(world, caplog):
    world.train("begin")
    with caplog.at_level(logging.WARNING):
        world.train("day", fine_tune_checkpoint="oss://bucket/demo/begin/model.ckpt-10")
    assert "will restore from oss://bucket/demo/begin/model.ckpt-10" in caplog.text


def test_what_todays_data_do_not_touch_is_kept_for_tomorrow(world):
    """The chain of days: an embedding that only the first day trained is in every later checkpoint."""
    day = "odps://sandbox/tables/ratings_daily/dt="
    world.train("first", train_tables=f"{day}19970920,{day}19970921", eval_method="none")
    edits = {"train_config.num_steps": 1, RATE: 0.0}
    world.train("second", train_tables=f"{day}19970923", edits=edits, eval_method="none",
                fine_tune_checkpoint="oss://bucket/demo/first")  # fmt: skip
    name = "input_layer/item_id_embedding/embedding_weights"
    oss = Oss(world.storage, ["bucket"])
    before = checkpoints.load(oss, "oss://bucket/demo/first/model.ckpt-30")
    after = checkpoints.load(oss, "oss://bucket/demo/second/model.ckpt-1")
    known = dict(zip(after.rows[name].tolist(), after.arrays[name].tolist(), strict=True))
    for row, values in zip(before.rows[name].tolist(), before.arrays[name].tolist(), strict=True):
        assert known[row] == pytest.approx(values, abs=1e-6)


def test_mismatched_shapes_stay_fresh_with_only_a_log_line(world, caplog):
    begin = world.train("begin")
    edits = {"model_config.dbmtl.bottom_dnn.hidden_units": "[24]", "train_config.num_steps": 1, RATE: 1e-9}
    with caplog.at_level(logging.WARNING):
        tuned = world.train("day", edits=edits, fine_tune_checkpoint="oss://bucket/demo/begin")
    assert (
        "Variable [bottom_dnn/dnn_0/kernel] is available in checkpoint, but incompatible shape" in caplog.text
    )
    assert tuned["auc_is_like"] < begin["auc_is_like"] - 0.02


def test_force_restore_shape_compatible_copies_the_overlap(world, caplog):
    world.train("begin")
    edits = {"feature_configs[0].hash_bucket_size": 400, "train_config.force_restore_shape_compatible": True}
    with caplog.at_level(logging.WARNING):
        world.train("day", edits=edits, fine_tune_checkpoint="oss://bucket/demo/begin")
    assert "incompatible shape" not in caplog.text


def test_only_the_newest_checkpoints_are_kept(world):
    world.train(edits={"train_config.keep_checkpoint_max": 2})
    kept = [name for name in world.files("run") if name.endswith(".index")]
    assert kept == ["model.ckpt-20.index", "model.ckpt-30.index"]


def test_eval_method_none_reports_no_metrics(world):
    assert world.train(eval_method="none", cluster="") == {}
    assert not [name for name in world.files("run") if name.startswith("eval_val/")]


def test_eval_method_master_needs_one_worker_only(world):
    assert world.train(eval_method="master", cluster='{"worker":{"count":1}}')["auc_is_like"] > 0.5


def test_evaluate_writes_the_same_metrics_as_training_did(world):
    trained = world.train()
    world.train(cmd="evaluate", cluster='{"worker":{"count":1}}')
    result = json.loads(world.read("run/eval_result.txt"))
    assert result["auc_is_like"] == pytest.approx(trained["auc_is_like"])
    assert result["global_step"] == 30


def test_export_copies_the_named_checkpoint(world):
    world.train()
    folder = world.train(
        cmd="export", cluster='{"worker":{"count":1}}', export_dir="oss://bucket/demo/export",
        checkpoint_path="oss://bucket/demo/run/model.ckpt-20",
    )  # fmt: skip
    names = {name.partition("/")[2] for name in world.files("export")}
    assert folder.startswith("oss://bucket/demo/export/")
    assert {"saved_model.pb", "variables/variables.index", "assets/pipeline.config"} <= names


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"config": "oss://bucket/demo/absent.config"}, NotFoundError, "absent.config"),
        ({"config": "oss://bucket/demo/pipeline.json"}, ConfigError, r"oss://….config only"),
        ({"buckets": "oss://other/"}, AccessError, "add it to -Dbuckets"),
        ({"buckets": ""}, ConfigError, "buckets must be set"),
        ({"arn": ""}, ConfigError, "arn must be set"),
        ({"train_tables": "odps://sandbox/tables/absent"}, NotFoundError, "there is no table sandbox.absent"),
        ({"train_tables": "odps://sandbox/tables/ratings_daily/dt=20240101"}, NotFoundError, "no partition"),
        ({"train_tables": "sandbox.ratings_daily"}, ConfigError, "is not a table path"),
        ({"cluster": '{"worker":{"count":1}}'}, ConfigError, "needs at least 2 workers"),
        ({"cluster": "2 workers"}, ConfigError, "not a cluster"),
        ({"eval_method": "sometimes"}, ConfigError, "invalid eval_method"),
        ({"cmd": "dance"}, ConfigError, "cmd=dance"),
        ({"fine_tune_checkpoint": "oss://bucket/demo/absent"}, NotFoundError, "is not exists"),
        ({"model_dir": "/tmp/here"}, ConfigError, "invalid model_dir"),
        ({"selected_cols": "is_like,user_id"}, ConfigError, "not among selected_cols"),
        ({"tables": "odps://sandbox/tables/ratings_train"}, ConfigError, "at least 2 tables"),
        ({"cmd": "evaluate"}, ConfigError, "only need 1 worker"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_fails_with_one_clear_message(world, changes, error, message):
    with pytest.raises(error, match=message):
        world.train(**changes)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"model_config.model_class": "Transformer9000"}, "no model_class"),
        ({"data_config.label_fields": "[]"}, "label_fields"),
        ({"model_config.feature_groups[0].feature_names[0]": "absent"}, "feature 'absent' is not defined"),
        ({"feature_configs[0].feature_type": "SequenceFeature"}, "no SequenceFeature"),
        ({"feature_configs[0].embedding_dim": 0}, "embedding_dim must be set"),
        ({"feature_configs[3].feature_name": "genres", "feature_configs[3].input_names[0]": "absent"},
         "not among data_config.input_fields"),
        ({"data_config.input_fields[0].input_name": "absent"}, "has no column 'absent'"),
        ({"train_config.num_steps": 0}, "num_steps and num_epochs"),
        ({RATE: 1e30}, "NaN loss"),
    ],
)  # fmt: skip
def test_configs_that_cannot_train_fail_with_one_clear_message(world, edits, message):
    with pytest.raises(EasyRecAutoMLError, match=message):
        world.train(edits=edits)


def test_epochs_limit_the_steps(world):
    world.train(edits={"data_config.num_epochs": 1, "data_config.batch_size": 512})
    rows_per_epoch = max(int(name[11:-6]) for name in world.files("run") if name.endswith(".index"))
    assert 2 <= rows_per_epoch < 30


def test_the_command_line_gives_an_exit_code_and_a_readable_log(world, tmp_path):
    job = {
        "job_id": "7",
        "parameters": dict(world.job("cli").parameters),
        "oss_root": str(tmp_path / "oss"),
        "tables_root": str(world.tables_root),
        "log": str(tmp_path / "log.txt"),
        "speed": 0,
    }
    outcomes = []
    for changes in ({}, {"train_tables": "odps://sandbox/tables/absent"}):
        (tmp_path / "job.json").write_text(json.dumps(job | {"parameters": job["parameters"] | changes}))
        command = [sys.executable, "-m", "include.sandbox.trainer", "--job", str(tmp_path / "job.json")]
        outcomes.append(subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode)
    text = (tmp_path / "log.txt").read_text()
    assert outcomes == [0, 1]
    assert "Saving dict for global step 30" in text
    assert "job 7 failed: there is no table sandbox.absent" in text
    assert "Traceback" not in text


def test_the_trainer_starts_light():
    code = "import sys, include.sandbox.trainer.runner; print(sorted({m.split('.')[0] for m in sys.modules}))"
    modules = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for heavy in ("pandas", "scipy", "tensorflow", "odps", "oss2", "airflow", "nni"):
        assert f"'{heavy}'" not in modules
