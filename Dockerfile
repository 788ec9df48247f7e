# Worker, trainer and console; TORCH=cuda (the default) needs no more, TORCH=cpu needs TORCH_INDEX, see README.md.
FROM python:3.12-slim AS build
ARG TORCH=cuda
ARG TORCH_INDEX=
WORKDIR /app
RUN python -m venv /app/.venv
COPY requirements ./requirements
RUN requirements/install .venv/bin/python requirements/runtime.txt "$TORCH" "$TORCH_INDEX"
COPY pyproject.toml README.md LICENSE ./
COPY models ./models
COPY stream ./stream
COPY trainer ./trainer
RUN .venv/bin/python -m pip install --no-deps --no-build-isolation .

FROM python:3.12-slim
RUN useradd --create-home bellwether
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
USER bellwether
WORKDIR /home/bellwether
# A volume mounted over a folder of the image takes its owner.
RUN mkdir models bellwether-trainer
# Settings come from BELLWETHER_ variables or a bellwether.toml mounted into the working folder.
CMD ["bellwether", "worker"]
