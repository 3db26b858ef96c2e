# API, worker, UI and example worlds: one image, four commands. Build from the root of the repository.
# BASE_IMAGE is any Debian 12 with apt; where no registry answers, one made by infra/images/sandbox.sh.
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends chromium fonts-liberation fossil libatomic1 $(command -v python3 >/dev/null || echo python3) \
    && (python3 -m pip --version >/dev/null 2>&1 || apt-get install -y --no-install-recommends python3-venv) \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/keepsake
COPY requirements/main.txt /src/requirements/main.txt
RUN /opt/keepsake/bin/pip install --no-cache-dir --require-hashes --no-deps -r /src/requirements/main.txt
COPY pyproject.toml README.md LICENSE /src/
COPY app /src/app
COPY agents /src/agents
COPY backend /src/backend
COPY ui /src/ui
COPY infra /src/infra
RUN /opt/keepsake/bin/pip install --no-cache-dir --no-deps --no-build-isolation /src
# Named volumes take owner and mode of what they are mounted over.
RUN useradd --uid 64001 --user-group --create-home keepsake \
    && install -d -o keepsake -g keepsake -m 700 /data /key
USER 64001:64001
WORKDIR /data
ENV PATH=/opt/keepsake/bin:$PATH PYTHONUNBUFFERED=1 KEEPSAKE_HOME=/data KEEPSAKE_API_KEY_FILE=/key/api_key
CMD ["keepsake", "--help"]
