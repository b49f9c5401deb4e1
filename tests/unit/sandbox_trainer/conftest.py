"""A small world for the trainer's tests: a few days of synthetic ratings, a bucket, and jobs on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from include.sandbox import data
from include.sandbox.oss.storage import BucketStorage
from include.sandbox.tables import TableStorage
from include.sandbox.trainer.job import Job
from include.sandbox.trainer.runner import run

BUCKET = "bucket"
BASE = f"oss://{BUCKET}/demo"
CONFIG = """
train_input_path: "odps://sandbox/tables/ratings_train"
eval_input_path: "odps://sandbox/tables/ratings_eval"
model_dir: "oss://bucket/demo/from_config"
train_config {
  optimizer_config {
    adam_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.01 } } }
  }
  num_steps: 30
  save_checkpoints_steps: 10
}
eval_config { metrics_set { auc {} } }
data_config {
  batch_size: 128
  input_type: OdpsInputV2
  label_fields: ["is_like", "is_love"]
  input_fields { input_name: "user_id" input_type: STRING }
  input_fields { input_name: "item_id" input_type: STRING }
  input_fields { input_name: "age" input_type: INT64 }
  input_fields { input_name: "genres" input_type: STRING }
  input_fields { input_name: "is_like" input_type: INT64 }
  input_fields { input_name: "is_love" input_type: INT64 }
  input_fields { input_name: "rating" input_type: DOUBLE }
}
feature_configs { input_names: "user_id" feature_type: IdFeature embedding_dim: 4 hash_bucket_size: 300 }
feature_configs { input_names: "item_id" feature_type: IdFeature embedding_dim: 4 hash_bucket_size: 2000 }
feature_configs {
  input_names: "age" feature_type: RawFeature embedding_dim: 4 boundaries: [20, 30, 40]
}
feature_configs {
  input_names: "genres" feature_type: TagFeature embedding_dim: 4 hash_bucket_size: 50 separator: "|"
}
model_config {
  model_class: "DBMTL"
  feature_groups {
    group_name: "all" wide_deep: DEEP
    feature_names: ["user_id", "item_id", "age", "genres"]
  }
  dbmtl {
    bottom_dnn { hidden_units: [16] use_bn: false }
    task_towers {
      tower_name: "is_like" label_name: "is_like" metrics_set { auc {} }
      dnn { hidden_units: [8] use_bn: false }
    }
    task_towers {
      tower_name: "is_love" label_name: "is_love" metrics_set { auc {} }
      dnn { hidden_units: [8] use_bn: false }
      relation_tower_names: "is_like"
      relation_dnn { hidden_units: [4] use_bn: false }
    }
    l2_regularization: 0
  }
}
"""


@dataclass
class World:
    """Objects, tables, and ``train`` as a user submits it."""

    folder: Path
    tables_root: Path
    config: str = CONFIG
    storage: BucketStorage = field(init=False)

    def __post_init__(self) -> None:
        self.storage = BucketStorage(self.folder / "oss")
        self.storage.create_bucket(BUCKET)

    def job(
        self,
        name: str = "run",
        *,
        edits: Mapping[str, Any] | str | None = None,
        faults: tuple[Any, ...] = (),
        seed: int = 0,
        speed: float = 0,
        **parameters: str,
    ) -> Job:
        self.storage.write(BUCKET, "demo/pipeline.config", self.config.encode())
        given = {
            "config": f"{BASE}/pipeline.config",
            "cmd": "train",
            "arn": "acs:ram::1:role/any",
            "buckets": f"oss://{BUCKET}/",
            "cluster": '{"ps":{"count":1},"worker":{"count":2}}',
            "model_dir": f"{BASE}/{name}",
        }
        if edits is not None:
            given["edit_config_json"] = edits if isinstance(edits, str) else json.dumps(edits)
        description = {
            "job_id": "job1",
            "parameters": given | parameters,
            "oss_root": str(self.folder / "oss"),
            "tables_root": str(self.tables_root),
            "speed": speed,
            "seed": seed,
            "faults": list(faults),
        }
        return Job.read(json.dumps(description))

    def train(self, name: str = "run", **options: Any) -> Any:
        return run(self.job(name, **options))

    def files(self, name: str) -> list[str]:
        prefix = f"demo/{name}/"
        return [key[len(prefix) :] for key in self.storage.list(BUCKET, prefix)]

    def read(self, name: str) -> bytes:
        return self.storage.read(BUCKET, f"demo/{name}")


@pytest.fixture(scope="session")
def small_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tables")
    data.load("synthetic", TableStorage(root), cache=root / "cache", seed=1, days=6)
    return root


@pytest.fixture
def world(tmp_path: Path, small_tables: Path) -> World:
    return World(tmp_path, small_tables)


@pytest.fixture
def events(world: World, tmp_path: Path) -> Callable[[str, str], Any]:
    """TensorBoard's own reader over one folder of a model_dir."""

    def read(name: str, folder: str) -> Any:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        target = tmp_path / "events" / name / (folder or "training")
        target.mkdir(parents=True)
        for key in world.files(name):
            path, _, file = key.rpartition("/")
            if path == folder and "tfevents" in file:
                (target / file).write_bytes(world.read(f"{name}/{key}"))
        return EventAccumulator(str(target)).Reload()

    return read
