"""A changed rule file comes into force while the worker runs; a faulty one never does."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.spec import DEFAULT_HEADS, Head
from stream.cli import main
from stream.config.settings import Alerting, Settings
from stream.rules.rule_error import RuleError
from stream.rules.rule_set import RuleSet
from stream.rules.rules_live import LiveRules
from stream.runtime import watched_file
from tests.fakes import scored
from tests.until import until

RULE = """
[[rule]]
name = "{name}"
when = 'sentiment.label == "negative"'
subject = "ticker"
severity = "warning"
title = "t"
"""


class Bench:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(RULE.format(name="old"))
        settings = Settings(alerting=Alerting(rules=path))
        self.live = LiveRules(settings, DEFAULT_HEADS)
        self.taken: list[RuleSet] = []

    def write(self, text: str) -> None:
        self.path.write_text(text)
        # A clock that is too coarse to see the change must not decide this test.
        self._times = getattr(self, "_times", 0) + 1
        os.utime(self.path, ns=(self._times * 10**9, self._times * 10**9))

    async def take(self, rules: RuleSet) -> None:
        self.taken.append(rules)

    def names(self) -> set[str]:
        return {match.rule.name for match in self.live.present.match(scored())}


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(watched_file, "LOOK_EVERY_S", 0.01)
    made = Bench(tmp_path / "rules.toml")
    made.live.start(made.take)
    yield made
    await made.live.stop()


async def test_a_good_file_replaces_the_old_rules_which_go_on_being_counted(bench: Bench) -> None:
    assert bench.names() == {"old"}
    bench.live.present.errors["old"] += 3
    bench.write(RULE.format(name="new"))
    await until(lambda: len(bench.taken) == 1)
    assert bench.names() == {"new"}
    assert bench.taken[0].errors == {"old": 3}


async def test_a_cooldown_that_redis_forgets_before_it_is_over_is_warned_of(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.write(RULE.format(name="short") + 'cooldown = "7d"\n')
    await until(lambda: bench.names() == {"short"})
    assert "cooldown" not in caplog.text
    bench.write(RULE.format(name="long") + 'cooldown = "8d"\n')
    await until(lambda: "rule 'long': cooldown 8d is longer than alerting.keep_s" in caplog.text)
    checked = CliRunner().invoke(main, ["rules", "check", str(bench.path)])
    assert checked.exit_code == 0
    assert "warning: rule file" in checked.output
    assert "raise alerting.keep_s" in checked.output
    checked = CliRunner().invoke(main, ["rules", "check", str(bench.path), "--json"])
    assert len(json.loads(checked.stdout)["warnings"]) == 1


async def test_a_bad_file_leaves_the_old_rules_and_is_complained_of_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bad = RULE.format(name="bad").replace("negative", "negativ")
    bench.write(bad)
    await until(lambda: "the old rules stay in force" in caplog.text)
    bench.write(bad)
    bench.write(RULE.format(name="good"))
    await until(lambda: bench.names() == {"good"})
    said = [record.getMessage() for record in caplog.records if "stay in force" in record.msg]
    assert len(said) == 1
    assert "rules.toml, line 2, rule 'bad'" in said[0]
    assert "did you mean 'negative'" in said[0]


async def test_a_file_that_is_gone_for_a_moment_is_read_when_it_is_back(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.path.unlink()
    await until(lambda: "the old rules stay in force" in caplog.text)
    assert bench.names() == {"old"}
    bench.write(RULE.format(name="back"))
    await until(lambda: bench.names() == {"back"})


async def test_a_model_is_held_against_the_rules_in_force_not_a_broken_file(bench: Bench) -> None:
    bench.path.write_text("[[rule]]\nname = ")
    bench.live.check(DEFAULT_HEADS)
    with pytest.raises(RuleError, match="unknown name 'sentiment'"):
        bench.live.check((Head(name="mood", labels=("calm", "angry")),))


async def test_a_model_that_the_rules_do_not_fit_is_refused(bench: Bench) -> None:
    with pytest.raises(RuleError, match="unknown name 'sentiment'"):
        bench.live.check((Head(name="mood", labels=("calm", "angry")),))
