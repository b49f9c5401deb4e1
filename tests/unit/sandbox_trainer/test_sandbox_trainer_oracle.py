"""The trainer applies edits on protobuf messages, our editor on text: both must mean the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.pipeline_config import edit_text
from include.pipeline_config.json_edits import render_edit_config_json
from include.sandbox import easyrec_proto
from include.sandbox.trainer import edits
from include.search import space

MODEL = Path(__file__).resolve().parents[3] / "include" / "models" / "movielens"
CONFIG = (MODEL / "pipeline.config").read_text("utf-8")
RATE = "train_config.optimizer_config[0].adam_optimizer.learning_rate"


def through_the_trainer(changes: dict[str, Any]) -> str:
    message = easyrec_proto.parse(CONFIG)
    text = render_edit_config_json(CONFIG, changes)
    edits.apply(message, edits.load(edits.through_command_line(text)))
    return easyrec_proto.to_text(message)


def through_the_editor(changes: dict[str, Any]) -> str:
    return easyrec_proto.to_text(easyrec_proto.parse(edit_text(CONFIG, changes)))


def search_edits() -> list[dict[str, Any]]:
    extremes = space.load(MODEL / "begin" / "search_space.json").extremes()
    return [{key: value} for key, values in extremes.items() for value in values]


@pytest.mark.parametrize(
    "changes",
    [
        *search_edits(),
        {"feature_configs[:].embedding_dim": 4.0},
        {"feature_configs[input_names[0]=genres].separator": ","},
        {"feature_configs[embedding_dim>=16].combiner": "mean"},
        {"feature_configs[-1].num_buckets": 25},
        {"feature_configs[2:4].hash_bucket_size": 7},
        {"feature_configs[feature_type=RawFeature].embedding_dim": 2},
        {"feature_configs[0].feature_type": "TagFeature"},
        {"train_config.sync_replicas": False},
        {"train_config.gradient_clipping_by_norm": 1e-05},
        {"data_config.label_fields": ["is_love", "is_like"]},
        {"data_config.label_fields[1]": "rating"},
        {"model_config.dbmtl.task_towers[tower_name=is_love].weight": 2},
        {"model_config.dbmtl.task_towers[:].dnn.use_bn": True},
        {"model_config.dbmtl.bottom_dnn": "{hidden_units: [8, 4] activation: 'tanh'}".replace("'", '"')},
        {f"{RATE}.constant_learning_rate.learning_rate": 0.25},
        {"model_dir;train_config.num_steps": "oss://bucket/other;77"},
    ],
    ids=str,
)
def test_the_text_editor_and_easyrecs_own_edits_agree(changes):
    assert through_the_trainer(changes) == through_the_editor(changes)
