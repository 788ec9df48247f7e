"""What drift remembers survives a restart; what can't be trusted is thrown away, aloud."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from trainer.promotion.drift import Answers, Drift, Seen
from trainer.promotion.drift_file import DRIFT_FILE, load_seen, peek_seen, save_seen


@pytest.fixture
def seen() -> Seen:
    drift = Drift(0.25)
    answers = [
        Answers("news", "v1", {"mood": ("good" if n % 3 else "bad", n % 10 / 10)})
        for n in range(2_500)
    ]
    drift.note(answers, "v1")
    drift.note_tried()
    return drift.seen


def test_what_was_kept_is_there_again(tmp_path: Path, seen: Seen) -> None:
    folder = tmp_path / "trainer"
    save_seen(folder, seen)
    assert load_seen(folder, "v1") == seen
    assert [one.name for one in folder.iterdir()] == [DRIFT_FILE]


def test_who_only_looks_leaves_the_file_as_it_is(tmp_path: Path, seen: Seen) -> None:
    assert peek_seen(tmp_path) is None
    save_seen(tmp_path, seen)
    assert peek_seen(tmp_path) == seen
    file = tmp_path / DRIFT_FILE
    file.write_bytes(file.read_bytes()[:-7])
    assert peek_seen(tmp_path) is None
    assert file.exists()


def test_without_a_file_there_is_nothing_and_nothing_to_say(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert load_seen(tmp_path, "v1") == Seen("v1")
    assert caplog.text == ""


def test_a_torn_file_is_thrown_away_at_whatever_place_it_ends(
    tmp_path: Path, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    save_seen(tmp_path, seen)
    file = tmp_path / DRIFT_FILE
    whole = file.read_bytes()
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        assert load_seen(tmp_path, "v1") == Seen("v1")
        assert not file.exists()
    assert "is damaged and is thrown away" in caplog.text


def test_a_file_about_another_champion_is_thrown_away(
    tmp_path: Path, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    save_seen(tmp_path, seen)
    assert load_seen(tmp_path, "v2") == Seen("v2")
    assert "is about v1, not about the champion v2" in caplog.text
    assert not (tmp_path / DRIFT_FILE).exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((b'"format":1', b'"format":2'), "has format 2"),
        ((b'"good":666', b'"good":667'), "does not add up"),
        ((b'"good":666', b'"good":-1'), "is damaged"),
        ((b'"good":666', b'"good":"many"'), "is damaged"),
        ((b'"shifts"', b'"sh\xffts"'), "is damaged"),
        ((b'"tried":{', b'"tried":{"un":1.0'), "is damaged"),
    ],
)
def test_a_file_that_somebody_changed_is_thrown_away(
    tmp_path: Path,
    seen: Seen,
    caplog: pytest.LogCaptureFixture,
    change: tuple[bytes, bytes],
    words: str,
) -> None:
    save_seen(tmp_path, seen)
    file = tmp_path / DRIFT_FILE
    content = file.read_bytes()
    assert change[0] in content
    file.write_bytes(content.replace(*change, 1))
    assert load_seen(tmp_path, "v1") == Seen("v1")
    assert words in caplog.text


def test_counts_beyond_a_window_are_of_another_program(tmp_path: Path, seen: Seen) -> None:
    longer = msgspec.structs.replace(seen.pairs[0].reference, labels={"good": 1_500})
    longer.confidence = {"3": 1_500}
    seen.pairs[0].reference = longer
    save_seen(tmp_path, seen)
    assert load_seen(tmp_path, "v1") == Seen("v1")
