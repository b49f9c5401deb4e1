"""Which day a run stands for, and its dates in a user's values."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import ConfigError, ProblemsError
from include.finetune import calendar, placeholders
from include.finetune.calendar import business_date, render

SHANGHAI = "Asia/Shanghai"
DAY = date(2022, 6, 17)
DAYS = st.dates(date(1, 1, 2), date(9999, 12, 30))
PLAIN = st.text(st.characters(exclude_characters="{}<>｛｝＜＞《》$", exclude_categories=["Cs"]), max_size=20)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[arg-type,misc]


def local(zone: str, *parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(zone))  # type: ignore[arg-type,misc]


# Dates in values


@pytest.mark.parametrize(
    ("day", "bizdate", "eval_ymd", "predate"),
    [
        (date(2022, 6, 17), "20220617", "20220618", "20220616"),
        (date(2022, 6, 30), "20220630", "20220701", "20220629"),
        (date(2022, 7, 1), "20220701", "20220702", "20220630"),
        (date(2021, 12, 31), "20211231", "20220101", "20211230"),
        (date(2022, 1, 1), "20220101", "20220102", "20211231"),
        (date(2024, 2, 28), "20240228", "20240229", "20240227"),
        (date(2024, 2, 29), "20240229", "20240301", "20240228"),
        (date(2023, 3, 1), "20230301", "20230302", "20230228"),
        (date(999, 1, 1), "09990101", "09990102", "09981231"),
    ],
)
def test_both_spellings_give_the_day_the_next_and_the_one_before(
    day: date, bizdate: str, eval_ymd: str, predate: str
) -> None:
    wanted = f"{bizdate} {eval_ymd} {predate}"
    assert render("{bizdate} {eval_ymd} {predate}", day) == wanted
    assert render("<bizdate> <eval_ymd> <predate>", day) == wanted


@given(st.lists(st.one_of(PLAIN, st.sampled_from(placeholders.NAMES).map(lambda name: (name,)))), DAYS)
def test_all_else_stays_as_it_is(parts: list[str | tuple[str]], day: date) -> None:
    def written(part: str | tuple[str], opener: str, closer: str) -> str:
        return part if isinstance(part, str) else f"{opener}{part[0]}{closer}"

    dates = {
        "bizdate": day.isoformat().replace("-", ""),
        "eval_ymd": (day + timedelta(days=1)).isoformat().replace("-", ""),
        "predate": (day - timedelta(days=1)).isoformat().replace("-", ""),
    }
    wanted = "".join(part if isinstance(part, str) else dates[part[0]] for part in parts)
    for pair in ("{}", "<>"):
        assert render("".join(written(part, *pair) for part in parts), day) == wanted


@pytest.mark.parametrize(
    "value",
    [
        '{"ps":{"count":1,"cpu":1600},"worker":{"count":12}}',
        '{"worker": {"count": 1} }',
        "{}",
        "feature_configs[input_names[0]>=a].embedding_dim;feature_configs[input_names[0]<=b].embedding_dim",
        "feature_configs[embedding_dim<4].combiner;feature_configs[embedding_dim>5].combiner",
        "feature_configs[input_names[0]<bizdate].embedding_dim",
        '{"model_config.dbmtl.bottom_dnn": "{hidden_units: [512, 256] use_bn: true}"}',
        "dnn <hidden_units: 512>",
        "learning_rate { constant_learning_rate {} } losses {loss_type: CLASSIFICATION}",
        "{data_config.label_fields[0]: bizdate}",
        "{train_config.num_steps: 100}",
        "${exp_id}/${trial_id}",
        "x{1}y<2>",
        "a < b and c > d",
        "oss://bucket/bizdate/predate_model",
        "",
    ],
)
def test_what_only_looks_like_a_placeholder_is_left_alone(value: str) -> None:
    assert render(value, DAY) == value
    assert render(f"{value} <bizdate>", DAY) == f"{value} 20220617"


def test_a_json_value_with_a_placeholder_is_filled_inside_its_quotes() -> None:
    value = '{"train_config.fine_tune_checkpoint":"oss://easyrec/{predate}_finetune", "a": {bizdate}}'
    filled = '{"train_config.fine_tune_checkpoint":"oss://easyrec/20220616_finetune", "a": 20220617}'
    assert render(value, DAY) == filled


@pytest.mark.parametrize(
    ("value", "suggested"),
    [
        ("<biz_date>", "<bizdate>"),
        ("{Bizdate}", "{bizdate}"),
        ("{ bizdate }", "{bizdate}"),
        ("<bizdate >", "<bizdate>"),
        ("{BIZDATE}", "{bizdate}"),
        ("{bizdat}", "{bizdate}"),
        ("<biz-date>", "<bizdate>"),
        ("<pre_date>", "<predate>"),
        ("{pre date}", "{predate}"),
        ("{eval_date}", "{eval_ymd}"),
        ("{evalymd}", "{eval_ymd}"),
        ("<bizdate", "<bizdate>"),
        ("{predate_model/x", "{predate}"),
        ("{bizdate:%Y%m%d}", "{bizdate}"),
        ("eval_ymd}", "{eval_ymd}"),
        ("bizdate>", "<bizdate>"),
        ("<bizdate}", "<bizdate>"),
        ("＜bizdate＞", "<bizdate>"),
        ("｛predate｝", "{predate}"),
        ("{{bizdate}}", "{bizdate}"),
        ("${bizdate}", "{bizdate}"),
    ],
)
def test_a_misspelt_placeholder_is_an_error_that_names_the_nearest(value: str, suggested: str) -> None:
    for text in (value, f"odps://p/tables/t/dt={value}", f'{{"a":"oss://b/{value}"}}'):
        with pytest.raises(ConfigError) as caught:
            render(text, DAY)
        assert caught.value.hint == f"did you mean {suggested}?"


@pytest.mark.parametrize(
    "value",
    ["{ds}", "<yyyymmdd>", "{x}", "{yesterday}", "{日期}", "{{ ds_nodash }}", "{bizdate-1}", "{bizdate + 1}"],
)
def test_another_word_in_brackets_is_an_error_that_says_what_there_is(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        render(value, DAY)
    assert value in str(caught.value)
    assert "predate (the one before)" in caught.value.hint


def test_all_misspelt_placeholders_are_reported_at_once() -> None:
    with pytest.raises(ProblemsError) as caught:
        render("<biz_date>/{bizdate}/{Predate}", DAY)
    assert len(caught.value.problems) == 2
    values = {"train_tables": "t/dt=<biz_date>", "cluster": '{"ps":{"count":1}}', "model_dir": "{predat}/{x}"}
    with pytest.raises(ProblemsError) as caught:
        calendar.render_all(values, DAY, where="config_finetune.ini")
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "-Dtrain_tables",
        "-Dmodel_dir",
        "-Dmodel_dir",
    ]
    assert "config_finetune.ini" in str(caught.value)


def test_every_value_is_rendered() -> None:
    values = {"train_tables": "t/dt=<bizdate>", "eval_tables": "t/dt={eval_ymd}", "arn": "acs"}
    rendered = calendar.render_all(values, DAY)
    assert rendered == {"train_tables": "t/dt=20220617", "eval_tables": "t/dt=20220618", "arn": "acs"}


def test_one_can_ask_which_placeholders_a_value_holds() -> None:
    assert placeholders.used("<bizdate>/{predate}_{predate}/${eval_ymd}") == {"bizdate", "predate"}
    assert placeholders.used('{"ps":{"count":1}}') == frozenset()


# Which day a run stands for


@pytest.mark.parametrize(
    ("start", "zone", "day"),
    [
        (local(SHANGHAI, 2026, 11, 23, 2, 0), SHANGHAI, date(2026, 11, 23)),
        (utc(2026, 11, 22, 18, 0), SHANGHAI, date(2026, 11, 23)),  # the same moment, as Airflow hands it
        (utc(2026, 11, 22, 15, 59, 59), SHANGHAI, date(2026, 11, 22)),
        (utc(2026, 11, 22, 16, 0), SHANGHAI, date(2026, 11, 23)),
        (utc(2026, 11, 22, 23, 59), "UTC", date(2026, 11, 22)),
        (utc(2026, 11, 23, 0, 0), "UTC", date(2026, 11, 23)),
        (utc(2026, 12, 31, 17, 0), SHANGHAI, date(2027, 1, 1)),
        (utc(2024, 2, 28, 19, 0), SHANGHAI, date(2024, 2, 29)),
        # the clocks of New York go forward on 2026-03-08 and back on 2026-11-01
        (utc(2026, 3, 8, 4, 59), "America/New_York", date(2026, 3, 7)),
        (utc(2026, 3, 8, 5, 0), "America/New_York", date(2026, 3, 8)),
        (utc(2026, 3, 9, 3, 59), "America/New_York", date(2026, 3, 8)),
        (utc(2026, 3, 9, 4, 0), "America/New_York", date(2026, 3, 9)),
        (utc(2026, 11, 2, 4, 59), "America/New_York", date(2026, 11, 1)),
        (utc(2026, 11, 2, 5, 0), "America/New_York", date(2026, 11, 2)),
    ],
)
def test_a_scheduled_run_trains_the_local_day_on_which_its_interval_begins(
    start: datetime, zone: str, day: date
) -> None:
    later = start + timedelta(days=1)
    assert business_date(interval_start=start, run_after=later, timezone=zone) == day


@pytest.mark.parametrize(
    ("run_after", "zone", "day"),
    [
        (local(SHANGHAI, 2026, 11, 24, 2, 0), SHANGHAI, date(2026, 11, 23)),
        (utc(2026, 11, 23, 15, 59), SHANGHAI, date(2026, 11, 22)),
        (utc(2026, 11, 23, 16, 0), SHANGHAI, date(2026, 11, 23)),
        (utc(2027, 1, 1, 1, 0), SHANGHAI, date(2026, 12, 31)),
        (utc(2024, 3, 1, 1, 0), SHANGHAI, date(2024, 2, 29)),
        (utc(2026, 3, 9, 4, 30), "America/New_York", date(2026, 3, 8)),  # that day had 23 hours
        (utc(2026, 11, 2, 5, 30), "America/New_York", date(2026, 11, 1)),  # that day had 25
    ],
)
def test_a_run_without_interval_trains_the_last_day_that_was_complete(
    run_after: datetime, zone: str, day: date
) -> None:
    assert business_date(interval_start=None, run_after=run_after, timezone=zone) == day


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.sampled_from([SHANGHAI, "America/New_York"])
)
def test_the_zone_in_which_a_moment_is_given_does_not_matter(moment: datetime, zone: str) -> None:
    given_in = [moment.replace(tzinfo=timezone.utc).astimezone(ZoneInfo(z)) for z in (zone, "Asia/Kolkata")]
    found = {business_date(interval_start=m, run_after=m, timezone=zone) for m in given_in}
    assert found == {given_in[0].date()}


@pytest.mark.parametrize("requested", ["2022-06-17", "20220617", date(2022, 6, 17)])
def test_the_requested_day_wins(requested: str | date) -> None:
    moment = utc(2026, 11, 23, 0, 0)
    for start in (moment, None):
        found = business_date(interval_start=start, run_after=moment, timezone=SHANGHAI, requested=requested)
        assert type(found) is date
        assert found == DAY


@pytest.mark.parametrize(
    "requested",
    [
        "", " ", "2022-6-17", "20220230", "2022-02-29", "2022-13-01", "2022-06-17 00:00", "2022-06-17T00:00:00",
        "2022/06/17", "202206-17", "2022-0617", "17-06-2022", "0000-01-01", " 20220617", "20220617\n",
        "２０２２０６１７", "yesterday", "{bizdate}", 20220617, datetime(2022, 6, 17), utc(2022, 6, 17), b"20220617",
    ],
)  # fmt: skip
def test_a_requested_day_that_is_none_is_refused(requested: object) -> None:
    moment = utc(2026, 11, 23, 0, 0)
    with pytest.raises(ConfigError):
        business_date(interval_start=None, run_after=moment, timezone="UTC", requested=requested)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "zone",
    ["Asia/Shanghi", "Beijing", "", "UTC+8", "../etc/passwd", "/etc/localtime", "Asia", "a\0b", "Asia/上海"],
)
def test_an_unknown_zone_is_refused(zone: str) -> None:
    moment = utc(2026, 11, 23, 0, 0)
    with pytest.raises(ConfigError, match="unknown time zone"):
        business_date(interval_start=moment, run_after=moment, timezone=zone)


def test_a_misspelt_zone_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        business_date(interval_start=None, run_after=utc(2026, 1, 1), timezone="Asia/Shanghi")
    assert "Asia/Shanghai" in caught.value.hint


@pytest.mark.parametrize("name", ["interval_start", "run_after"])
def test_a_time_without_zone_is_refused(name: str) -> None:
    times = {"interval_start": utc(2026, 1, 1), "run_after": utc(2026, 1, 2), name: datetime(2026, 1, 1)}
    with pytest.raises(ConfigError, match=name):
        business_date(timezone=SHANGHAI, **times)
    with pytest.raises(ConfigError, match=name):
        business_date(timezone=SHANGHAI, **{**times, name: date(2026, 1, 1)})  # type: ignore[arg-type]


# Small helpers


def test_a_range_of_days_includes_both_ends() -> None:
    found = calendar.days("2024-02-28", date(2024, 3, 1))
    assert found == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
    assert calendar.days(DAY, "20220617") == [DAY]
    assert len(calendar.days("2022-05-30", "2022-06-17")) == 19


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ConfigError, match="comes before"):
        calendar.days("2022-06-18", "2022-06-17")


@given(DAYS)
def test_a_day_written_is_the_day_read_and_the_neighbours_are_neighbours(day: date) -> None:
    assert calendar.parse_day(calendar.yyyymmdd(day)) == day
    assert calendar.parse_day(day.isoformat()) == day
    assert calendar.previous(calendar.following(day)) == day
    assert calendar.days(calendar.previous(day), calendar.following(day))[1] == day


def test_a_time_is_no_day() -> None:
    for wrong in (datetime(2022, 6, 17), utc(2022, 6, 17)):
        for use in (calendar.parse_day, calendar.previous, calendar.yyyymmdd, lambda d: render("x", d)):
            with pytest.raises(ConfigError, match="is a time, not a day"):
                use(wrong)


def test_the_ends_of_the_calendar_are_errors_of_ours() -> None:
    for move, end in ((calendar.previous, date.min), (calendar.following, date.max)):
        with pytest.raises(ConfigError):
            move(end)
