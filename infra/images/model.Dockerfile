# The model server on a processor, environment and weights inside. Build from the root of the repository; about 4 GB.
# PyTorch's CPU build must be found by pip: TORCH_INDEX names a package index that has it.
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libgomp1 libnuma1 $(command -v python3 >/dev/null || echo python3-dev) \
    && (python3 -m pip --version >/dev/null 2>&1 || apt-get install -y --no-install-recommends python3-venv) \
    && rm -rf /var/lib/apt/lists/*
ENV KEEPSAKE_HOME=/opt/keepsake PATH=/opt/own/bin:$PATH PYTHONUNBUFFERED=1
RUN python3 -m venv /opt/own
COPY requirements/sandboxd.txt /src/requirements/sandboxd.txt
RUN /opt/own/bin/pip install --no-cache-dir --require-hashes --no-deps -r /src/requirements/sandboxd.txt
COPY pyproject.toml README.md LICENSE /src/
COPY app /src/app
COPY agents /src/agents
COPY backend /src/backend
COPY ui /src/ui
COPY infra /src/infra
RUN /opt/own/bin/pip install --no-cache-dir --no-deps --no-build-isolation -e /src
ARG TORCH_INDEX=
RUN cd /src && KEEPSAKE_TORCH_INDEX=${TORCH_INDEX} PIP_NO_CACHE_DIR=1 keepsake setup-model
RUN useradd --uid 64001 --user-group --create-home keepsake \
    && ln -s "$(/opt/keepsake/envs/serving/bin/python -m infra.weights.served --here)" /opt/model
USER 64001:64001
WORKDIR /home/keepsake
EXPOSE 8712
HEALTHCHECK --interval=10s --start-period=300s CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8712/health', timeout=3)"]
ENTRYPOINT ["/opt/keepsake/envs/serving/bin/python", "-m", "keepsake_vllm.launch", "--model", "/opt/model", "--host", "0.0.0.0", "--port", "8712"]
CMD ["--name", "keepsake-135m"]
