# Two images from one file:
#   docker build --target operator -t paddock-operator .
#   docker build --target server   -t paddock-server .       (several GB: torch and CUDA's libraries)
# Versions come from requirements.lock, whose hashes are checked. Both run as user 65532 and write to /tmp only.
# Behind a proxy with its own certificate authority add: --secret id=ca-bundle,src=/etc/ssl/certs/ca-certificates.crt

FROM docker.io/library/debian:bookworm-slim AS python
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
 && groupadd --gid 65532 nonroot \
 && useradd --uid 65532 --gid 65532 --key UID_MAX=65532 --home-dir /tmp --no-create-home \
      --shell /usr/sbin/nologin nonroot
ENV PATH=/opt/paddock/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp LANG=C.UTF-8
WORKDIR /tmp

# uv, an empty virtual environment to fill, and Paddock's wheel with its compiled kernels.
FROM python AS builder
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ libpython3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*
RUN --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export PIP_CERT=/run/secrets/ca-bundle; fi \
 && python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check 'uv>=0.9,<1' \
 && python3 -m venv --without-pip /opt/paddock

# The lock's part for each target: an edit of pyproject.toml that leaves it as it was installs nothing again.
FROM builder AS locked
WORKDIR /locked
COPY pyproject.toml requirements.lock ./
RUN --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export SSL_CERT_FILE=/run/secrets/ca-bundle; fi \
 && compile() { \
      /opt/uv/bin/uv pip compile --quiet --no-cache --no-header --no-annotate --generate-hashes \
        pyproject.toml -c requirements.lock "$@"; \
    } \
 && compile --extra operator -o operator.txt \
 && compile --extra server --extra traces -o server.txt

FROM builder AS wheel
WORKDIR /build
COPY . .
RUN --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export SSL_CERT_FILE=/run/secrets/ca-bundle; fi \
 && /opt/uv/bin/uv build --no-cache --wheel --out-dir /wheel .

FROM python AS operator
COPY --from=builder /opt/paddock /opt/paddock
COPY --from=locked /locked/operator.txt /opt/paddock/requirements.txt
# uv stays in its stage; bytecode is written here, since containers cannot write their own.
RUN --mount=type=bind,from=builder,source=/opt/uv,target=/opt/uv \
    --mount=type=cache,target=/root/.cache/uv --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export SSL_CERT_FILE=/run/secrets/ca-bundle; fi \
 && /opt/uv/bin/uv pip install --cache-dir /root/.cache/uv --link-mode copy --compile-bytecode \
      --python /opt/paddock --require-hashes -r /opt/paddock/requirements.txt
COPY --from=wheel /wheel /opt/paddock/wheel
RUN --mount=type=bind,from=builder,source=/opt/uv,target=/opt/uv \
    /opt/uv/bin/uv pip install --no-cache --offline --compile-bytecode --python /opt/paddock \
      --no-deps /opt/paddock/wheel/*.whl
USER 65532:65532
ENTRYPOINT ["python", "-m", "paddock.operator"]

# Triton compiles its launcher with the system's C compiler when a kernel first runs on a GPU.
FROM python AS server
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev libgomp1 libpython3-dev libstdc++6 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
COPY --from=builder /opt/paddock /opt/paddock
COPY --from=locked /locked/server.txt /opt/paddock/requirements.txt
RUN --mount=type=bind,from=builder,source=/opt/uv,target=/opt/uv \
    --mount=type=cache,target=/root/.cache/uv --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export SSL_CERT_FILE=/run/secrets/ca-bundle; fi \
 && /opt/uv/bin/uv pip install --cache-dir /root/.cache/uv --link-mode copy --compile-bytecode \
      --python /opt/paddock --require-hashes -r /opt/paddock/requirements.txt
COPY --from=wheel /wheel /opt/paddock/wheel
RUN --mount=type=bind,from=builder,source=/opt/uv,target=/opt/uv \
    /opt/uv/bin/uv pip install --no-cache --offline --compile-bytecode --python /opt/paddock \
      --no-deps /opt/paddock/wheel/*.whl
USER 65532:65532
ENTRYPOINT ["python", "-m", "paddock.server"]
