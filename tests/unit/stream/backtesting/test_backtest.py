"""What rules would have alerted, beside other rules and with other thresholds."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from stream.alerts.episodes import Episodes
from stream.backtesting.backtest import Backtest, compare, count_by_day
from stream.backtesting.scored_log import read_file
from stream.backtesting.sweep import steps, thresholds, variants
from stream.cli import main
from stream.config.signals import Signals
from stream.files.lines import InputError
from stream.records import Alert, Origin, Scored, Subject, encode
from stream.rules.rule_error import RuleError
from stream.rules.rule_file import Rule, RuleFile, read_rule_file
from stream.rules.rule_set import RuleSet
from stream.signals.memory import SubjectWindows
from tests.fakes import scored, scores

HOUR_S = 3_600
RULES = """
[[rule]]
name = "bad-news"
when = 'sentiment.label == "negative" && sentiment.confidence >= 0.8'
subject = "ticker"
severity = "warning"
title = "Bad news on {subject}"
"""


def rule_file(folder: Path, text: str = RULES, name: str = "rules.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def event(number: int, confidence: float, ticker: str = "HALC", **changes: Any) -> Scored:
    """One event every two hours: each opens an episode of its own."""
    fields: dict[str, Any] = {"id": f"e{number}", "origin": Origin("news", 0, number)}
    return scored(
        after_s=number * 2 * HOUR_S,
        heads=scores(sentiment=("negative", confidence)),
        subjects=(Subject("ticker", ticker),),
        **(fields | changes),
    )


EVENTS = [event(number, 0.75 + 0.05 * (number % 5)) for number in range(20)]


def alerts_of(path: Path, events: list[Scored] = EVENTS) -> list[Alert]:
    run = Backtest({"": RuleSet.load(path)}, signals=Signals(), quiet_s=HOUR_S)
    for one in events:
        run.feed(one)
    return run.outcome("").alerts


def test_a_backtest_raises_the_alerts_of_the_records(tmp_path: Path) -> None:
    alerts = alerts_of(rule_file(tmp_path))
    assert [alert.evidence[0].event_id for alert in alerts] == [
        f"e{number}" for number in range(20) if number % 5
    ]
    assert [alert.episode for alert in alerts] == list(range(1, 17))
    assert alerts[0].signal["events"] == 2


def test_a_record_that_was_delivered_again_is_passed_over(tmp_path: Path) -> None:
    run = Backtest({"": RuleSet.load(rule_file(tmp_path))}, signals=Signals(), quiet_s=HOUR_S)
    for one in (EVENTS[1], EVENTS[2], EVENTS[1]):
        run.feed(one)
    assert (run.records, run.repeats) == (2, 1)
    assert (run.first, run.last) == (EVENTS[1].time, EVENTS[2].time)


def test_a_line_that_is_in_a_file_twice_counts_once(tmp_path: Path) -> None:
    again, edited = (
        msgspec.structs.replace(EVENTS[1], origin=Origin("news", 0, offset), text=text)
        for offset, text in ((40, EVENTS[1].text), (41, "Halcyon found another customer."))
    )
    run = Backtest({"": RuleSet.load(rule_file(tmp_path))}, signals=Signals(), quiet_s=HOUR_S)
    for one in (EVENTS[1], again, edited):
        run.feed(one)
    assert (run.records, run.repeats) == (2, 1)


def test_a_ticket_that_comes_again_edited_enters_no_window_and_alerts_once(tmp_path: Path) -> None:
    calm = scored(
        origin=Origin("news", 0, 1), turn=(1, 3), heads=scores(sentiment=("negative", 0.7))
    )
    edited, again = (
        event(0, 0.9, id=calm.id, origin=Origin("news", 0, offset), turn=(1, offset + 2))
        for offset in (2, 3)
    )
    run = Backtest({"": RuleSet.load(rule_file(tmp_path))}, signals=Signals(), quiet_s=HOUR_S)
    for one in (calm, edited, again):
        run.feed(one)
    [alert] = run.outcome("").alerts
    assert (alert.count, alert.signal["events"]) == (1, 1)
    assert (run.records, run.repeats) == (1, 2)


def test_a_repeat_of_the_records_at_another_time_is_something_else(tmp_path: Path) -> None:
    run = Backtest({"": RuleSet.load(rule_file(tmp_path))}, signals=Signals(), quiet_s=HOUR_S)
    run.feed(EVENTS[1])
    run.feed(event(1, 0.9, time=EVENTS[9].time))
    assert run.repeats == 0


def test_alerts_are_counted_by_day_and_rule(tmp_path: Path) -> None:
    days = count_by_day(alerts_of(rule_file(tmp_path)))
    assert list(days) == ["2026-03-12", "2026-03-13", "2026-03-14"]
    assert sum(counts["bad-news"] for counts in days.values()) == 16


def test_two_rule_files_are_compared_by_what_they_alert_on_and_when(tmp_path: Path) -> None:
    loose = alerts_of(rule_file(tmp_path))
    strict = alerts_of(rule_file(tmp_path, RULES.replace("0.8", "0.9")))
    found = compare(loose, strict)
    lost = [alert.evidence[0].event_id for alert in found.only_first]
    assert lost == [f"e{number}" for number in range(20) if number % 5 in {1, 2}]
    assert found.only_second == []
    # Their ids differ, since the strict rule counts fewer episodes.
    assert [one.first_seen for one, _ in found.both] == [two.first_seen for _, two in found.both]
    assert [one.id for one, _ in found.both] != [two.id for _, two in found.both]


def test_a_sweep_says_what_each_value_would_have_cost(tmp_path: Path) -> None:
    path = rule_file(tmp_path)
    chosen = variants(read_rule_file(path), "bad-news.sentiment.confidence=0.8,0.85,0.95")
    run = Backtest(
        {value: RuleSet(rules) for value, rules in chosen.items()},
        signals=Signals(),
        quiet_s=HOUR_S,
    )
    for one in EVENTS:
        run.feed(one)
    taken = steps({value: run.outcome(value).alerts for value in chosen})
    assert [(step.value, step.alerts, len(step.lost), len(step.gained)) for step in taken] == [
        ("0.8", 16, 0, 0),
        ("0.85", 12, 4, 0),
        ("0.95", 4, 8, 0),
    ]
    assert alerts_of(path)[0].first_seen == taken[1].lost[0].first_seen


LASTING = """
[[rule]]
name = "lasting"
when = 'sentiment.label == "negative"'
resolve = 'sentiment.label == "positive"'
for = "2m"
cooldown = "10m"
quiet = "5m"
subject = "ticker"
severity = "warning"
title = "t"
"""


@examples(max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(
            st.integers(0, 30),
            st.sampled_from(["negative", "negative", "neutral", "positive"]),
            st.sampled_from(["A", "B"]),
        ),
        max_size=30,
    )
)
@example(  # what resolves it comes late, when it has been quiet already
    [(0, "negative", "A"), (2, "negative", "A"), (8, "neutral", "A"), (2, "positive", "A")]
)
def test_leaving_out_what_concerns_no_alert_changes_nothing(
    tmp_path: Path, steps_taken: list[tuple[int, str, str]]
) -> None:
    rules = RuleSet.load(rule_file(tmp_path, LASTING))
    run = Backtest({"": rules}, signals=Signals(), quiet_s=HOUR_S)
    everything = Episodes(quiet_s=HOUR_S)
    expected: dict[str, Alert] = {}
    for number, (minute, tone, ticker) in enumerate(steps_taken):
        one = scored(
            id=f"e{number}",
            after_s=minute * 60,
            heads=scores(sentiment=tone),
            subjects=(Subject("ticker", ticker),),
        )
        run.feed(one)
        windows = SubjectWindows(Signals())
        for match in rules.match(one, windows.observe(one)):
            if alert := everything.raise_alert(one, match):
                expected[alert.id] = alert
    found = {alert.id: alert for alert in run.outcome("").alerts}
    assert {name: (one.state, one.count, one.sequence) for name, one in found.items()} == {
        name: (one.state, one.count, one.sequence) for name, one in expected.items()
    }


@pytest.mark.parametrize(
    ("sweep", "named"),
    [
        ("bad-news", "write RULE.NAME=VALUE,VALUE"),
        ("other.risk.confidence=0.5", "is 'other'; there are bad-news"),
        ("bad-news.risk.confidence=0.5", "compares risk.confidence with a number 0 times"),
        ("bad-news.risk.confidence=0.5", "; sweep one of sentiment.confidence, for, cooldown, "),
        ("bad-news.sentiment.confidence=high", "'high' is not a number"),
        ("bad-news.for=10", "'10': write a whole number and a unit"),
        ("bad-news.quiet=" + ",".join(["1m"] * 21), "gives 21 values; 20 at most"),
    ],
)
def test_a_sweep_that_cannot_be_made_is_refused(tmp_path: Path, sweep: str, named: str) -> None:
    with pytest.raises(RuleError) as caught:
        variants(read_rule_file(rule_file(tmp_path)), sweep)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("when", "swept"),
    [
        ("risk.confidence >= 0.5 && x", "risk.confidence >= 0.8 && x"),
        ("'risk.confidence > 0.7' != x && risk.confidence>=1", None),
        (
            "risk.confidence > 1 // risk.confidence > 2",
            "risk.confidence > 0.8 // risk.confidence > 2",
        ),
        ("risk.confidence >= 5e-1", ""),
        ("risk.confidence >= 0.5 + 0.1", ""),
        ("risk.confidence > 0.5*2.0", ""),
        ("'risk.confidence > 0.7' == event.text", ""),
    ],
)
def test_a_sweep_changes_a_whole_number_that_the_condition_compares_with(
    when: str, swept: str | None
) -> None:
    rule = Rule(name="r", when=when, subject="ticker", severity="info", title="t")
    file = RuleFile("rules", {"r": rule}, (), "")
    if swept == "":
        assert not thresholds(rule)
        with pytest.raises(RuleError, match="a number 0 times"):
            variants(file, "r.risk.confidence=0.8")
        return
    assert set(thresholds(rule)) == {"risk.confidence"}
    expected = swept or "'risk.confidence > 0.7' != x && risk.confidence>=0.8"
    assert variants(file, "r.risk.confidence=0.8")["0.8"]["r"].when == expected


def test_scored_records_are_read_and_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scored.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(encode(one) for one in EVENTS)))
    assert list(read_file(path)) == EVENTS
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(encode(EVENTS[0]) + b'\n{"id": 5}\n')
    with pytest.raises(InputError, match=r"bad\.jsonl, line 2: is no scored record"):
        list(read_file(bad))


def invoke(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(main, [str(one) for one in arguments])
    assert result.exit_code == code, result.output
    return orjson.loads(result.stdout) if "--json" in arguments and result.stdout else result


def test_the_command_prints_one_object(tmp_path: Path) -> None:
    source = tmp_path / "scored.jsonl"
    source.write_bytes(b"\n".join(encode(one) for one in EVENTS))
    path = rule_file(tmp_path)
    plain = invoke("backtest", "--rules", path, "--input", source, "--json")
    assert plain["result"]["by_rule"] == {"bad-news": 16}
    assert (plain["records"], plain["repeats"], plain["first"]) == (20, 0, "2026-03-12T12:00:00Z")
    strict = rule_file(tmp_path, RULES.replace("0.8", "0.9"), "strict.toml")
    both = invoke("backtest", "--rules", path, "--input", source, "--compare", strict, "--json")
    assert both["comparison"]["both"] == 8
    assert len(both["comparison"]["only_first"]) == 8
    assert both["comparison"]["only_second"] == []
    swept = invoke(
        "backtest", "--rules", path, "--input", source, "--json",
        "--sweep", "bad-news.sentiment.confidence=0.8,0.9",
    )  # fmt: skip
    assert [step["alerts"] for step in swept["sweep"]] == [16, 8]
    routes = tmp_path / "routes.toml"
    routes.write_text(
        """
        [route]
        receiver = "desk"
        [[receivers]]
        name = "desk"
        type = "redis"
        stream = "s"
        send_resolved = false
        """
    )
    told = invoke(
        "backtest", "--rules", path, "--input", source, "--routes", routes, "--compare", strict,
        "--json",
    )  # fmt: skip
    # Every two hours one that lasts an hour: each is told, and none is repeated.
    assert told["result"]["notifications"] == {"desk": 16}
    assert told["other"]["notifications"] == {"desk": 8}
    shown = invoke("backtest", "--rules", path, "--input", source).output
    assert "bad-news 10" in shown
    assert "alerts: 16" in shown


def test_the_command_wants_one_source_of_records(tmp_path: Path) -> None:
    path = rule_file(tmp_path)
    invoke("backtest", "--rules", path, code=2)
    invoke("backtest", "--rules", path, "--input", path, "--since", "1d", code=2)
    invoke("backtest", "--rules", path, "--since", "long ago", code=2)
    invoke("backtest", "--rules", path, "--input", tmp_path / "absent", code=1)


def test_rules_check_prints_every_fault(tmp_path: Path) -> None:
    invoke("rules", "check", rule_file(tmp_path), "--json")
    bad = RULES.replace("negative", "negativ") + RULES.replace("bad-news", "b").replace("0.8", "x")
    fields = RULES.replace("bad-news", "c").replace("warning", "bad").replace("title", "titel")
    values = RULES.replace("bad-news", "d").replace("title", 'for = "2"\nquiet = "2"\ntitle')
    template = RULES.replace("bad-news", "e").replace("{subject}", "{subjet} {sgnal}")
    more = bad + fields + values + template.replace("0.8", "x")
    found = invoke("rules", "check", rule_file(tmp_path, more), "--json", code=2)
    assert [fault.partition("rule '")[2][:12] for fault in found["faults"]] == [
        "c': unknown ",
        "c': severity",
        "c': title is",
        "d': for is '",
        "d': quiet is",
        "bad-news': s",
        "b': unknown ",
        "e': unknown ",
        "e': title ha",
        "e': title ha",
    ]
    test = '[[test]]\nname = "t"\nevents = [{ sentiment = "angry" }]\n'
    found = invoke("rules", "check", rule_file(tmp_path, bad), "--json", code=2)
    named = [fault.partition("rule '")[2][:8] for fault in found["faults"]]
    assert named == ["bad-news", "b': unkn"]
    found = invoke("rules", "check", rule_file(tmp_path, RULES + test), "--json", code=2)
    assert "line 8, test 't': sentiment has no label 'angry'" in found["faults"][0]


TEST = """
[[test]]
name = "two in an hour"
events = [
  { tickers = ["A"], sentiment = "negative", repeat = 2, every = "10m" },
  { tickers = ["B"], sentiment = { label = "negative", confidence = 0.7 } },
  { tickers = ["C"] },
]
expect = [{ rule = "bad-news", subject = "ticker:A", count = COUNT }]
"""


ONE = "rule = 'bad-news'"
THREE = """
[[test]]
name = "three"
events = [
  { tickers = ["A"], sentiment = "negative", repeat = 2 },
  { tickers = ["B"], sentiment = "negative", repeat = 2 },
  { tickers = ["C"], sentiment = "negative" },
]
expect = ["""


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (TEST.replace("COUNT", "2"), []),
        (TEST.replace("COUNT", "3"), ["count is 2, expected 3"]),
        # Whichever comes first: what may be any alert leaves the others what they need.
        (
            f"{THREE}{{ {ONE} }}, {{ count = 2, {ONE} }}, {{ subject = 'ticker:A', {ONE} }}]",
            [],
        ),
        (
            f"{THREE}{{ count = 3, {ONE} }}, {{ count = 2, {ONE} }}, {{ count = 2, {ONE} }}]",
            ["count is 1, expected 3"],
        ),
        (TEST.replace("COUNT", "2").replace("ticker:A", "ticker:B"), ["subject is ticker:A"]),
        (TEST.replace("[{ rule", "[] #"), ["unexpected: rule bad-news, subject ticker:A"]),
        (
            TEST.replace("COUNT", "2").replace('"negative", repeat', '"neutral", repeat'),
            ["missing: rule bad-news, subject ticker:A, count 2"],
        ),
    ],
)
def test_rules_test_compares_alerts_with_the_expected_ones(
    tmp_path: Path, text: str, faults: list[str]
) -> None:
    path = rule_file(tmp_path, RULES + text)
    found = invoke("rules", "test", path, "--json", code=1 if faults else 0)
    assert found["tests"] == 1
    (verdict,) = found["verdicts"]
    assert len(verdict["faults"]) == len(faults)
    assert all(part in fault for part, fault in zip(faults, verdict["faults"], strict=True))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("repeat = 2", "repeats = 2"), "event 1: Object contains unknown field `repeats`"),
        (("repeat = 2", "repeat = 20_000"), "makes more than 10,000 events"),
        (('2, every = "10m"', '9_999, every = "366d"'), "event 1: lies too far ahead"),
        (("repeat = 2", "repeat = -2"), "event 1: Expected `int` >= 1"),
        # As they are written, whatever they are repeated.
        (("confidence = 0.7", "confidence = 70"), "event 2: Expected `float` <= 1.0"),
        (('"10m"', '"10"'), "event 1: write a whole number and a unit"),
        (('rule = "bad-news"', 'rule = "no-news"'), "unknown rule 'no-news'"),
        (("expect", "expects"), "unknown field `expects`"),
    ],
)
def test_an_example_that_is_written_wrongly_is_refused(
    tmp_path: Path, change: tuple[str, str], named: str
) -> None:
    path = rule_file(tmp_path, RULES + TEST.replace("COUNT", "2").replace(*change))
    (fault,) = invoke("rules", "check", path, "--json", code=2)["faults"]
    assert named in fault
    assert "line 9, test 'two in an hour'" in fault


def test_the_shipped_and_the_example_rules_pass_their_tests() -> None:
    root = Path(__file__).parents[4]
    for path in (
        root / "stream" / "rules" / "default_rules.toml",
        root / "examples" / "rules.toml",
    ):
        assert invoke("rules", "test", path, "--json")["failed"] == 0
