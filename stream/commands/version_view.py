"""One version of the model as a person reads it: where it comes from, who judged it, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models.description import Checkpoint
from models.registry import CHALLENGER, CHAMPION, Alias, Registry
from models.spec import ModelError

SHOWN_CHANGES = 20
# What the rest of a version's training says is told in words of its own.
TOLD = ("parent", "root", "speed", "labels", "labels_fingerprint", "read_up_to")


def lineage(registry: Registry, checkpoint: Checkpoint) -> list[str]:
    """The version and those that it descends from, as far as the registry has them."""
    versions = [checkpoint.version]
    while parent := str(checkpoint.training.get("parent", "")):
        if parent in versions:
            break
        versions.append(parent)
        try:
            checkpoint = registry.describe(parent)
        except ModelError:
            break
    return versions


def moves(registry: Registry, alias: str, version: str) -> list[Alias]:
    """The moves of an alias to that version and away from it: the latter say how it ended."""
    return [move for move in registry.history(alias) if version in {move.version, move.previous}]


def learnt(checkpoint: Checkpoint) -> str:
    """What a trainer's fit was, "" for a version that no trainer made."""
    training = checkpoint.training
    speed = training.get("speed")
    return f"{speed} fit of {training.get('labels', '?')} labels" if speed else ""


def told(
    checkpoint: Checkpoint, descent: Sequence[str], registry: Registry, in_shadow: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """What to print, row by row. in_shadow are the figures of its time in shadow, if known."""
    yield "lineage", " <- ".join(descent)
    if what := learnt(checkpoint):
        yield "learnt", f"{what}, from the weights of {checkpoint.training.get('root', '?')}"
    for name, value in checkpoint.training.items():
        if name not in TOLD:
            yield f"training {name}", _plain(value)
    yield from _verdict(checkpoint.metrics.get("verdict"))
    yield from _history(moves(registry, CHALLENGER, checkpoint.version), checkpoint, "shadow")
    for figures in in_shadow:
        yield "", figures
    yield from _history(moves(registry, CHAMPION, checkpoint.version), checkpoint, "champion")
    for head in checkpoint.heads:
        fine = head.calibration
        doubt = f"temperature {fine.temperature:.3g}, abstains below {fine.abstain_below:.3g}"
        yield f"head {head.name}", f"{len(head.labels)} labels, {doubt}"
    for name, value in checkpoint.metrics.items():
        if name == "reliability":
            yield from _reliability(value)
        elif name != "verdict":
            yield from _figures(name, value)


def _verdict(verdict: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(verdict, Mapping):
        yield "verdict", "none in it: no trainer made it; `feedback status` has what was said since"
        return
    yield "verdict", "promoted" if verdict.get("promoted") else "refused"
    for reason in verdict.get("reasons", ()):
        yield "", str(reason)
    changes = verdict.get("changes", ())
    for change in changes[:SHOWN_CHANGES]:
        between = f"(difference {change['low']:+.3f} to {change['high']:+.3f})"
        moved = f"{change['champion']:.3f} to {change['challenger']:.3f} of {change['n']} texts"
        yield "", f"{change['name']}: {moved} {between}"
    if len(changes) > SHOWN_CHANGES:
        yield "", f"and {len(changes) - SHOWN_CHANGES} more slices; --json has them"


def _history(
    history: Sequence[Alias], checkpoint: Checkpoint, name: str
) -> Iterator[tuple[str, str]]:
    if not history:
        yield name, "never"
    for move in history:
        came = move.version == checkpoint.version
        when = f"{'since' if came else 'until'} {move.since:%Y-%m-%d %H:%M:%S} UTC"
        yield name if move is history[0] else "", f"{when}, by {move.by}: {move.why}"


def _reliability(heads: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A head a row: how sure it was and how often right, where texts were; --json has each bin."""
    for head, bins in heads.items():
        own = [one for one in bins if one["n"]]
        said = (f"{one['confidence']:.2f} right {one['accuracy']:.2f} of {one['n']}" for one in own)
        yield f"reliability: {head}", ", ".join(said)


def _figures(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """A mapping of mappings a row each, and anything else as it stands."""
    if isinstance(value, Mapping) and any(isinstance(one, Mapping) for one in value.values()):
        for part, figures in value.items():
            yield f"{name}: {part}", _plain(figures)
    else:
        yield name, _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
