"""Config editor against protobuf's text format, on a generated config of 75 KB and 3,400 lines.

Run: ``python benchmarks/config_editor.py [--rounds 15] [--seed 7] [--config FILE]``. Both sides run in one
process, interleaved, and the medians are compared. Exit code 1 when reading and printing takes more than
half of protobuf's time.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from google.protobuf import text_format

from include.pipeline_config import edit_text
from include.pipeline_config.reader import parse
from include.sandbox.easyrec_proto import config_class

TARGET = 0.5
HEAD = """\
# Click-through model, generated
train_input_path: "odps://project/tables/train"
eval_input_path: "odps://project/tables/eval"
model_dir: "oss://bucket/model"
train_config {
  optimizer_config {
    adam_optimizer {
      learning_rate {
        exponential_decay_learning_rate {
          initial_learning_rate: 1e-3
          decay_steps: 1000
          decay_factor: 0.1
          min_learning_rate: 1e-07
        }
      }
    }
  }
  num_steps: 2000  # about one pass
}
"""
TAIL = """\
model_config {
  model_class: "DBMTL"
  feature_groups { group_name: "all" feature_names: ["user_id", 'item_id'] wide_deep: DEEP }
  dbmtl {
    bottom_dnn { hidden_units: [1024, 512, 256] }
    task_towers { tower_name: "ctr" label_name: "click" dnn { hidden_units: [256, 128, 64, 32] } }
    l2_regularization: 1e-6
  }
  embedding_regularization: 5e-5
}
"""


def big_config(seed: int = 7, lines: int = 3400) -> str:
    """A realistic config: input fields and features of several kinds, with comments and lists."""
    rng = random.Random(seed)
    fields, features = [], []
    number = 0
    while len(fields) + len(features) < lines - 45:
        name = f"user_feature_{number}"
        kind = rng.choice(["IdFeature", "IdFeature", "TagFeature", "RawFeature"])
        number += 1
        fields += ["  input_fields {", f'    input_name: "{name}"', "    input_type: STRING", "  }"]
        features += ["feature_configs {", f'  input_names: "{name}"', f"  feature_type: {kind}"]
        if kind == "RawFeature":
            features += ["  boundaries: [0.5, 1.0, 2.5, 10.0]", "  embedding_dim: 8"]
        else:
            features += ["  embedding_dim: 16", f"  hash_bucket_size: {rng.randrange(100, 10**6)}"]
        if kind == "TagFeature":
            features.append("  separator: '|'  # several values")
        features.append("}")
    data = ["data_config {", "  batch_size: 4096", '  label_fields: "click"', *fields, "}"]
    return HEAD + "\n".join([*data, *features]) + "\n" + TAIL


def typical_edits(text: str) -> dict[str, object]:
    """Twenty keys of a search space as people write them."""
    count = text.count("\nfeature_configs {")
    rate = "train_config.optimizer_config[0].adam_optimizer.learning_rate.exponential_decay_learning_rate"
    edits: dict[str, object] = {
        f"{rate}.initial_learning_rate": 3.4e-4,
        f"{rate}.decay_steps": 2000,
        "data_config.batch_size": 2048,
        "model_config.embedding_regularization": 1e-5,
        "model_config.dbmtl.l2_regularization": 2e-6,
        "model_config.dbmtl.bottom_dnn.hidden_units": [512, 256],
        "model_config.dbmtl.task_towers[0].weight": 0.5,
        "feature_configs[:].embedding_dim": 12,
        "feature_configs[input_names[0]=user_feature_3].embedding_dim": 24,
        "train_config.num_steps": 4000.0,
    }
    edits |= {f"model_config.dbmtl.task_towers[0].dnn.hidden_units[{i}]": 2 ** (8 - i) for i in range(4)}
    step = count // 7
    edits |= {f"feature_configs[{i * step}].max_partitions": 4 for i in range(6)}
    return edits


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--config", type=Path, help="measure on this file instead of the generated one")
    options = arguments.parse_args()
    text = options.config.read_text("utf-8") if options.config else big_config(options.seed)
    edits = {"train_config.num_steps": 4000} if options.config else typical_edits(text)

    def read_and_print() -> str:
        return parse(text).print()

    def protobuf() -> str:
        return text_format.MessageToString(text_format.Parse(text, config_class()()), as_utf8=True)

    def edit() -> str:
        return edit_text(text, edits)

    assert read_and_print() == text
    assert text_format.Parse(edit(), config_class()()) is not None
    sides = {"reader": read_and_print, "protobuf": protobuf, "edit": edit}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, work in sides.items():
            times[name].append(timed(work))
    median = {name: statistics.median(values) * 1000 for name, values in times.items()}
    ratio = median["reader"] / median["protobuf"]
    print(f"config: {len(text.encode()):,} bytes, {text.count(chr(10)):,} lines; {options.rounds} rounds")
    print(f"parse + print: ours {median['reader']:.1f} ms, protobuf {median['protobuf']:.1f} ms")
    print(f"ratio {ratio:.3f} (target at most {TARGET}): {'met' if ratio <= TARGET else 'MISSED'}")
    print(f"edit_text with {len(edits)} keys: {median['edit']:.1f} ms")
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
