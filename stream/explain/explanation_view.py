"""Explanations for people: words in the colour of what they add, and the figures beside them."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from models.explanation import Attribution, Word
from stream.explain.explanation import (
    ExplainedAlert,
    ExplainedEvent,
    ExplainedHead,
    ExplainedText,
    Replay,
)
from stream.terminal import show

# A word that adds half as much as the one that adds most is worth a glance.
STRONG, SOME = 0.5, 0.15
LISTED_WORDS = 8
FIGURE_DIGITS = 4
"""Significant ones; those of SIGNAL_DIGITS stand behind the point."""


def print_text(explained: ExplainedText) -> None:
    show.stdout.print(Text(f"model {explained.model}", style="dim"))
    for part in _heads(explained):
        show.stdout.print(part)


def print_alert(explained: ExplainedAlert) -> None:
    show.stdout.print(_alert(explained))
    for event in explained.events:
        show.stdout.print(_event(event))
    if explained.replay:
        show.stdout.print(_replay(explained.replay))


def _alert(explained: ExplainedAlert) -> RenderableType:
    alert = explained.alert
    grid = Table.grid(padding=(0, 2))
    rule = explained.rule
    version = f"{alert.rule} {alert.rule_version}"
    if rule is None:
        version += "; the rules hold it no more"
    elif explained.rule_changed:
        version += "; it reads otherwise now:"
    rows = {
        "alert": f"{alert.id}, {alert.state}, {alert.severity}",
        "subject": alert.subject,
        "events": f"{alert.count}, {alert.first_seen:%Y-%m-%d %H:%M} to "
        f"{alert.last_seen:%Y-%m-%d %H:%M} UTC",
        "rule": version,
        "when": str(rule["when"]) if rule else "",
        "ended on": alert.condition if alert.ended_by else "",
        "signal at its end" if alert.ended_by else "signal": ", ".join(
            f"{name} {_figure(value)}" for name, value in alert.signal.items()
        ),
        "model": alert.model,
        "related": ", ".join(explained.related),
    }
    for name, value in rows.items():
        if value:
            grid.add_row(Text(name, style="dim"), Text(show.whole(value)))
    return _panel(grid, alert.title)


def _event(event: ExplainedEvent) -> RenderableType:
    copies = f", {event.copies} cop{'y' if event.copies == 1 else 'ies'}" if event.copies else ""
    title = f"{event.source} {event.event_id}, {event.time:%Y-%m-%d %H:%M:%S} UTC{copies}"
    return _panel(Group(*_heads(event.explained)), title)


def _heads(explained: ExplainedText) -> Iterator[RenderableType]:
    if explained.unreadable:
        yield Text(f"unreadable: {show.plain(explained.unreadable)}; every head abstains")
    for name, head in explained.heads.items():
        yield _head(name, head, explained.unreadable)


def _head(name: str, head: ExplainedHead, unreadable: str) -> RenderableType:
    attribution = head.attribution
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    why = "unreadable" if unreadable else f"below {head.abstain_below:.2f}"
    abstained = f", abstained: {why}" if head.score.abstained else ""
    others = ", ".join(
        f"{label} {score:.2f}"
        for label, score in sorted(head.score.scores.items(), key=lambda one: -one[1])[1:4]
    )
    answer = Text.assemble(
        (show.plain(head.score.label), "bold"),
        f" {head.score.confidence:.2f}{abstained}  ({show.plain(others)})",
    )
    grid.add_row(show.plain(name), answer)
    grid.add_row("text", _coloured(attribution))
    grid.add_row("words", _strongest(attribution))
    grid.add_row(
        "sum",
        f"{attribution.log_odds - attribution.baseline:+.2f} log-odds from the words, "
        f"{attribution.baseline:+.2f} without them; exact to {attribution.error:.3f}",
    )
    edit = head.smallest_edit
    if edit:
        removed = ", ".join(_quoted(word) for word in edit.removed)
        grid.add_row("without", Text(f"{removed}: {show.plain(edit.label)} {edit.confidence:.2f}"))
    else:
        grid.add_row("without", "no small edit found that changes the label")
    for number, neighbour in enumerate(head.nearest):
        line = f"{neighbour.similarity:.2f} {neighbour.label}: {neighbour.text}"
        grid.add_row("" if number else "nearest", Text(show.whole(line)))
    return grid


def _coloured(attribution: Attribution) -> Text:
    """The text with what speaks for the label in green and against it in red."""
    most = max((abs(word.weight) for word in attribution.words), default=0.0)
    text = Text()
    for word in attribution.words:
        text.append(show.plain(word.text), style=_style(word, most))
        text.append(" ")
    return text


def _style(word: Word, most: float) -> str:
    if not word.read:
        return "strike dim"
    share = abs(word.weight) / most if most else 0.0
    if share < SOME:
        return ""
    colour = "green" if word.weight > 0 else "red"
    return f"bold {colour}" if share >= STRONG else colour


def _strongest(attribution: Attribution) -> Text:
    words = sorted(attribution.words, key=lambda word: -abs(word.weight))[:LISTED_WORDS]
    return Text(", ".join(f"{_quoted(word.text)} {word.weight:+.2f}" for word in words))


def _quoted(word: str) -> str:
    """Words keep their commas, so quotes tell where one ends."""
    return f'"{show.plain(word)}"'


def _replay(replay: Replay) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for event in replay.events:
        verdict = "the same answers" if event.matches else "OTHER scores"
        source = "the log" if event.read_from == "log" else "the alert, as the log has it no more"
        grid.add_row(
            Text(show.plain(event.event_id)),
            f"{verdict}, {event.difference:.4f} apart; read from {source}",
        )
    decision = replay.decision
    why = show.whole(decision.why)
    same = f"the same, {why}" if why else "the same"
    grid.add_row("decision", Text(same if decision.repeated else f"not repeated: {why}"))
    title = "replay: all matches" if replay.matches else "replay: differs"
    return _panel(grid, title)


def _panel(content: RenderableType, title: str) -> RenderableType:
    """As wide as what it holds: what reads a pipe has no width."""
    return Panel(content, title=Text(show.plain(title)), title_align="left", expand=False)


def _figure(value: object) -> str:
    return f"{value:.{FIGURE_DIGITS}g}" if isinstance(value, float) else str(value)
