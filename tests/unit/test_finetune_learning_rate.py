"""The rate at which begin ended, and its hand-over into the config of finetune."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from include.errors import ConfigEditError, ConfigError, ProblemsError
from include.finetune.learning_rate import HandOver, hand_over, rate_at
from include.pipeline_config import difference, values_at
from include.sandbox import easyrec_proto
from include.sandbox.trainer import schedules as witness

EXPONENTIAL = (
    "exponential_decay_learning_rate { initial_learning_rate: 0.001 decay_steps: 1000 decay_factor: 0.1 %s}"
)
MANUAL = """manual_step_learning_rate { initial_learning_rate: 0.001
  schedule { step: 10 learning_rate: 0.0005 } schedule { step: 30 learning_rate: 0.0001 } %s}"""
COSINE = """cosine_decay_learning_rate { learning_rate_base: 0.1 total_steps: 100 warmup_learning_rate: 0.01
  warmup_steps: 10 hold_base_rate_steps: 10 }"""
POLY = (
    "poly_decay_learning_rate { learning_rate_base: 0.1 total_steps: 100 power: 2 end_learning_rate: 0.02 }"
)
TRANSFORMER = "transformer_learning_rate { learning_rate_base: 1 hidden_size: 64 warmup_steps: 100 %s}"


def config(*schedules: str, optimizer: str = "adam_optimizer") -> str:
    """A pipeline config with one optimizer for each schedule."""
    optimizers = [f"  optimizer_config {{ {optimizer} {{ learning_rate {{ {s} }} }} }}" for s in schedules]
    return "\n".join(['model_dir: "oss://b/m"  # 模型', "train_config {", *optimizers, "}"])


def path(schedule: str, field: str, number: int = 0, optimizer: str = "adam_optimizer") -> str:
    return f"train_config.optimizer_config[{number}].{optimizer}.learning_rate.{schedule}.{field}"


def problems(text: str, rate: float | Sequence[float] = 1e-6) -> tuple[str, ...]:
    with pytest.raises(ProblemsError) as caught:
        hand_over(text, rate)
    return caught.value.problems


# The rate at a step


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant_learning_rate { learning_rate: 0.003 }", {0: 0.003, 10**9: 0.003}),
        ("constant_learning_rate {}", {5: 0.002}),
        (EXPONENTIAL % "min_learning_rate: 1e-07", {0: 1e-3, 999: 1e-3, 1000: 1e-4, 3999: 1e-6, 8000: 1e-7}),
        (EXPONENTIAL % "staircase: false", {0: 1e-3, 500: 1e-3 * 0.1**0.5, 8000: 1e-11}),
        (EXPONENTIAL % "burnin_steps: 100", {0: 1e-3, 99: 1e-3, 1099: 1e-3, 1100: 1e-4}),
        (
            EXPONENTIAL % "burnin_steps: 100 burnin_learning_rate: 0.0001",
            {0: 1e-4, 50: 5.5e-4, 100: 1e-3, 1100: 1e-4},
        ),
        # the lower bound holds while burning in, too
        (
            EXPONENTIAL % "burnin_steps: 100 burnin_learning_rate: 0.0001 min_learning_rate: 0.0005",
            {0: 5e-4, 50: 5.5e-4, 9999: 5e-4},
        ),
        ("exponential_decay_learning_rate {}", {0: 0.002, 3999999: 0.002, 4000000: 0.0019}),
        (MANUAL % "", {0: 1e-3, 9: 1e-3, 10: 5e-4, 29: 5e-4, 30: 1e-4, 9999: 1e-4}),
        (MANUAL % "warmup: true", {0: 1e-3, 5: 7.5e-4, 10: 5e-4, 30: 1e-4}),
        (COSINE, {0: 0.01, 5: 0.055, 10: 0.1, 20: 0.1, 60: 0.05, 100: 0.0, 101: 0.0}),
        ("cosine_decay_learning_rate {}", {0: 0.0002, 10000: 0.002, 2005000: 0.001, 4000001: 0.0}),
        (POLY, {0: 0.1, 50: 0.04, 100: 0.02, 500: 0.02}),
        (
            TRANSFORMER % "",
            {0: 0.125 * 1e-3, 49: 0.125 * 0.05, 99: 0.125 * 0.1, 399: 0.125 * 0.05},
        ),
        (TRANSFORMER % "step_scaling_rate: 4", {0: 0.125 / 8000, 99: 0.125 * 397 / 8000, 900: 0.125 * 3601**-0.5}),
    ],
)  # fmt: skip
def test_the_rate_is_the_one_easyrec_computes(schedule: str, expected: dict[int, float]) -> None:
    for step, rate in expected.items():
        assert rate_at(config(schedule), step) == [pytest.approx(rate, rel=1e-12, abs=1e-300)]


def test_the_manuals_example_ends_at_its_lower_bound() -> None:
    schedule = EXPONENTIAL % "min_learning_rate: 1e-07"
    assert rate_at(config(schedule), 8000) == [1e-07]


def test_each_optimizer_has_its_rate() -> None:
    text = config("constant_learning_rate { learning_rate: 0.5 }", POLY, MANUAL % "")
    assert rate_at(text, 30) == pytest.approx([0.5, 0.08 * 0.49 + 0.02, 1e-4])


rates = st.floats(1e-9, 1.0).map(lambda rate: float(f"{rate:.6g}"))
counts = st.integers(1, 1000)


@st.composite
def schedule_texts(draw: st.DrawFn) -> str:
    """Any schedule that EasyRec accepts, with some of its fields left to their defaults."""
    kind = draw(st.sampled_from(["constant", "exponential", "manual", "cosine", "poly", "transformer"]))
    fields: dict[str, Any] = {}
    lines = ""
    if kind == "constant":
        name, fields = "constant_learning_rate", {"learning_rate": draw(rates)}
    elif kind == "exponential":
        name = "exponential_decay_learning_rate"
        fields = {
            "initial_learning_rate": draw(rates),
            "decay_steps": draw(counts),
            "decay_factor": draw(st.integers(0, 100)) / 100,
            "staircase": draw(st.sampled_from(["true", "false"])),
            "burnin_steps": draw(counts),
            "burnin_learning_rate": draw(rates),
            "min_learning_rate": draw(rates),
        }
    elif kind == "manual":
        name = "manual_step_learning_rate"
        fields = {"initial_learning_rate": draw(rates), "warmup": draw(st.sampled_from(["true", "false"]))}
        for step in sorted(draw(st.sets(counts, min_size=1, max_size=4))):
            lines += f" schedule {{ step: {step} learning_rate: {draw(rates)!r} }}"
    elif kind == "cosine":
        name = "cosine_decay_learning_rate"
        warmup, hold = draw(counts), draw(st.integers(0, 500))
        low, high = sorted([draw(rates), draw(rates)])
        fields = {"warmup_learning_rate": low, "learning_rate_base": high}
        total = draw(st.integers(warmup + 1, 2000))
        lines = f"warmup_steps: {warmup} hold_base_rate_steps: {hold} total_steps: {total}"
    elif kind == "poly":
        name = "poly_decay_learning_rate"
        fields = {"end_learning_rate": draw(rates)}
        base, power = draw(rates), draw(st.integers(0, 30)) / 10
        lines = f"learning_rate_base: {base!r} total_steps: {draw(counts)} power: {power!r}"
    else:
        name = "transformer_learning_rate"
        fields = {"step_scaling_rate": draw(st.integers(1, 900)) / 100}
        lines = (
            f"learning_rate_base: {draw(rates)!r} hidden_size: {draw(counts)} warmup_steps: {draw(counts)}"
        )
    given_fields = {key: value for key, value in fields.items() if draw(st.integers(0, 9))}
    if kind == "cosine":
        given_fields = fields
    return f"{name} {{ {' '.join(f'{k}: {v}' for k, v in given_fields.items())} {lines} }}"


@given(schedule_texts(), st.integers(0, 3000))
@settings(max_examples=200, deadline=None)
def test_the_rate_agrees_with_an_independent_reading_of_easyrec(schedule: str, step: int) -> None:
    text = config(schedule)
    optimizer = easyrec_proto.parse(text).train_config.optimizer_config[0].adam_optimizer
    assume("burnin_learning_rate" not in schedule or "burnin_steps" in schedule)
    expected = witness.build(optimizer.learning_rate, where="")(step)
    # protobuf holds 32 bits; what is small is a difference of larger numbers
    assert rate_at(text, step)[0] == pytest.approx(expected, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "train_config.optimizer_config is empty"),
        ("train_config { num_steps: 5 }", "train_config.optimizer_config is empty"),
        ("train_config { optimizer_config {} }", "optimizer_config[0]: no optimizer is set"),
        ("train_config { optimizer_config { use_moving_average: true } }", "there is use_moving_average"),
        ("train_config { optimizer_config { adam_optimizer {} } }", "adam_optimizer.learning_rate: no learning-rate"),
        (
            "train_config { optimizer_config { ftrl_optimizer { learning_rate {} } } }",
            "optimizer_config[0].ftrl_optimizer.learning_rate: no learning-rate schedule is set",
        ),
        (config("exponential_decay_learning_rate { decay_steps: 0 }"), "decay_steps is 0"),
        (config("exponential_decay_learning_rate { decay_factor: -0.5 }"), "decay_factor is -0.5"),
        (config("exponential_decay_learning_rate { burnin_learning_rate: 0.1 }"), "burnin_steps is 0"),
        (config("manual_step_learning_rate {}"), "schedule is empty"),
        (config("manual_step_learning_rate { schedule { step: 0 } }"), "schedule[0].step is 0"),
        (
            config("manual_step_learning_rate { schedule { step: 5 } schedule { step: 5 } }"),
            "schedule[1].step is 5, not later than 5",
        ),
        (config("cosine_decay_learning_rate { total_steps: 5 }"), "total_steps is 5, less than warmup_steps 10000"),
        (config("cosine_decay_learning_rate { total_steps: 5 warmup_steps: 5 }"), "total_steps equals warmup_steps"),
        (config("cosine_decay_learning_rate { learning_rate_base: 0.0001 }"), "warmup_learning_rate is 0.0002, above"),
        (config("poly_decay_learning_rate { learning_rate_base: 1 power: 1 }"), "total_steps is not set"),
        (
            config("poly_decay_learning_rate { learning_rate_base: 1 power: 1 total_steps: 0 }"),
            "poly_decay_learning_rate.total_steps is 0",
        ),
        (
            config("poly_decay_learning_rate { learning_rate_base: 1 power: -1 total_steps: 9 }"),
            "poly_decay_learning_rate.power is -1",
        ),
        (
            config("transformer_learning_rate { learning_rate_base: 1 hidden_size: 0 warmup_steps: 9 }"),
            "hidden_size is 0",
        ),
        (
            config("transformer_learning_rate { learning_rate_base: 1 hidden_size: -4 warmup_steps: 9 }"),
            "hidden_size is -4",
        ),
        (config("constant_learning_rate { learning_rate: inf }"), "constant_learning_rate.learning_rate is inf"),
        (config("constant_learning_rate { learning_rate: nan }"), "constant_learning_rate.learning_rate is nan"),
        (config("constant_learning_rate { learning_rate: ${lr} }"), "learning_rate is ${lr}, which is not known"),
        (config("exponential_decay_learning_rate { decay_steps: 1 decay_factor: 9 }"), "gives inf at step 5000"),
    ],
)  # fmt: skip
def test_a_schedule_that_easyrec_could_not_use_is_named(text: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rate_at(text, 5000)
    assert named in str(caught.value)


def test_a_text_that_is_no_config_says_where() -> None:
    with pytest.raises(ConfigEditError, match="line 1, column"):
        rate_at("train_config {", 0)


@pytest.mark.parametrize("step", [-1, 1.5, True, "8000"])
def test_a_step_is_a_whole_number_from_0(step: Any) -> None:
    with pytest.raises(ConfigError, match="not a number of steps"):
        rate_at(config(POLY), step)


def test_all_problems_of_all_optimizers_come_at_once() -> None:
    text = config(
        "exponential_decay_learning_rate { decay_steps: 0 burnin_learning_rate: 1 }",
        "constant_learning_rate {}",
        "manual_step_learning_rate {}",
    )
    with pytest.raises(ProblemsError) as caught:
        rate_at(text, 0)
    assert [problem.split(" ")[0] for problem in caught.value.problems] == [
        path("exponential_decay_learning_rate", "decay_steps"),
        path("exponential_decay_learning_rate", "burnin_steps"),
        path("manual_step_learning_rate", "schedule", 2),
    ]


# The hand-over


@pytest.mark.parametrize(
    ("schedule", "kind", "field"),
    [
        ("constant_learning_rate { learning_rate: 0.003 }", "constant_learning_rate", "learning_rate"),
        (EXPONENTIAL % "", "exponential_decay_learning_rate", "initial_learning_rate"),
        (
            "manual_step_learning_rate { initial_learning_rate: 0.003 schedule { step: 1 learning_rate: 1e-6 } }",
            "manual_step_learning_rate",
            "initial_learning_rate",
        ),
        (
            "cosine_decay_learning_rate { learning_rate_base: 0.003 warmup_learning_rate: 0 }",
            "cosine_decay_learning_rate",
            "learning_rate_base",
        ),
        (
            "poly_decay_learning_rate { learning_rate_base: 0.003 total_steps: 5 power: 1 }",
            "poly_decay_learning_rate",
            "learning_rate_base",
        ),
        (TRANSFORMER % "", "transformer_learning_rate", "learning_rate_base"),
    ],
)
@pytest.mark.parametrize("optimizer", ["adam_optimizer", "ftrl_optimizer", "rms_prop_optimizer"])
def test_the_rate_is_set_where_the_schedule_begins(
    schedule: str, kind: str, field: str, optimizer: str
) -> None:
    text = config(schedule, optimizer=optimizer)
    found = hand_over(text, 1e-6)
    where = path(kind, field, optimizer=optimizer)
    assert [line.split(":")[0] for line in difference(found.text, text)] == [where]
    assert values_at(found.text, where) == [1e-6]
    assert [(change.path, change.after) for change in found.changes] == [(where, 1e-6)]
    assert found.changes[0].before == values_at(text, where)[0]


def test_only_the_number_changes_all_else_stays_byte_for_byte() -> None:
    text = (
        "# 备注 { learning_rate: 1 }\r\n"
        "train_config: <\r\n"
        "  optimizer_config: [{adam_optimizer: <learning_rate {exponential_decay_learning_rate {\r\n"
        "\tinitial_learning_rate : 1e-3f , decay_factor:.1; decay_steps: 0x10 }}>}, # one\r\n"
        "   <adagrad_optimizer {learning_rate: {constant_learning_rate {learning_rate:1 learning_rate:2}}}>]\r\n"
        "> # end"
    )
    wanted = text.replace("1e-3f", "1e-06").replace("learning_rate:2", "learning_rate:1e-06")
    assert hand_over(text, 1e-6).text == wanted


def test_a_rate_that_stands_there_already_leaves_the_text_as_it_is() -> None:
    text = config("constant_learning_rate { learning_rate: 0.00001 }")
    assert hand_over(text, 1e-5) == HandOver(text, (), ())


def test_a_rate_that_was_left_to_its_default_is_written() -> None:
    found = hand_over(config("constant_learning_rate {}"), 1e-6)
    assert rate_at(found.text, 0) == [1e-6]
    assert [str(change) for change in found.changes] == [
        f"{path('constant_learning_rate', 'learning_rate')}: 0.002 -> 1e-06"
    ]
    assert len(hand_over(config("constant_learning_rate {}"), 0.002).changes) == 1


@pytest.mark.parametrize(
    ("schedule", "floor", "kind", "field"),
    [
        (EXPONENTIAL % "min_learning_rate: 1e-5", "min_learning_rate", "exponential_decay", "initial_learning_rate"),
        (
            "poly_decay_learning_rate { learning_rate_base: 1 total_steps: 9 power: 1 end_learning_rate: 1e-5 }",
            "end_learning_rate",
            "poly_decay",
            "learning_rate_base",
        ),
    ],
)  # fmt: skip
def test_the_rate_never_falls_below_the_schedules_bound_and_a_warning_says_so(
    schedule: str, floor: str, kind: str, field: str
) -> None:
    text = config(schedule)
    for rate in (1e-6, 0.0):
        found = hand_over(text, rate)
        assert rate_at(found.text, 0) == [1e-5]
        where = path(f"{kind}_learning_rate", field)
        assert found.warnings == (f"{where}: {rate} is below {floor} 1e-05, so 1e-05 is set",)
    for rate in (1e-5, 1e-4):
        assert hand_over(text, rate).warnings == ()


def test_each_optimizer_gets_the_same_rate_or_its_own() -> None:
    text = config(
        "constant_learning_rate {}", EXPONENTIAL % "min_learning_rate: 1e-5", "constant_learning_rate {}"
    )
    assert rate_at(hand_over(text, 1e-6).text, 0) == [1e-6, 1e-5, 1e-6]
    found = hand_over(text, [1e-3, 2e-3, 3e-3])
    assert rate_at(found.text, 0) == [1e-3, 2e-3, 3e-3]
    assert [change.path.split(".")[1] for change in found.changes] == [
        f"optimizer_config[{n}]" for n in range(3)
    ]
    for wrong in ([1e-3], [1e-3] * 4, []):
        with pytest.raises(ConfigError, match="for 3 optimizers"):
            hand_over(text, wrong)


@pytest.mark.parametrize("rate", [-1e-6, math.nan, math.inf, 1e39, True, "1e-6", None, [1e-6, math.nan]])
def test_what_is_no_rate_is_refused(rate: Any) -> None:
    text = config(*["constant_learning_rate {}"] * (2 if isinstance(rate, list) else 1))
    with pytest.raises(ConfigError, match="is no learning rate"):
        hand_over(text, rate)


@pytest.mark.parametrize("rate", [0.0, 0, 1e-50])  # a 32-bit float holds 0 of the last
def test_a_rate_of_0_is_refused_for_every_optimizer(rate: float) -> None:
    text = config("constant_learning_rate {}", "cosine_decay_learning_rate { warmup_learning_rate: 0 }")
    found = problems(text, rate)
    assert len(found) == 2
    assert all("teaches nothing" in problem for problem in found)


@pytest.mark.parametrize(
    ("schedule", "named"),
    [
        (EXPONENTIAL % "burnin_learning_rate: 1e-5 burnin_steps: 9", ["burnin_learning_rate is 1e-05"]),
        (
            "exponential_decay_learning_rate { decay_factor: 1.1 burnin_learning_rate: 1e-5 burnin_steps: 9 }",
            ["burnin_learning_rate is 1e-05", "decay_factor is 1.1"],
        ),
        (MANUAL % "", ["schedule[0].learning_rate is 0.0005", "schedule[1].learning_rate is 0.0001"]),
        ("manual_step_learning_rate { schedule { step: 4 } }", ["schedule[0].learning_rate is 0.002"]),
        ("cosine_decay_learning_rate {}", ["warmup_learning_rate is 0.0002"]),
    ],
)
def test_a_schedule_that_rises_above_the_rate_is_refused_and_the_field_named(
    schedule: str, named: list[str]
) -> None:
    kind = schedule.split()[0]
    found = problems(config("constant_learning_rate {}", schedule))
    wanted = [path(kind, field, 1) for field in named]
    assert [problem[: len(text)] for problem, text in zip(found, wanted, strict=True)] == wanted


@pytest.mark.parametrize(
    "schedule",
    [
        EXPONENTIAL % "burnin_learning_rate: 1e-6 burnin_steps: 9",
        "manual_step_learning_rate { schedule { step: 4 learning_rate: 1e-6 } warmup: true }",
        "cosine_decay_learning_rate { warmup_learning_rate: 1e-6 }",
        "exponential_decay_learning_rate { decay_factor: 1 }",
    ],
)
def test_a_schedule_that_only_reaches_the_rate_is_fine(schedule: str) -> None:
    assert hand_over(config(schedule), 1e-6).changes


def test_bounds_are_compared_as_the_32_bit_floats_that_easyrec_holds() -> None:
    text = config("cosine_decay_learning_rate { warmup_learning_rate: 1.00000001e-6 }")
    assert hand_over(text, 1e-6).warnings == ()


def test_a_patched_schedule_that_easyrec_could_not_use_is_refused() -> None:
    found = problems(config("exponential_decay_learning_rate { decay_steps: 0 }"))
    assert found == (f"{path('exponential_decay_learning_rate', 'decay_steps')} is 0: EasyRec divides by it",)
    assert "power is not set" in problems(config("poly_decay_learning_rate { total_steps: 5 }"))[0]


def test_the_required_rate_itself_may_be_missing_before_the_hand_over() -> None:
    text = config("poly_decay_learning_rate { total_steps: 5 power: 1 }")
    assert rate_at(hand_over(text, 1e-6).text, 0) == [1e-6]


def test_a_schedule_that_scales_its_rate_says_what_it_will_be() -> None:
    found = hand_over(config(TRANSFORMER % ""), 1.0)
    assert "the rate peaks at 0.0125, not at 1.0" in found.warnings[0]


@given(schedule_texts(), rates)
@settings(max_examples=100, deadline=None)
def test_what_is_handed_over_is_never_exceeded(schedule: str, rate: float) -> None:
    text = config(schedule)
    try:
        found = hand_over(text, rate)
    except ProblemsError:
        return
    assert hand_over(found.text, rate).text == found.text
    learning_rate = values_at(found.text, "train_config.optimizer_config[0].adam_optimizer.learning_rate")[0]
    (set_values,) = learning_rate.values()
    fields = ("learning_rate", "initial_learning_rate", "learning_rate_base")
    handed = next(set_values[field] for field in fields if field in set_values)
    assert handed >= rate
    steps = [*range(0, 12), *range(12, 3000, 119), 9_000_000]
    assert max(rate_at(found.text, step)[0] for step in steps) <= handed * (1 + 1e-6)
