"""Offline scoring, without Kafka: a file in, scored records out in the same order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import msgspec

from models.atomic_files import put_whole, written_whole
from models.batcher import Batcher
from models.results import Result
from models.spec import Predictor
from stream.config.settings import Settings
from stream.files.lines import InputError, Line, json_object, kind_of, read_lines, unknown_source
from stream.ingest.dead_letter import DeadLetter
from stream.ingest.sources import Decoder
from stream.processing.judge import to_scored, unscorable
from stream.records import Event, Scored, encode, model_text, utc_now
from stream.subjects.copies_in_memory import FirstEvents
from stream.subjects.finder import SubjectFinder

# Lines in work at once: enough to fill batches of one length, little enough to stay in memory.
SLICE_LINES = 2_000


class Summary(msgspec.Struct, frozen=True):
    scored: int
    copies: int
    dead_letters: int
    dead_letter_file: str | None
    model: str


def score_file(
    path: Path,
    output: Path,
    *,
    settings: Settings,
    predictor: Predictor,
    progress: Callable[[int], None] = lambda _lines: None,
) -> Summary:
    """Score every line of path into output; lines that can't be read go beside it, with reasons.

    Both files are written whole or, where anything is raised, left as they were; but the reasons
    are written where they are all there is.
    Raises InputError when a file can't be read or written, or no line of it can be scored, and
    what the model raised when it can't go on.
    """
    refused_path = _where_reasons_go(path, output)
    outcomes = _outcomes(path, settings, predictor, SubjectFinder.load(settings.subjects))
    scored = copies = 0
    refused: list[DeadLetter] = []
    try:
        with _sink(output) as sink:
            for some in outcomes:
                for outcome in some:
                    if isinstance(outcome, DeadLetter):
                        refused.append(outcome)
                        continue
                    sink.write(encode(outcome) + b"\n")
                    scored += 1
                    copies += bool(outcome.copy_of)
                progress(len(some))
            if refused:
                put_whole(refused_path, b"".join(letter.encode() + b"\n" for letter in refused))
            else:
                refused_path.unlink(missing_ok=True)
            if refused and not scored:
                raise _nothing_scored(path, refused, refused_path)
    except OSError as error:
        raise InputError(
            f"output file {output} can't be written: {error.strerror or error}"
        ) from error
    return Summary(
        scored=scored,
        copies=copies,
        dead_letters=len(refused),
        dead_letter_file=str(refused_path) if refused else None,
        model=predictor.version,
    )


def _where_reasons_go(path: Path, output: Path) -> Path:
    """Where the reasons go, beside an output that can be written."""
    if output.is_dir():
        raise InputError(f"output file {output} can't be written: it is a folder; name a file")
    refused_path = output.with_name(f"{output.name}.dead-letters.jsonl")
    for written in (output, refused_path):
        if written.exists() and path.exists() and written.samefile(path):
            raise InputError(
                f"input file {path} is also where {written} would be written; name another --output"
            )
    return refused_path


def _outcomes(
    path: Path, settings: Settings, predictor: Predictor, subjects: SubjectFinder
) -> Iterator[list[Scored | DeadLetter]]:
    """Of each slice what can't be decoded, then the others in their order."""
    first_events = FirstEvents(settings.novelty)
    for decoded in _decoded_slices(path, settings):
        outcomes: list[Scored | DeadLetter] = [
            one for _, one in decoded if isinstance(one, DeadLetter)
        ]
        work = [(line, one) for line, one in decoded if isinstance(one, Event)]
        results = score_in_order(
            [event for _, event in work], predictor, settings.model.max_batch_tokens
        )
        for (line, event), result in zip(work, results, strict=True):
            now = utc_now()
            if result.scores is None:
                outcomes.append(unscorable(line, result.error, now))
                continue
            scored = to_scored(
                event,
                result.scores,
                subjects=subjects,
                languages=settings.model.languages,
                model=result.model,
                batch=result.batch,
                now=now,
            )
            outcomes.append(first_events.mark(scored))
        yield outcomes


def _nothing_scored(path: Path, refused: Sequence[DeadLetter], reasons: Path) -> InputError:
    counts = Counter(letter.reason for letter in refused).most_common()
    told = ", ".join(f"{count} {reason}" for reason, count in counts)
    return InputError(
        f"input file {path}: no line can be scored ({told}; the first: "
        f"{refused[0].detail}); the reasons are in {reasons}"
    )


def _sink(output: Path) -> AbstractContextManager[BinaryIO]:
    if output.exists() and not output.is_file():
        # A pipe or /dev/null takes what comes; a folder says that it is none.
        return output.open("wb")
    # A link goes on leading to where it led.
    return written_whole(output.resolve())


def score_in_order(
    events: Sequence[Event], predictor: Predictor, max_batch_tokens: int
) -> list[Result[int]]:
    """Score events through the batcher of the stream; results in the order of events."""
    results: dict[int, Result[int]] = {}
    failure: list[Exception] = []

    def deliver(batch: list[Result[int]]) -> None:
        results.update((result.item, result) for result in batch)

    batcher: Batcher[int] = Batcher(
        predictor,
        max_batch_tokens=max_batch_tokens or predictor.batch_tokens,
        kind_of=lambda place: events[place].source,
        deliver=deliver,
        broken=failure.append,
    )
    batcher.submit(
        [(place, model_text(event.title, event.text)) for place, event in enumerate(events)]
    )
    batcher.start()
    while not batcher.stop(timeout_s=1.0):
        pass
    if failure:
        raise failure[0]
    return [results[place] for place in range(len(events))]


def _decoded_slices(
    path: Path, settings: Settings
) -> Iterator[list[tuple[Line, Event | DeadLetter]]]:
    decoders: dict[str, tuple[str, Decoder]] = {
        source.kind: (source.topic, Decoder(source, settings.limits))
        for source in reversed(settings.sources)
    }
    # What is no object is a dead letter of whichever decoder.
    first = settings.sources[0].kind
    decoded: list[tuple[Line, Event | DeadLetter]] = []
    for _, number, line in read_lines([path]):
        place = number - 1
        fields = json_object(line)
        kind = first if fields is None else kind_of(fields, decoders)
        if kind is None:
            record = Line(path.name, place, line)
            decoded.append((record, unknown_source(record, decoders)))
        else:
            topic, decoder = decoders[kind]
            record = Line(topic, place, line)
            decoded.append((record, decoder.decode(record, utc_now())))
        if len(decoded) == SLICE_LINES:
            yield decoded
            decoded = []
    if decoded:
        yield decoded
