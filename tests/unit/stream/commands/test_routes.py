"""alerts route says who is told, and what in the question can't be meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stream.commands import routes
from stream.config.settings import Settings, load_settings

ROUTES = """
[route]
receiver = "desk"
[[route.routes]]
matchers = ["teem=risk"]
receiver = "desk"
[[inhibit_rules]]
source_matchers = ["zone=eu"]
target_matchers = ["severity=info"]
[[receivers]]
name = "desk"
type = "redis"
stream = "s"
"""
RULES = """
[[rule]]
name = "mine"
when = "true"
subject = "ticker"
severity = "info"
title = "t"
labels = { team = "risk" }
"""


def ask(folder: Path, labels: str, *, table: str = ROUTES, rules: str = RULES) -> Result:
    (folder / "routes.toml").write_text(table)
    (folder / "rules.toml").write_text(rules)
    plain = load_settings(None)
    paths = {"routes": folder / "routes.toml", "rules": folder / "rules.toml"}
    settings: Settings = plain.model_copy(
        update={"alerting": plain.alerting.model_copy(update=paths)}
    )
    return CliRunner().invoke(routes.route, ["--labels", labels, "--json"], obj=settings)


def test_a_secret_that_is_elsewhere_is_no_reason_not_to_answer(tmp_path: Path) -> None:
    hook = '[[receivers]]\nname = "hook"\ntype = "webhook"\nurl_env = "NO_SUCH_SECRET"\n'
    ran = ask(tmp_path, "rule=mine", table=ROUTES + hook)
    assert ran.exit_code == 0
    assert "has no NO_SUCH_SECRET; set it where workers run" in ran.stderr
    # What is wrong with the file itself is still a fault.
    ran = ask(tmp_path, "rule=mine", table=ROUTES + hook.replace("url_env", "topik"))
    assert ran.exit_code == 1


def test_labels_that_no_rule_sets_are_warned_of_in_the_question_and_in_the_file(
    tmp_path: Path,
) -> None:
    table = ROUTES.replace("[[route", 'group_by = ["teamm"]\n[[route', 1)
    table = table.replace('["severity=info"]', '["rule=min"]\nequal = ["subjct"]')
    ran = ask(tmp_path, "rule=mine,severity=info,subject=ticker:A,tea=x", table=table)
    assert ran.exit_code == 0
    assert [line for line in ran.stderr.splitlines() if "'tea'" in line or "'teem'" in line] == [
        "warning: no rule sets a label 'tea'; did you mean 'team'?",
        "warning: no rule sets a label 'teem'; did you mean 'team'?",
    ]
    assert "no rule sets a label 'subjct'; did you mean 'subject'?" in ran.stderr
    assert "no rule sets a label 'teamm'; did you mean 'team'?" in ran.stderr
    assert "there is no rule 'min'; did you mean 'mine'?" in ran.stderr
    assert "no rule sets a label 'zone'; known are rule, severity" in ran.stderr


@pytest.mark.parametrize("rules", [RULES, "no rules"])
def test_nothing_is_said_of_labels_that_rules_set_or_when_rules_are_not_at_hand(
    tmp_path: Path, rules: str
) -> None:
    right = ROUTES.replace("teem", "team").replace("zone=eu", "severity=critical")
    ran = ask(tmp_path, "rule=mine,team=risk", table=right, rules=rules)
    assert (ran.exit_code, ran.stderr) == (0, "")


def test_a_severity_that_is_none_is_refused_with_its_place(tmp_path: Path) -> None:
    ran = ask(tmp_path, "rule=mine", table=ROUTES.replace("teem=risk", "severity=criticl"))
    assert "no alert has the severity 'criticl'" in str(ran.exception)
    assert "route.routes[0].matchers" in str(ran.exception)


def test_a_severity_that_no_alert_has_is_refused_and_not_routed(tmp_path: Path) -> None:
    ran = ask(tmp_path, 'rule=mine,severity="critical"')
    assert ran.exit_code == 2
    assert "no alert has the severity '\"critical\"'; severities are info, warning" in ran.stderr
