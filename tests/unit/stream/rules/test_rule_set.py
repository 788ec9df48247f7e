"""Rules are checked when they are loaded, and never stop the stream afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.spec import Head
from stream.config.signals import Signals
from stream.records import Subject
from stream.rules.constant_comparisons import find_constant_comparison
from stream.rules.rule_error import RuleError
from stream.rules.rule_file import MAX_RULES
from stream.rules.rule_set import Known, RuleSet
from stream.rules.templates import MAX_QUOTED_CHARS, fill
from stream.signals.figures import FIGURES
from stream.signals.memory import SubjectWindows
from stream.signals.windows import SUMS, Windows
from tests.fakes import scored, scores


def rule_file(folder: Path, when: str = "true", **fields: object) -> Path:
    entry = {
        "name": "a-rule",
        "when": when,
        "subject": "ticker",
        "severity": "warning",
        "title": "About {subject}",
        **fields,
    }
    path = folder / "rules.toml"
    lines = [f"{name} = {toml(value)}" for name, value in entry.items() if value is not None]
    path.write_text("\n".join(["[[rule]]", *lines, ""]), encoding="utf-8")
    return path


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(one)}" for name, one in value.items()) + "}"
    return repr(value) if isinstance(value, list) else f"'''{value}'''"


def load(folder: Path, when: str = "true", **fields: object) -> RuleSet:
    return RuleSet.load(rule_file(folder, when, **fields))


def test_the_shipped_rules_load_and_find_trouble_of_every_kind() -> None:
    rules = RuleSet.load(None)
    bad = scores(sentiment="negative", topic="fraud_security", risk="high")
    for source, subjects, expected in [
        ("news", (Subject("ticker", "HALC"),), {"negative-news-on-ticker"}),
        ("social", (Subject("ticker", "HALC"),), {"trouble-in-posts-on-ticker"}),
        (
            "ticket",
            (Subject("customer", "c-1"), Subject("topic", "fraud_security")),
            {"high-risk-ticket", "fraud-wave"},
        ),
    ]:
        event = scored(source=source, subjects=subjects, heads=bad)
        around = SubjectWindows(Signals())
        for _ in range(5):  # one post alone is no trouble, nor a few tickets a wave
            around.observe(event)
        found = rules.match(event, around.observe(event), Known({}))
        assert {match.rule.name for match in found} == expected
    calm = scores(sentiment="positive", topic="earnings", risk="low")
    for source in ("news", "social", "ticket"):
        assert rules.match(scored(source=source, heads=calm)) == []


def test_a_match_is_made_for_each_subject_of_the_rules_kind(tmp_path: Path) -> None:
    rules = load(tmp_path, summary="{source}: {text}")
    event = scored(
        subjects=(Subject("ticker", "A"), Subject("ticker", "B"), Subject("customer", "c"))
    )
    matches = rules.match(event)
    assert [(match.subject, match.title) for match in matches] == [
        ("ticker:A", "About A"),
        ("ticker:B", "About B"),
    ]
    assert matches[0].summary == "news: Halcyon lost its largest customer."


def test_only_rules_that_read_its_novelty_are_asked_about_a_copy(tmp_path: Path) -> None:
    copy = scored(copy_of="e-0", novelty=0.1)
    assert load(tmp_path, "true").match(copy) == []
    assert load(tmp_path, "event.novelty < 0.5").match(copy)
    assert load(tmp_path, 'event.copy_of == "e-0"').match(copy)
    assert load(tmp_path, "event.novelty < 0.5").match(scored()) == []


def test_a_kind_of_the_settings_may_be_the_subject(tmp_path: Path) -> None:
    path = rule_file(tmp_path, subject="product")
    with pytest.raises(RuleError, match=r"subject is 'product'.*subjects\.fields"):
        RuleSet.load(path)
    (match,) = RuleSet.load(path, kinds=("product",)).match(
        scored(subjects=(Subject("product", "Card"),))
    )
    assert match.subject == "product:Card"


def test_text_that_looks_like_a_placeholder_is_not_filled_again(tmp_path: Path) -> None:
    rules = load(tmp_path, summary="{text}")
    (match,) = rules.match(scored(text="{subject} {nonsense} {0.__class__}"))
    assert match.summary == "{subject} {nonsense} {0.__class__}"


def test_titles_quote_the_scores_and_long_fields_are_cut(tmp_path: Path) -> None:
    rules = load(
        tmp_path,
        title="{sentiment} ({sentiment.confidence}) for {customer}, risk {risk}",
        summary="{title}|{text}",
    )
    event = scored(
        title="x" * 1_000,
        text="y" * 1_000,
        customer="c-1",
        heads=scores(sentiment=("negative", 0.934), risk="high"),
    )
    (match,) = rules.match(event)
    assert match.title == "negative (0.93) for c-1, risk high"
    cut = MAX_QUOTED_CHARS - 1
    assert match.summary == "x" * cut + "…|" + "y" * cut + "…"


def test_no_title_says_minus_nothing() -> None:
    quoted = fill("{signal.sentiment} {signal.sentiment_z}", scored(), "A", {"sentiment": -0.004})
    assert quoted == "0.00 "


def test_a_head_that_an_older_record_lacks_is_quoted_as_nothing(tmp_path: Path) -> None:
    rules = load(tmp_path, title="risk [{risk}]")
    heads = scores()
    del heads["risk"]
    (match,) = rules.match(scored(heads=heads))
    assert match.title == "risk []"


def test_a_rule_sees_only_its_sources_and_a_disabled_one_sees_none(tmp_path: Path) -> None:
    only_posts = load(tmp_path, sources=["social"])
    assert only_posts.match(scored(source="news")) == []
    assert len(only_posts.match(scored(source="social"))) == 1
    assert len(load(tmp_path, enabled=False)) == 0


@pytest.mark.parametrize(
    ("when", "named"),
    [
        ("sentiment.lable == 'negative'", "sentiment has no field 'lable'; did you mean 'label'"),
        ("event.txt == ''", "event has no field 'txt'; did you mean 'text'"),
        ("sentiment.label == 'negativ'", "no label 'negativ'; did you mean 'negative'"),
        ("'x' == event.text && risk.label in ['high', 'hihg']", "no label 'hihg'"),
        ("sentiment.scores.negatve > 0.5", "no label 'negatve'"),
        ("'negativ' != sentiment.label", "no label 'negativ'; did you mean 'negative'"),
        ("sentiment.scores['negatve'] > 0.5", "no label 'negatve'; did you mean 'negative'"),
        ("sentimnt.label == 'negative'", "unknown name 'sentimnt'; did you mean 'sentiment'"),
        ("nonsense > 1", "unknown name 'nonsense'"),
        ("sentiment.confidence", "must be true or false"),
        ("event.text > 1", "fails on a sample event"),
        ("sentiment.confidence >= 1.5", "sentiment.confidence >= 1.5, but it is from 0 to 1"),
        ("risk.label == 'high' || risk.confidence>90", "risk.confidence > 90, but it is"),
        ("risk.label == 'high' || risk.confidence > 9e1", "risk.confidence > 9e1, but it is"),
        ("risk.confidence >= 90u", "risk.confidence >= 90u, but it is"),
        ("-.5 > risk.confidence", "risk.confidence < -.5, but it is"),
        ("!(subject . relevance < -0.5)  // never", "subject.relevance < -0.5, but it is"),
        ("1.5 <= sentiment.confidence", "sentiment.confidence >= 1.5, but it is"),
        ("topic.scores.cards > 20 && true", "topic.scores.cards > 20, but it is"),
        ("signal.negative >= 60.0", "signal.negative >= 60.0, but it is from 0 to 1"),
        ("signal.sentiment <= -50.0", "signal.sentiment <= -50.0, but it is from -1 to 1"),
        ("signal.sources_down >= 4", "signal.sources_down >= 4, but it is from 0 to 3"),
        ("sentiment == 'negative'", "compares sentiment, which is no single value; write senti"),
        ("true && 'x' != event", "compares event, which is no single value"),
        ("event.source == 'twitter'", "event has no source 'twitter'; known are news, social"),
        ("subject.novelty > 1", "subject.novelty > 1, but it is"),
        ("subject.novelty < 0.0 && true", "subject.novelty < 0.0, but it is"),
        ("true ? event.novelty != 2 : false", "event.novelty != 2, but it is"),
        ("risk.label ==", "is not valid CEL"),
        ("risk.label = 'a and b'", "; CEL writes == for ="),
        ("true and not false or true", "; CEL writes && for and, || for or, ! for not"),
        ("undefined_function(event.text)", "fails on a sample event"),
        ("true" + " && true" * 1_000, "longer than 4,000 characters"),
        ("signal.sentimnt_z < 0.0", "signal has no field 'sentimnt_z'; did you mean 'sentiment_z'"),
        ("subject.name == 'x'", "subject has no field 'name'"),
        ("signal.events > 'x'", "fails on a sample event"),
        ("(" * 30 + "true" + ")" * 30, "nests brackets 30 deep"),
        ("!" * 600 + "true", "has more than 24 signs in a row"),
        ("true ? " * 30 + "true" + " : false" * 30, "conditions with '?'"),
        (f"event.text in [{', '.join(['1'] * 300)}]", "lists more than 200 items"),
        (
            "event.tickers.exists(a, event.tickers.all(b, a != b))",
            "goes through a list inside another such walk",
        ),
        (
            "event.attributes.tags.exists(a, a.matches('[^a]{200}'))",
            "has a regular expression in a walk through a list",
        ),
        ("event.text.matches(event.title)", "is not written out as one string"),
        ("event.text.matches('a' + event.title)", "is not written out as one string"),
        ("event.text.matches(event.title + 'a')", "is not written out as one string"),
        ("event.text.matches('(a{150}){15' + '0}')", "is not written out as one string"),
        ("event.text.matches(true ? event.title : 'a')", "is not written out as one string"),
        (
            "sentiment.label == 'positive' && risk.confidence > '0.9'",
            "in `risk.confidence > '0.9'`",
        ),
        ("(false || event.text.contains(5)) && true", "in `event.text.contains(5)`"),
        ("event.attributes.x == 1 && (true || signal.events * 0.5 > 1.0)", "in `signal.events *"),
        ("sentiment.label == 'positive' && size(event.text)", "`size(event.text)` gives a int"),
        ("event.tickers == 'HALC'", "event.tickers, which is a list, equals a text"),
        ("true && ('A' != event.tickers)", "write 'X' in event.tickers"),
        ("event.tickers in ['A', 'B']", "write event.tickers.exists(t, t in ['X', 'Y'])"),
        ("event.copy_of == null", "event.copy_of, which is a text, equals null"),
        ("risk.label == ['high', 'medium']", "risk.label, which is a text, equals a list"),
        ("risk.abstained == 'false'", "risk.abstained, which is true or false, equals a text"),
        ("risk.scores.high != '0.9'", "risk.scores.high, which is a number, equals a text"),
        ("!(5 == event.lang)", "event.lang, which is a text, equals a number"),
        ("event.time != ''", "event.time, which is a time, equals a text"),
        ('risk.label == b"high"', "risk.label, which is a text, equals bytes"),
        ("br'HALC' != subject.id", "subject.id, which is a text, equals bytes"),
        (f"event.text.matches('{'x' * 201}')", "longer than 200 characters"),
        ("event.text.matches('(a{1,50}){1,50}b')", "counts to 2,500"),
        ("event.text.matches('(a{ 50 }){ 1, 50 }b')", "counts to 2,500"),
        (r"event.text.matches(r'\w{200}')", "come to 200 of \\w, \\W and \\p"),
        (r"event.text.matches(r'(?i)(\w{5}|x\w+){10}')", "come to 60 of"),
        (r"event.text.matches(r'(\pL[\]([x)\W\p{Greek}]]){17}')", "come to 51 of"),
        (r"event.title.matches(r'\w{26}x') || event.text.matches(r'\W{25}')", "come to 51 of"),
        (r"event.text.matches('\\w{200}')", "come to 200 of"),
        (r"event.text.matches('\x5cw\173200}')", "come to 200 of"),
        (r"event.text.matches(r'(?ix) a')", "with (?x), which hides its counts"),
    ],
)
def test_a_wrong_condition_is_refused_with_rule_file_and_remedy(
    tmp_path: Path, when: str, named: str
) -> None:
    with pytest.raises(RuleError) as caught:
        load(tmp_path, when)
    message = str(caught.value)
    assert named in message
    assert "rules.toml" in message
    assert "'a-rule'" in message
    assert "\n" not in message


@pytest.mark.timeout(20)
def test_a_long_name_of_a_head_takes_no_longer() -> None:
    head = Head(name="x" * 60, labels=("a", "b"))
    assert find_constant_comparison(
        f"0.5 < {head.name}.confidence && 2 > {head.name}.scores.a", [head]
    )
    assert not find_constant_comparison(f"0.5 < {head.name}.confidence", [head])


@pytest.mark.parametrize(
    "when",
    [
        "event.tickers.exists(t, t == 'HALC')",
        "event.text.contains('event.nonsense')",
        "size(event.tickers) > 2 || event.time > timestamp('2020-01-01T00:00:00Z')",
        "has(event.attributes.plan) && event.attributes.plan == 'gold'",
        "signal.sentiment > -1.0 && signal.sources_down >= 3 && signal.volume_z > 60.0",
        "signal.events > 40 && signal.sentiment_z < -5.0 && 'x' == event.text",
        "risk != null && risk.label == 'high' && null != subject && subject.relevance > 0.5",
        "event.tickers.exists(topic, topic == 'X')",
        "event.attributes.\n topic == 'x' || event.attributes.event.source == 'crm'",
        "event.source in ['news', 'ticket'] && sentiment.scores['negative'] > 0.5",
        "sentiment.confidence >= 1.0 || sentiment.confidence == 1 || subject.relevance <= 0",
        "subject.relevance >= 0 && subject.novelty <= 1.0 && subject.novelty > 0",
        "1.0 - 0.2 <= sentiment.confidence || 0 <= subject.novelty && 1 > topic.scores.cards",
        "2.0 * sentiment.confidence > 1.5 || sentiment.confidence > 1.5 - subject.relevance",
        "event.text != 'risk.confidence > 90'  // sentiment.confidence > 90",
        "topic.label in ['cards', 'billing_fees']",
        "topic.scores.cards > 0.2 && !topic.abstained",
        "sentiment.scores.exists(k, k == 'negative' && sentiment.scores[k] > 0.9)",
        "event.text != ''  // not risk.lable\n || true",
        "type(event.text) == string",
        "size(event.tickers) > 1 && event.tickers[1] == 'B' && 1 / (signal.events - 1) >= 0",
        "event.text.matches('^[0-9]+$') && int(event.text) > 5 && event.attributes.n > 3",
        "(event.tickers == ['A'] || event.tickers == []) && risk.label == ['high'][0]",
        "signal.volume == 3 && signal.events == 3.0 && risk.abstained != true",
        "event.attributes.tickers == 'A' && event.attributes.n == null",
        "['A'].exists(event, event == 'A') || event.text.size() == 3 ? true : 1 > 2",
        "event['attributes']['plan'] == 'gold'",
        "signal.sentiment_z <= -3.0 && signal.sources_down >= 2",
        "subject.relevance > 0.5 && event.text.matches('(?i)halc[a-z]{2,9}')",
        "event.tickers.filter(t, t != 'A').exists(t, t == 'B')",
        "event.text.matches(r'a\\(b') || event.title.contains('x, (y')",
        r"event.text.matches(r'(?i)\b(loss|fraud)\w*\b.{0,100}\b(bank|fund)\w*[^\W]\b')",
        r"event.text.matches(r'(\w+\W+){0,20}\\w{10}')",
    ],
)
def test_a_sound_condition_is_taken(tmp_path: Path, when: str) -> None:
    assert len(load(tmp_path, when)) == 1


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"severity": "huge"}, "severity is 'huge'; write info, warning or critical"),
        ({"subject": "planet"}, "subject is 'planet'; write one of ticker"),
        ({"name": "Has Spaces"}, "name must be lower-case"),
        ({"title": "{nonsense}"}, "title has the unknown placeholder {nonsense}"),
        ({"title": "{subject"}, "title has a { that no } closes"),
        ({"summary": "{mood}"}, "summary has the unknown placeholder {mood}"),
        ({"sources": ["mail"]}, "sources is ['mail']; write a list of news, social"),
        ({"whem": "x"}, "unknown field 'whem'; did you mean 'when'?"),
        ({"when": None}, "when is missing"),
        ({"title": True}, "title is True; write a string in quotes"),
        ({"for": "10"}, "for is '10'; write a whole number and a unit"),
        ({"cooldown": "400d"}, "cooldown is '400d'; must be above"),
        ({"quiet": ["5m"]}, "quiet is ['5m']; write a span such as"),
        ({"resolve": "nonsense"}, "unknown name 'nonsense'"),
        ({"resolve": "event.text"}, "resolve must be true or false"),
        ({"labels": {"severity": "x"}}, "label 'severity' is set by the alert itself"),
        ({"labels": {"subject": "x"}}, "label 'subject' is set by the alert itself"),
        ({"labels": {"a-b": "x"}}, "label 'a-b' must be letters"),
        ({"labels": {"a": "x" * 201}}, "label 'a' is longer than 200"),
        ({"subject": "event", "when": "signal.events > 1"}, "subject is 'event', which has no"),
        ({"title": "{signal.mood}"}, "title has the unknown placeholder {signal.mood}"),
    ],
)
def test_a_wrong_field_is_named_with_file_line_rule_and_remedy(
    tmp_path: Path, fields: dict[str, object], named: str
) -> None:
    path = rule_file(tmp_path, **fields)  # type: ignore[arg-type]
    sound = path.read_text()
    path.write_text(f"# a comment\n\n{sound}")
    with pytest.raises(RuleError) as caught:
        RuleSet.load(path)
    place, _, reason = str(caught.value).partition(": ")
    name = fields.get("name", "a-rule")
    assert place == f"rule file {path}, line 3, rule {name!r}"
    assert reason.startswith(named)


def test_a_file_with_too_many_rules_or_no_tables_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    for content, named in [
        ("[[rule]]\n" * (MAX_RULES + 1), "has 501 rules; 500 at most"),
        ("rule = ['x']", "begin each rule with [[rule]]"),
        ("[rule]\nname = 'a'", "begin each rule with [[rule]]"),
        ("[[rules]]", "unknown table 'rules'"),
        ("", "has no rules; add one, or write rule = []"),
        ("# nothing but this\n", "has no rules"),
        ("# " + "x" * 1_000_000, "larger than 1,000,000 bytes"),
    ]:
        path.write_text(content)
        with pytest.raises(RuleError) as caught:
            RuleSet.load(path)
        assert named in str(caught.value)


def test_rules_written_inline_are_named_without_a_line(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text("rule = [{name = 'short'}]")
    with pytest.raises(RuleError, match=r"rules\.toml, rule 'short': when is missing"):
        RuleSet.load(path)


def test_two_rules_of_one_name_are_refused(tmp_path: Path) -> None:
    path = rule_file(tmp_path)
    path.write_text(path.read_text() * 2)
    with pytest.raises(RuleError, match="line 7, rule 'a-rule': another above has this name"):
        RuleSet.load(path)


def test_a_file_may_say_that_it_has_no_rules_on_purpose(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text("rule = []\n")
    assert len(RuleSet.load(path)) == 0


def test_a_rule_without_any_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="sources is empty"):
        RuleSet.load(rule_file(tmp_path, sources=[]))


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=r"absent\.toml: can't be read"):
        RuleSet.load(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[[rule")
    with pytest.raises(RuleError, match=r"broken\.toml: is not valid TOML"):
        RuleSet.load(broken)


def test_a_users_own_head_can_be_asked(tmp_path: Path) -> None:
    heads = (Head(name="mood", labels=("calm", "angry")),)
    path = rule_file(tmp_path, "mood.label == 'angry'")
    assert len(RuleSet.load(path, heads)) == 1
    with pytest.raises(RuleError, match="unknown name 'mood'"):
        RuleSet.load(path)


def test_a_rule_that_errs_on_an_event_is_counted_and_the_others_go_on(tmp_path: Path) -> None:
    path = rule_file(tmp_path, "event.attributes.level > 3")
    sound = (
        path.read_text().replace("a-rule", "sound").replace("event.attributes.level > 3", "true")
    )
    path.write_text(path.read_text() + sound)
    rules = RuleSet.load(path)
    event = scored(attributes={"level": "a string"})
    assert [match.rule.name for match in rules.match(event)] == ["sound"]
    assert rules.errors == {"a-rule": 1}
    assert rules.last_error["a-rule"]


def test_an_attribute_an_event_does_not_carry_is_no_match_and_no_error(tmp_path: Path) -> None:
    rules = load(tmp_path, "event.attributes.plan == 'gold'")
    assert rules.match(scored()) == []
    assert len(rules.match(scored(attributes={"plan": "gold"}))) == 1
    assert not rules.errors


def test_the_version_changes_with_the_rule(tmp_path: Path) -> None:
    first, second = (
        load(tmp_path, when).match(scored())[0].rule.version for when in ("true", "true || false")
    )
    assert first != second


def test_the_example_file_of_the_documentation_is_sound() -> None:
    example = Path(__file__).parents[4] / "examples" / "rules.toml"
    rules = RuleSet.load(example)
    gold = scored(
        source="ticket",
        subjects=(Subject("customer", "c-1"),),
        heads=scores(risk="high"),
        attributes={"plan": "gold"},
    )
    assert [match.title for match in rules.match(gold)] == [
        "Gold customer c-1 needs help",
        "c-1 has been angry for a while",
    ]
    assert len(rules) == 3


@pytest.mark.parametrize(
    "when",
    [
        "event['text'].startsWith('Halcyon')",
        "[event].exists(e, e.title == '' && e.lang == 'en')",
        "sentiment['scores']['negative'] > 0.9",
        "event.source == 'news' && event.tickers == ['HALC'] && risk.scores['low'] > 0.9",
        "'a.b' != event.author && size(event.attributes) == 0",
        r"event.text != r'C:\' && event.title == '' && event.author != 'x'",
        'event.text != """say "it""" && event.title == "" && event.author != "x"',
    ],
)
def test_a_condition_finds_every_field_however_it_is_written(tmp_path: Path, when: str) -> None:
    rules = load(tmp_path, when)
    assert len(rules.match(scored())) == 1
    assert not rules.errors


def windows(*subjects: str, events: int = 3) -> dict[str, Windows]:
    return {name: Windows(events, 0, 0, 0, 1, 1, [0.5] * len(SUMS)) for name in subjects}


def test_a_condition_on_signals_is_asked_for_each_subject(tmp_path: Path) -> None:
    rules = load(
        tmp_path,
        "signal.events >= 3 && subject.relevance > 0.5",
        title="{subject}: {signal.events} events, volume {signal.volume}",
    )
    listed = tuple(Subject("ticker", name, 1.0 - n / 3) for n, name in enumerate("ABC"))
    event = scored(subjects=listed)
    around = windows("ticker:A", "ticker:C") | windows("ticker:B", events=2)
    (match,) = rules.match(event, around)
    assert (match.subject, match.title) == ("ticker:A", "A: 3.00 events, volume 0.50")
    assert match.signal["volume"] == 0.5
    assert list(match.signal) == list(FIGURES)


def test_a_condition_on_signals_says_nothing_of_a_subject_without_windows(tmp_path: Path) -> None:
    rules = load(tmp_path, "signal.events >= 0")
    assert rules.match(scored()) == []
    assert not rules.errors
    assert len(load(tmp_path, "subject.id == 'HALC'").match(scored())) == 1


def test_what_a_rule_does_not_hold_for_is_told_where_it_matters(tmp_path: Path) -> None:
    good = scored(heads=scores(sentiment="positive"))
    when = "sentiment.label == 'negative'"
    for fields, outcomes in [
        ({}, []),
        ({"for": "5m"}, ["fails"]),
        ({"resolve": "sentiment.label == 'positive'"}, ["resolves"]),
        ({"resolve": "sentiment.label == 'neutral'"}, []),
        ({"resolve": "sentiment.label == 'neutral'", "for": "5m"}, ["fails"]),
    ]:
        found = load(tmp_path, when, **fields).match(good)
        assert [match.outcome for match in found] == outcomes, fields
    both = load(tmp_path, "true", resolve="true").match(good)
    assert [match.outcome for match in both] == ["holds"]


def test_a_slow_rule_is_counted_and_the_others_are_not(tmp_path: Path) -> None:
    path = rule_file(tmp_path, "event.text != ''")
    path.write_text(path.read_text() + path.read_text().replace("a-rule", "b-rule"))
    ticks = iter([0.0, 0.1, 0.1, 0.101])
    rules = RuleSet.load(path, clock=lambda: next(ticks), slow_s=0.005)
    assert len(rules.match(scored())) == 2
    assert rules.slow == {"a-rule": 1}


def test_every_fault_of_a_file_is_found_and_the_first_is_the_message(tmp_path: Path) -> None:
    first = rule_file(tmp_path, "nonsense").read_text()
    second = first.replace("a-rule", "b-rule").replace("nonsense", "risk.lable == 'x'")
    path = tmp_path / "rules.toml"
    path.write_text(first + second)
    with pytest.raises(RuleError) as caught:
        RuleSet.load(path)
    assert len(caught.value.faults) == 2
    assert str(caught.value) == caught.value.faults[0]
    assert "line 7, rule 'b-rule'" in caught.value.faults[1]
