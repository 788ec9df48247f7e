"""Settings come from defaults, file and environment; a wrong one is named with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.config.settings import SettingsError, load_settings


def write(folder: Path, text: str) -> Path:
    path = folder / "bellwether.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_have_the_three_sources_of_the_contract() -> None:
    settings = load_settings(None)
    assert [(source.topic, source.kind) for source in settings.sources] == [
        ("news", "news"),
        ("social", "social"),
        ("tickets", "ticket"),
    ]
    assert settings.topics.scored == "bellwether.scored"


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, '[kafka]\nbootstrap = "file:1"\ngroup = "file"\n')
    monkeypatch.setenv("BELLWETHER_KAFKA__BOOTSTRAP", "environment:2")
    settings = load_settings(path)
    assert settings.kafka.bootstrap == "environment:2"
    assert settings.kafka.group == "file"


def test_a_variable_of_no_section_is_named_and_those_of_others_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BELLWETHER_PORT", "tcp://10.0.0.1:80")
    load_settings(None)
    monkeypatch.setenv("BELLWETHER_ALERTNG__ROUTES", "routes.toml")
    with pytest.raises(SettingsError, match="'ALERTNG'; did you mean 'ALERTING'"):
        load_settings(None)


def test_a_variable_with_one_underscore_for_the_dot_is_refused_and_not_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As Kubernetes sets it beside a service of the name bellwether-redis.
    monkeypatch.setenv("BELLWETHER_REDIS_PORT", "tcp://10.0.0.1:6379")
    load_settings(None)
    monkeypatch.setenv("BELLWETHER_KAFKA_BOOTSTRAP", "kafka:9092")
    with pytest.raises(SettingsError, match="write BELLWETHER_KAFKA__BOOTSTRAP"):
        load_settings(None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BELLWETHER_SOURCES", "news"),
        ("BELLWETHER_MODEL__LANGUAGES", "en,de"),
        ("BELLWETHER_SUBJECTS__FIELDS", "{product}"),
    ],
)
def test_a_variable_that_is_not_json_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("BELLWETHER_KAFKA__GROUP", "desk")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"environment variable {name}: is not JSON"):
        load_settings(None)


def test_a_file_in_the_working_directory_is_read_without_being_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, '[kafka]\ngroup = "here"\n')
    monkeypatch.chdir(tmp_path)
    assert load_settings(None).kafka.group == "here"


def test_a_source_maps_its_own_fields(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[[sources]]\ntopic = "desk.in"\nkind = "ticket"\n[sources.fields]\ntext = "body.text"\n',
    )
    (source,) = load_settings(path).sources
    assert source.fields.text == "body.text"
    assert source.fields.id == "id"


CARDS = "[[queues]]\nname = 'cards'\ntopics = ['cards', 'other']\n"
REST = "[[queues]]\nname = 'rest'\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[kafka]\npartitions = 0\n", "kafka.partitions"),
        ("[kafka]\ngroup = ''\n", "kafka.group"),
        ("[kafka]\nbootstrap = ''\n", "kafka.bootstrap: is ''; write host:port"),
        ("[kafka]\nbootstrap = 'a:9092,b'\n", "kafka.bootstrap"),
        ("[kafka]\nbootstrap = 'a:99999'\n", "kafka.bootstrap"),
        ("[signals]\nlong_half_life_s = inf\n", "signals.long_half_life_s"),
        ("[limits]\nmax_future_s = nan\n", "limits.max_future_s"),
        ("[model]\nlanguages = ['english']\n", "model.languages: holds 'english'"),
        ("[kafka]\nreplication = 0\n", "kafka.replication: is a number of copies"),
        ("[kafka]\nreplication = 100000\n", "kafka.replication"),
        ("[kafka]\nprefix = 'bell wether/'\n", "kafka.prefix: begins names of Kafka topics"),
        ("[alerting]\nkeep_s = 1000000000000000000\n", "alerting.keep_s: is more than ten years"),
        ("[alerting]\nquiet_s = 1e18\n", "alerting.quiet_s: is more than ten years"),
        ("[trainer]\ndeep_after_s = 1e300\n", "trainer.deep_after_s: is more than ten years"),
        ("[alerting]\nstream_length = 10000000000000\n", "alerting.stream_length"),
        ("[trainer]\nremember_events = 10000000000000\n", "trainer.remember_events"),
        *(
            (f"[redis]\nurl = '{url}'\n", "redis.url: may end in the number of a database")
            for url in (
                "redis://localhost:6379/staging",
                "redis://localhost:6379/-1",
                "redis://localhost:6379/0/1",
                "redis://localhost:6379/0?timeout=3",
                "rediss://localhost:6379/0?ssl_cert_reqs=none",
                "redis://localhost:6379/0?password=secret",
            )
        ),
        ("[kafka]\nbootstap = 'x'\n", "kafka.bootstap"),
        ("[model]\nprecision = 'fp8'\n", "model.precision"),
        ("sources = []\n", "sources"),
        ("[[sources]]\ntopic = 'a b'\nkind = 'news'\n", "sources.0.topic"),
        ("[[sources]]\ntopic = 'a'\nkind = 'mail'\n", "sources.0.kind"),
        ("[[sources]]\ntopic = 'a'\nkind = 'news'\n" * 2, "'a' is listed twice"),
        ("[[sources]]\ntopic = 'bellwether.alerts'\nkind = 'news'\n", "kafka.prefix"),
        ("[[queues]]\nname = 'a'\nrisks = ['huge']\n[[queues]]\nname = 'b'\n", "huge"),
        ("[[queues]]\nname = 'review'\n", "queues.0.name"),
        ("[[queues]]\nname = 'only'\ntopics = ['cards']\n", "the last queue 'only'"),
        ("[[queues]]\nname = 'a'\n[[queues]]\nname = 'b'\n", "queues.0: 'a' has no topics, risks"),
        (
            f"{CARDS}[[queues]]\nname = 'b'\ntopics = ['cards']\nrisks = ['high']\n{REST}",
            "queues.1: 'b' never gets a ticket, as 'cards' above takes",
        ),
        (
            f"[[queues]]\nname = 'a'\ntopics = 'x, y'\n{REST}",
            'topics: must be a list, such as ["x", "y"]',
        ),
        (
            f"[[queues]]\nname = 'a'\nheads = {{ q = 'x' }}\n{REST}",
            'q: must be a list, such as ["x"]',
        ),
        ("[model]\nlanguages = 'en'\n", 'model.languages: must be a list, such as ["en"]'),
        ("[model]\nlanguages = 3\n", 'model.languages: must be a list, such as ["…"]'),
        ("[queues]\nname = 'a'\n", "queues: must be a list of tables: write [[queues]]"),
        ("sources = 'news'\n", "sources: must be a list of tables: write [[sources]]"),
        ("[kafka\n", "is not valid TOML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=r"set") as caught:
        load_settings(write(tmp_path, text))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/",
        "rediss://me@localhost:6379/12",
        "unix:///run/redis.sock",
        "unix:///run/redis.sock?db=2",
    ],
)
def test_a_redis_and_its_database_may_be_named_in_these_ways(tmp_path: Path, url: str) -> None:
    text = f"[redis]\nurl = '{url}'\n"
    assert load_settings(write(tmp_path, text)).redis.url == url


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: can't be read"):
        load_settings(tmp_path / "absent.toml")


def test_a_faulty_source_is_told_once(tmp_path: Path) -> None:
    file = tmp_path / "bellwether.toml"
    file.write_text("[[sources]]\ntopic = 'a'\nkind = 'mail'\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(file)
    assert str(caught.value).count("setting ") == 1


def test_several_brokers_may_be_named(tmp_path: Path) -> None:
    file = tmp_path / "bellwether.toml"
    file.write_text("[kafka]\nbootstrap = 'a:9092, [::1]:9093'\n")
    assert load_settings(file).kafka.bootstrap == "a:9092, [::1]:9093"


def test_queues_that_share_only_some_of_their_tickets_are_taken(tmp_path: Path) -> None:
    high = "[[queues]]\nname = 'high'\ntopics = ['cards']\nrisks = ['high']\n"
    partly = "[[queues]]\nname = 'partly'\ntopics = ['cards', 'billing_fees']\n"
    again = "[[queues]]\nname = 'high'\nrisks = ['high']\n"  # either of both fills it
    queues = load_settings(write(tmp_path, f"{high}{CARDS}{partly}{again}{REST}")).queues
    assert [queue.name for queue in queues] == ["high", "cards", "partly", "high", "rest"]
