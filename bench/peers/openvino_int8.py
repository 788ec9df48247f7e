"""The expert's own loop with OpenVINO, its encoder in int8 by NNCF's quantisation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import nncf
import openvino
import torch
from torch import nn

from bench.peers import handwritten, scoring
from models.encoder import Encoder
from models.forward_paths import Pool
from models.spec import DEFAULT_HEADS
from trainer.data.dataset import SENTENCES, evenly_spaced, read_sentences

CALIBRATED_ON = 300


class _Pooled(nn.Module):
    """The encoder and the mean over a text's tokens, as one graph."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self._model = encoder.model.eval()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self._model(
            input_ids=input_ids, attention_mask=attention_mask
        ).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(dim=1) / weights.sum(dim=1)


def quantised(encoder: Encoder, texts: Sequence[str]) -> Pool:
    """Calibrated on texts that nobody is measured with."""

    def inputs(some: Sequence[str]) -> dict[str, torch.Tensor]:
        return dict(
            zip(("input_ids", "attention_mask"), encoder.pad(encoder.tokenize(some)), strict=True)
        )

    of_any_size = [openvino.PartialShape([-1, -1])] * 2
    graph = openvino.convert_model(
        _Pooled(encoder), example_input=inputs(texts[:2]), input=of_any_size
    )
    samples = nncf.Dataset(
        texts, lambda text: {name: part.numpy() for name, part in inputs([text]).items()}
    )
    graph = nncf.quantize(graph, samples, model_type=nncf.ModelType.TRANSFORMER)
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    request = openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()

    def pool(tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        ids, mask = encoder.pad(tokens)
        request.infer({"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
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
