"""The vectors of our own sentences, cached beside the label log so that a restart computes none."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from models.atomic_files import put_whole, remove_whole
from trainer.promotion.contender import Contender
from trainer.promotion.data_split import split_labels

logger = logging.getLogger(__name__)

VECTORS = "vectors"
# Each deep fit makes another encoder, and somebody may roll back to one of the last.
KEPT = 4


def cache_vectors(contender: Contender, texts: Sequence[str], folder: Path) -> None:
    """Have the contender remember the vectors of texts: from the folder, else computed and kept.

    The file is named by the encoder and the texts, so another encoder never finds it. A damaged one
    is written again, and the last KEPT stay. Where there is no room for one, the next start
    computes them again.
    """
    distinct = list(dict.fromkeys(texts))
    content = "\n".join((contender.encoder_key, str(contender.bf16), *distinct))
    file = folder / f"{VECTORS}-{hashlib.sha256(content.encode()).hexdigest()[:16]}.safetensors"
    try:
        kept = safetensors.torch.load_file(file)[VECTORS]
    except (OSError, KeyError, SafetensorError):
        kept = torch.empty(0)
    if kept.shape == (len(distinct), contender.encoder.hidden):
        contender.vectors_by_text.update(zip(distinct, kept, strict=True))
        return
    vectors = contender.vectors(distinct)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        put_whole(file, safetensors.torch.save({VECTORS: vectors.contiguous()}))
        files = folder.glob(f"{VECTORS}-*.safetensors")
        for old in sorted(files, key=lambda one: one.stat().st_mtime_ns)[:-KEPT]:
            remove_whole(old)
    except OSError as error:
        logger.warning("%s can't be kept (%s); free space there", file, error)


def cache_own_sentences(contender: Contender, folder: Path) -> None:
    """The same for the sentences that judge every challenger and keep it from forgetting."""
    data = split_labels((), {})
    cache_vectors(contender, [one.text for one in (*data.base, *data.reminders)], folder)
