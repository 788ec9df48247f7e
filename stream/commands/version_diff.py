"""What differs between two versions: rows for people, and field by field for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models.description import Checkpoint
from models.spec import Head

# Of a hash there is no more to say than whether it is the same.
HASH_CHARS = 12
HASHES = ("data_sha256", "labels_fingerprint", "weights_sha256", "encoder_fingerprint")
OF_THE_WHOLE = ("encoder", "encoder_fingerprint", "max_tokens", "weights_sha256")
# How a fit went, epoch by epoch, and how far the topics were read are no settings of it.
NO_SETTINGS = ("epochs", "read_up_to")
SHOWN_ITEMS = 10


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], name: str = ""
) -> Iterator[dict[str, Any]]:
    """Where two descriptions differ, field by field, down to lists and plain values."""
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        field = f"{name}.{key}" if name else key
        if old == new:
            continue
        if all(isinstance(one, Mapping) for one in (old, new) if one is not None):
            yield from differences(old or {}, new or {}, field)
        else:
            yield {"field": field, "before": old, "after": new}


def compared(before: Checkpoint, after: Checkpoint) -> Iterator[dict[str, str]]:
    """What of it a person compares, a short row each: heads with their figures, then settings.

    Bins, epochs and the verdict are left out: differences() and `models show` have them.
    """
    for name in dict.fromkeys(head.name for head in (*before.heads, *after.heads)):
        heads = [
            next((head for head in one.heads if head.name == name), None) for one in (before, after)
        ]
        yield from _rows(f"{name}: ", *map(_of_head, (before, after), heads, reversed(heads)))
    yield from _rows("training ", _settings(before), _settings(after))
    whole = ({name: getattr(one, name) for name in OF_THE_WHOLE} for one in (before, after))
    yield from _rows("", *whole)


def _of_head(version: Checkpoint, head: Head | None, other: Head | None) -> dict[str, Any]:
    """Its labels and those that the other lacks, its figures, and how it is calibrated."""
    if head is None:
        return {}
    said: dict[str, Any] = {"labels": len(head.labels)}
    if other:
        said["labels that the other lacks"] = [
            one for one in head.labels if one not in other.labels
        ]
    said |= _figures(version.metrics.get("reliability", {}).get(head.name, ()))
    for kind, own in {"": head.calibration, **head.by_kind}.items():
        of_kind = f", {kind}" if kind else ""
        said[f"temperature{of_kind}"] = own.temperature
        said[f"abstains below{of_kind}"] = own.abstain_below
    return said


def _figures(bins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the bins of a reliability diagram come to: every way to make a version keeps those."""
    own = [one for one in bins if one["n"]]
    if not own:
        return {}
    texts = sum(one["n"] for one in own)
    right = sum(one["n"] * one["accuracy"] for one in own)
    apart = sum(one["n"] * abs(one["confidence"] - one["accuracy"]) for one in own)
    return {
        "judged by texts": texts,
        "accuracy": f"{right / texts:.3f}",
        "calibration error": f"{apart / texts:.3f}",
    }


def _settings(version: Checkpoint) -> dict[str, Any]:
    """Of the training, flat, but for the name of what all its options stand in."""
    flat: dict[str, Any] = {}
    for name, value in version.training.items():
        if name in NO_SETTINGS:
            continue
        if isinstance(value, Mapping):
            outer = "" if name == "config" else f"{name}: "
            flat |= {f"{outer}{inner}": one for inner, one in value.items()}
        else:
            flat[name] = value
    return flat


def _rows(
    begin: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[dict[str, str]]:
    for name in dict.fromkeys((*before, *after)):
        old, new = (_short(name, one.get(name)) for one in (before, after))
        if before.get(name) != after.get(name):
            yield {"field": f"{begin}{name}", "before": old, "after": new}


def _short(name: str, value: Any) -> str:
    if name in HASHES and value:
        return str(value)[:HASH_CHARS]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        more = ", …" if len(value) > SHOWN_ITEMS else ""
        return ", ".join(map(str, value[:SHOWN_ITEMS])) + more
    return "" if value is None else str(value)
