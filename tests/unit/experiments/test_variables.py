"""``${name}`` keys of the search space fill ``-D`` values of the ini (reference +18), or say why they can't."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.errors import ConfigError, ProblemsError
from include.experiments.plan import Plan
from include.names import StepId
from include.search import space as search_space

from .conftest import MODEL

LoadPlan = Callable[..., Plan]
STEP = StepId("movielens-1", 0)


def choice(*options: Any) -> dict[str, Any]:
    return {"_type": "choice", "_value": list(options)}


@pytest.fixture
def load(tmp_path: Path) -> LoadPlan:
    """The shipped model with other ``-D`` values and another search space."""

    def load_plan(space: dict[str, Any], **values: str) -> Plan:
        folder = tmp_path / "movielens"
        shutil.copytree(MODEL, folder, dirs_exist_ok=True)
        ini = folder / "begin" / "config_begin.ini"
        lines = [line for line in ini.read_text().splitlines() if line[2:].split("=")[0] not in values]
        at = lines.index("-project=algo_public") + 1
        lines[at:at] = [f"-D{key}={value}" for key, value in values.items()]
        ini.write_text("\n".join(lines))
        (folder / "begin" / "search_space.json").write_text(json.dumps(space))
        return Plan.load(folder).with_pipeline_config((MODEL / "pipeline.config").read_text())

    return load_plan


def rendered(plan: Plan, **values: Any) -> dict[str, str]:
    parameters = {f"${{{name}}}": value for name, value in values.items()}
    return dict(plan.render_trial(STEP, parameters).payload.parameters)


@pytest.mark.parametrize(
    ("value", "sent"), [("0.10", "v0.10-0.10"), (3, "v3-3"), (1e-05, "v1e-05-1e-05"), (True, "vtrue-true")]
)
def test_a_variable_fills_every_place_that_names_it(load: LoadPlan, value: Any, sent: str) -> None:
    plan = load({"${tag}": choice(value)}, version="v${tag}-${tag}")

    assert rendered(plan, tag=value)["version"] == sent


def test_a_list_is_sent_as_json(load: LoadPlan) -> None:
    roles = {"ps": {"count": 1}, "worker": {"count": 3}}
    plan = load({"${workers}": choice(3, 5)}, cluster='{"ps":{"count":1},"worker":{"count":${workers}}}')

    assert json.loads(rendered(plan, workers=3)["cluster"]) == roles


def test_an_edit_that_is_one_variable_keeps_its_type(load: LoadPlan) -> None:
    edits = '{"data_config.batch_size": "${rows}", "train_config.${what}": 7, "feature_configs[:].embedding_dim": 8}'
    plan = load({"${rows}": choice(64), "${what}": choice("num_steps")}, edit_config_json=edits)

    sent = json.loads(rendered(plan, rows=64, what="num_steps")["edit_config_json"])

    assert sent == {
        "data_config.batch_size": 64,
        "train_config.num_steps": 7,
        "feature_configs[:].embedding_dim": 8,
    }


@pytest.mark.parametrize(
    ("space", "values", "said"),
    [
        ({"a.b": choice(1)}, {"version": "${tag}"}, "-Dversion holds ${tag}, which is not a key of the search"),
        ({"${tags}": choice(1)}, {"version": "${tag}"}, "did you mean '${tags}'?"),
        ({"a.b": choice(1)}, {"edit_config_json": '{"a": "${x}"}'}, "-Dedit_config_json holds ${x}"),
        ({"a.b": choice(1)}, {"version": "${exp-id}"}, "-Dversion holds ${exp-id}"),
        ({"${tag}": choice("a")}, {"model_dir": "oss://sandbox-bucket/${tag}"}, "-Dmodel_dir can't hold ${tag}"),
        ({"${tag}": choice("a")}, {"config": "oss://sandbox-bucket/${tag}.config"}, "-Dconfig can't hold ${tag}"),
        ({"${tag}": choice("${other}")}, {"version": "${tag}"}, "the value '${other}' of ${tag} holds a var"),
        ({"${tag}": choice("a")}, {}, "${tag} of the search space is in no -D value"),
        ({"${n}": choice(3, 1)}, {"cluster": '{"worker":{"count":${n}}}'}, "has 1 worker(s)"),
        ({"${d}": choice("a b")}, {"train_tables": "odps://p/tables/t/dt=${d}"}, "is not a table path"),
        (
            {"branch": choice({"_name": "a", "${tag}": choice(1)}, {"_name": "b", "a.b": choice(1)})},
            {"version": "${tag}"},
            "-Dversion holds ${tag}, which only some branches of the search space set",
        ),
    ],
)  # fmt: skip
def test_a_variable_that_can_not_work_is_found_without_any_network(
    load: LoadPlan, space: dict[str, Any], values: dict[str, str], said: str
) -> None:
    with pytest.raises(ProblemsError) as caught:
        load(space, **values)

    assert said in str(caught.value)


def test_a_branch_that_every_choice_has_and_a_label_are_fine(load: LoadPlan) -> None:
    branches = [{"_name": name, "${tag}": choice(name)} for name in ("a", "b")]
    plan = load({"${label}": choice(*branches)}, version="${tag}")

    value = {"_name": "b", "${tag}": "b"}

    assert rendered(plan, label=value)["version"] == "b"


def test_a_trial_without_a_value_is_never_rendered(load: LoadPlan) -> None:
    plan = load({"${tag}": choice("a")}, version="${tag}")

    with pytest.raises(ConfigError, match=r"-Dversion: \$\{tag\} has no value"):
        plan.render_trial(STEP, {"data_config.batch_size": 64})


# On the lab's memory ports.


def with_variable(lab: Any, domain: dict[str, Any], **values: str) -> None:
    space = search_space.from_dict({"${x}": domain, "train_config.num_steps": choice(100)}, "space")
    parameters = {**lab.plan.job.parameters, **values}
    lab.plan = replace(lab.plan, space=space, job=replace(lab.plan.job, parameters=parameters))


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"baseline": True}, "the baseline: -Dversion: ${x} has no value"),
        ({"custom_parameters": ({"train_config.num_steps": 5},)}, "custom parameters 0: -Dversion: ${x}"),
    ],
)
def test_opening_finds_trials_that_lack_a_variable(lab: Any, request_: dict[str, Any], said: str) -> None:
    with_variable(lab, choice("a", "b"), version="${x}")
    tuner = type("Tuner", (), {"ask": lambda *_: {"${x}": "a", "train_config.num_steps": 100}})
    lab.services = replace(lab.services, make_tuner=lambda plan: tuner())

    with pytest.raises(ProblemsError) as caught:
        lab.open(**request_)

    assert said in str(caught.value)
    assert not lab.jobs.jobs


@pytest.mark.parametrize(
    ("domain", "values", "said"),
    [
        (choice("train", "trane"), {"train_tables": "odps://sandbox/tables/ratings_${x}"}, "no table ratings_trane"),
        (
            {"_type": "randint", "_value": [1, 9]},
            {"train_tables": "odps://sandbox/tables/t${x}"},
            "-Dtrain_tables: ${x} is not a choice",
        ),
        (choice("a"), {"script": "oss://sandbox-bucket/${x}.tar.gz"}, "-Dscript=oss://sandbox-bucket/a.tar.gz"),
        (choice(64, "many"), {"edit_config_json": '{"data_config.batch_size": "${x}"}'}, "'many' does not fit"),
    ],
)  # fmt: skip
def test_opening_tries_each_value_that_a_variable_can_have(
    lab: Any, domain: dict[str, Any], values: dict[str, str], said: str
) -> None:
    with_variable(lab, domain, **values)

    with pytest.raises(ProblemsError) as caught:
        lab.open()

    assert said in str(caught.value)
