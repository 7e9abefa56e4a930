# syntax=docker/dockerfile:1
# The pipeline with its pinned packages, for a machine with or without a GPU:
#   docker build --tag wrist .                          CPU
#   docker build --tag wrist-gpu --build-arg DEVICE=cuda .
#   docker run --init --rm --volume "$PWD:/work" --user "$(id -u):$(id -g)" wrist dvc repro
# --init reaps what a killed stage leaves behind, without which DVC takes a dead process for one that still holds its lock.
ARG PYTHON=3.11.14-slim-bookworm
ARG DEVICE=cpu

FROM python:${PYTHON} AS packages
ARG DEVICE
WORKDIR /build
COPY requirements.lock ./
# The wheels of torch on PyPI bring CUDA's libraries along, 3 GB that a CPU has no use for; its own index has some without,
# whose hashes are not those of the lock.
RUN python -m venv /opt/venv \
 && if [ "$DEVICE" = cpu ]; then \
      sed -E -e 's/ \\$//; /^ /d' \
        -e '/^(cuda-|nvidia-(cu|nc|nv)|triton)/d' \
        -e 's/^(torch|torchvision)==([^+]*)$/\1==\2+cpu/' requirements.lock > chosen.lock; \
    else cp requirements.lock chosen.lock; fi \
 && /opt/venv/bin/pip install --no-cache-dir --no-deps --extra-index-url https://download.pytorch.org/whl/cpu --requirement chosen.lock
# The project itself, by a link to where it is mounted: the command `wrist`, and the version that predictions record.
COPY . /work
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --editable /work

FROM python:${PYTHON}
# git: DVC finds its project by it, and every run records the commit. make: the README's commands.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git make \
 && rm -rf /var/lib/apt/lists/* \
 && git config --system --add safe.directory /work \
 && useradd --create-home --uid 1000 runner
COPY --from=packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    VIRTUAL_ENV=/opt/venv \
    HOME=/tmp \
    DVC_NO_ANALYTICS=1 \
    MLFLOW_DISABLE_TELEMETRY=true
USER 1000
WORKDIR /work
CMD ["dvc", "repro"]
