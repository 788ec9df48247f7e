"""The expert's own loop with OpenVINO, its encoder in int8 by NNCF's quantisation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import nncf
import numpy as np
import openvino
import torch

from bench.peers import handwritten, scoring
from models.encoder import Encoder
from models.forward_paths import Pool
from models.spec import DEFAULT_HEADS
from trainer.data.dataset import SENTENCES, evenly_spaced, read_sentences

CALIBRATED_ON = 300


def quantised(encoder: Encoder, texts: Sequence[str]) -> Pool:
    """Calibrated on texts that nobody is measured with."""

    def inputs(tokens: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        return dict(zip(("ids", "mask"), encoder.pad(tokens), strict=True))

    def arrays(tokens: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
        return {name: part.numpy() for name, part in inputs(tokens).items()}

    of_any_size = [openvino.PartialShape([-1, -1])] * 2
    graph = openvino.convert_model(
        encoder, example_input=inputs(encoder.tokenize(texts[:2])), input=of_any_size
    )
    samples = nncf.Dataset(texts, lambda text: arrays(encoder.tokenize([text])))
    graph = nncf.quantize(graph, samples, model_type=nncf.ModelType.TRANSFORMER)
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    request = openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()

    def pool(tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        request.infer(arrays(tokens))
        return torch.from_numpy(request.get_output_tensor(0).data.copy())

    return pool


def main() -> None:
    encoder, _ = scoring.shipped_model()
    sentences = evenly_spaced(read_sentences(SENTENCES, DEFAULT_HEADS), CALIBRATED_ON)
    predictor = scoring.padded_predictor()
    pool = quantised(encoder, [example.text for example in sentences])
    predictor._pool = pool  # noqa: SLF001 - all but the encoder is as in every other loop
    asyncio.run(handwritten.main(predictor))


if __name__ == "__main__":
    main()
