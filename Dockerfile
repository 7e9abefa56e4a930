# syntax=docker/dockerfile:1
# What the pipeline needs, without what only its tests need, for a machine with or without a GPU:
#   docker build --tag wrist .                          CPU
#   docker build --tag wrist-gpu --build-arg DEVICE=cuda .
#   docker run --init --rm --volume "$PWD:/project" --user "$(id -u):$(id -g)" wrist dvc repro
# --init reaps what a killed stage leaves behind, without which DVC takes a dead process for one that still holds its lock.
# The digest is that of the tag's list of machines, `docker buildx imagetools inspect python:3.11.14-slim-bookworm`.
ARG PYTHON=3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

# One file of pins for each layer of packages: the layer is made again when its own file changes, and not before.
FROM python:${PYTHON} AS pins
ARG DEVICE=cpu
WORKDIR /pins
COPY requirements.lock ./
# The wheels of torch on PyPI bring CUDA's libraries along, 3 GB that a CPU has no use for; its own index has some without,
# whose hashes are not those of the lock.
RUN awk '/^[^ ]/ { file = /^(torch|torchvision|triton)==|^cuda-|^nvidia-(cu|nc|nv)/ ? "torch.lock" : "others.lock" } \
         { print > file }' requirements.lock \
 && if [ "$DEVICE" = cpu ]; then \
      sed -n -E -i -e '1i --extra-index-url https://download.pytorch.org/whl/cpu' \
        -e 's/^(torch|torchvision)==([^ +]*).*/\1==\2+cpu/p' torch.lock; \
    fi

FROM python:${PYTHON}
# git: DVC finds its project by it, and every run records the commit. make: the README's commands.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git make \
 && rm -rf /var/lib/apt/lists/* \
 && git config --system --add safe.directory /project \
 && useradd --create-home --uid 1000 runner \
 && python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    VIRTUAL_ENV=/opt/venv \
    HOME=/tmp \
    DVC_NO_ANALYTICS=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    GX_ANALYTICS_ENABLED=false \
    ORT_DISABLE_TELEMETRY=1 \
    HF_HUB_DISABLE_TELEMETRY=1
COPY --from=pins /pins/torch.lock /opt/pins/
RUN pip install --no-cache-dir --no-deps --requirement /opt/pins/torch.lock
COPY --from=pins /pins/others.lock /opt/pins/
RUN pip install --no-cache-dir --no-deps --requirement /opt/pins/others.lock
# The project itself, by a link to where it is mounted: the command `wrist`, and the version that predictions record.
COPY pyproject.toml README.md LICENSE /project/
COPY stages /project/stages
COPY tools /project/tools
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable /project
# The folder that `make setup` enters in .dvc/config.local has another path in here.
ENV DVC_SITE_CACHE_DIR=/tmp/dvc-site-cache
USER 1000
WORKDIR /project
CMD ["dvc", "repro"]
