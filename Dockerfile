# One image for every role; docker-compose.yml names the command of each, and its health check. `make digests` renews
# the digests.

FROM python:3.13-slim@sha256:9662417aace5ae7b8e2609cce472b72a8958e134ba372808abe9cc1a0c0125e6 AS build
RUN python -m venv /opt/penstock
WORKDIR /src
# Before the code, so that this layer stays as long as the pins. As `make setup` does it: every file is compared with
# its hash, and nothing is compiled.
COPY constraints.txt .
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/penstock/bin/pip install --disable-pip-version-check \
        --require-hashes --only-binary :all: --requirement constraints.txt
COPY . .
RUN /opt/penstock/bin/pip install --disable-pip-version-check --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/penstock/bin/pip uninstall --yes setuptools pip

FROM python:3.13-slim@sha256:9662417aace5ae7b8e2609cce472b72a8958e134ba372808abe9cc1a0c0125e6
# A volume that is mounted on /data for the first time takes its owner from here.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin penstock \
    && install --directory --mode=0700 --owner=penstock --group=penstock /data
COPY --from=build /opt/penstock /opt/penstock
# Bytecode is there already, and where the root is read-only there can be no more of it.
ENV PATH="/opt/penstock/bin:$PATH" PENSTOCK_DATA=/data PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /data
USER 10001
CMD ["penstock", "--help"]
