"""What is wrong outside ends a search before its first submit, with one message that names the thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from include.errors import ProblemsError
from tests.support.sandboxed import control

from .conftest import Installation, World

INI, SPACE = "config_begin.ini", "search_space.json"
WRONG = "wrong-key"
NO_RIGHT = {"kind": "status", "status": 403, "count": 99}
ODPS_REFUSES = {
    **NO_RIGHT,
    "service": "odps",
    "code": "NoPermission",
    "message": "ODPS-0420095: Access Denied - Authorization Failed [4019], You have NO privilege",
}
OSS_REFUSES = {
    **NO_RIGHT,
    "service": "oss",
    "code": "AccessDenied",
    "message": "You have no right to access this object because of bucket acl.",
}


@dataclass(frozen=True)
class Case:
    """How an installation is broken, and what the one message must say."""

    prepare: Callable[[World], Installation]
    said: tuple[str, ...]


def keys(**changes: Any) -> Callable[[World], Installation]:
    return lambda world: world.install(**changes)


def edited(*changes: tuple[str, str], name: str = INI) -> Callable[[World], Installation]:
    def prepare(world: World) -> Installation:
        installation = world.install()
        for old, new in changes:
            installation.change(name, old, new)
        return installation

    return prepare


def wrong_and_more_to_read(world: World) -> Installation:
    """Every further object would be refused for the same reason."""
    installation = world.install(oss={"access_key_secret": WRONG})
    installation.change(INI, "-Dcmd=train", "-Dcmd=train\n-Dscript=oss://sandbox-bucket/easy_rec.tar.gz")
    return installation


def added(line: str) -> Callable[[World], Installation]:
    return edited(("-Dcmd=train", f"-Dcmd=train\n{line}"))


def pool(world: World) -> Installation:
    installation = world.install()
    installation.configure(pool="elsewhere")
    return installation


def forbidden(**fault: Any) -> Callable[[World], Installation]:
    def prepare(world: World) -> Installation:
        world.fault(**fault)
        return world.install()

    return prepare


ODPS, OSS = "of the MaxCompute connection maxcompute_default", "of the OSS connection oss_default"
MORE_BUCKETS = ("-Dbuckets=oss://sandbox-bucket/", "-Dbuckets=oss://sandbox-bucket/,oss://no-such-bucket/")
CASES = {
    "wrong secret for MaxCompute": Case(
        keys(odps={"access_key_secret": WRONG}), ("Invalid signature", f"check access_key_secret {ODPS}")
    ),
    "unknown key id for MaxCompute": Case(
        keys(odps={"access_key_id": WRONG}), ("accessKeyId not found", f"check access_key_id {ODPS}")
    ),
    "wrong secret for OSS": Case(
        wrong_and_more_to_read, ("SignatureDoesNotMatch", f"check access_key_secret {OSS}")
    ),
    "unknown key id for OSS": Case(
        keys(oss={"access_key_id": WRONG}), ("InvalidAccessKeyId", f"check access_key_id {OSS}")
    ),
    "project of the connection": Case(
        keys(odps={"project": "nowhere"}), ("connection maxcompute_default", "no MaxCompute project nowhere")
    ),
    "project of a table": Case(
        edited(("odps://sandbox/tables/ratings_train", "odps://nowhere/tables/ratings_train")),
        ("-Dtrain_tables=odps://nowhere/", "no MaxCompute project nowhere"),
    ),
    "table": Case(
        edited(("ratings_eval", "ratings_evil")),
        ("-Deval_tables=", "no table ratings_evil in project sandbox"),
    ),
    "partition": Case(
        edited(("tables/ratings_train", "tables/ratings_daily/dt=20300101")),
        ("-Dtrain_tables=", "table ratings_daily has no partition dt=20300101"),
    ),
    "level of a partition": Case(
        edited(("tables/ratings_train", "tables/ratings_daily/day=20300101")),
        ("-Dtrain_tables=", "table ratings_daily has no partition day=20300101"),
    ),
    "bucket of the config": Case(
        edited(MORE_BUCKETS, ("-Dconfig=oss://sandbox-bucket", "-Dconfig=oss://no-such-bucket")),
        ("-Dconfig=oss://no-such-bucket/", "OSS bucket no-such-bucket does not exist"),
    ),
    "bucket of model_dir": Case(
        edited(MORE_BUCKETS, ("-Dmodel_dir=oss://sandbox-bucket", "-Dmodel_dir=oss://no-such-bucket")),
        ("-Dmodel_dir=oss://no-such-bucket/", "OSS bucket no-such-bucket does not exist"),
    ),
    "bucket for something else": Case(
        edited(MORE_BUCKETS), ("-Dbuckets", "OSS bucket no-such-bucket does not exist")
    ),
    "bucket that -Dbuckets leaves out": Case(
        edited(("-Dmodel_dir=oss://sandbox-bucket", "-Dmodel_dir=oss://no-such-bucket")),
        ("-Dbuckets does not cover bucket no-such-bucket of -Dmodel_dir",),
    ),
    "config": Case(
        edited(("pipeline.config", "pipelime.config")),
        ("-Dconfig=oss://sandbox-bucket/movielens/pipelime.config: no such object",),
    ),
    "script": Case(
        added("-Dscript=oss://sandbox-bucket/easy_rec.tar.gz"),
        ("-Dscript=oss://sandbox-bucket/easy_rec.tar.gz: there is no such object on OSS",),
    ),
    "checkpoint": Case(
        added("-Dfine_tune_checkpoint=oss://sandbox-bucket/begin/model.ckpt-10"),
        (
            "-Dfine_tune_checkpoint=oss://sandbox-bucket/begin/model.ckpt-10: there is no checkpoint of step 10",
        ),
    ),
    "right to read a table": Case(
        forbidden(**ODPS_REFUSES, path="/tables/ratings_train"),
        ("-Dtrain_tables=odps://sandbox/tables/ratings_train", "NO privilege", ODPS),
    ),
    "right to list jobs": Case(
        forbidden(**ODPS_REFUSES, path="/instances"), ("the list of instances", "NO privilege", ODPS)
    ),
    "right to read the config": Case(
        forbidden(**OSS_REFUSES, path=r"pipeline\.config"),
        ("-Dconfig=", "no right to access", "rights on bucket sandbox-bucket", OSS),
    ),
    "right to write to model_dir": Case(
        forbidden(**OSS_REFUSES, method="PUT"),
        ("-Dmodel_dir=", "no right to access", "rights on bucket sandbox-bucket", OSS),
    ),
    "key of the search space": Case(
        edited(("data_config.batch_size", "data_config.batch_sice"), name=SPACE),
        ("data_config.batch_sice", "did you mean batch_size"),
    ),
    "search space": Case(
        edited(('"_type":"loguniform","_value":[2e-4', '"_type":"loguniform","_value":[0'), name=SPACE),
        (SPACE, "initial_learning_rate", "must be greater than 0"),
    ),
    "ini": Case(edited(("auc_is_like=0.75", "auc_is_like=much")), (INI, "line 24", "auc_is_like")),
    "pool": Case(pool, ("pool 'elsewhere'", "airflow pools set elsewhere 4")),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_outside_ends_the_search_before_its_first_submit(world: World, case: str) -> None:
    installation = CASES[case].prepare(world)
    control(world.endpoints, "requests", method="DELETE")

    with pytest.raises(ProblemsError) as caught:
        installation.open(trials=2)

    assert len(caught.value.problems) == 1, caught.value
    for text in CASES[case].said:
        assert text in caught.value.problems[0]
    assert WRONG not in str(caught.value)
    assert world.every_job() == []
    posted = [r for r in control(world.endpoints, "requests") if r["method"] == "POST"]
    assert posted == []
    assert installation.store.experiments() == []


def test_everything_that_is_wrong_is_said_at_once(world: World) -> None:
    installation = world.install(odps={"project": "nowhere"})
    installation.change(INI, "ratings_train", "ratings_trane")
    installation.change(INI, "-Dcmd=train", "-Dcmd=train\n-Dscript=oss://sandbox-bucket/no.tar.gz")
    installation.change(SPACE, "data_config.batch_size", "data_config.batch_sice")
    installation.configure(pool="elsewhere")

    with pytest.raises(ProblemsError) as caught:
        installation.open(trials=2)

    assert len(caught.value.problems) == 5
    for text in ("nowhere", "ratings_trane", "no.tar.gz", "batch_sice", "elsewhere"):
        assert text in str(caught.value)


def test_jobs_in_another_project_than_the_ini_says_are_pointed_out(world: World) -> None:
    installation = world.install()
    installation.change(INI, "project_name=sandbox", "project_name=production")

    notes = "\n".join(installation.open(trials=1).notes)

    assert "project_name=production" in notes
    assert "jobs run in sandbox" in notes


def test_a_checkpoint_folder_is_as_good_as_a_prefix(world: World) -> None:
    installation = world.install()
    installation.change(INI, "-Dcmd=train", "-Dcmd=train\n-Dfine_tune_checkpoint=oss://sandbox-bucket/begin")
    for file in ("model.ckpt-10.index", "model.ckpt-10.data-00000-of-00001"):
        installation.services.objects.write(f"oss://sandbox-bucket/begin/{file}", b"x")

    assert installation.open(trials=1).experiment.max_trials == 1
