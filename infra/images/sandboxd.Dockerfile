# sandboxd: the one service that may run generated code. With bubblewrap inside (default), or in front of a Docker engine of its own
# (KEEPSAKE_SANDBOX=docker, KEEPSAKE_DOCKER_HOST=...). Build from the root of the repository.
#
# bubblewrap in a container runs as this user with `cap_drop: [ALL]`, `read_only: true`, a tmpfs on /tmp and
#   security_opt: [no-new-privileges:true, seccomp=unconfined, systempaths=unconfined]
# (and apparmor=unconfined where the host has AppArmor): without the first "unconfined" it makes no namespace, without the second no /proc.
# It makes no control group there, so give the service a mem_limit.
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap libseccomp2 $(command -v python3 >/dev/null || echo python3) \
    && (python3 -m venv --help >/dev/null && python3 -m pip --version >/dev/null 2>&1 || apt-get install -y --no-install-recommends python3-venv) \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/keepsake
COPY requirements/sandboxd.txt /src/requirements/sandboxd.txt
RUN /opt/keepsake/bin/pip install --no-cache-dir --require-hashes --no-deps -r /src/requirements/sandboxd.txt
COPY pyproject.toml README.md LICENSE /src/
COPY app /src/app
COPY agents /src/agents
COPY infra /src/infra
COPY backend /src/backend
COPY ui /src/ui
RUN /opt/keepsake/bin/pip install --no-cache-dir --no-deps --no-build-isolation /src
USER 64001:64001
WORKDIR /
ENV KEEPSAKE_HOST=0.0.0.0 KEEPSAKE_SANDBOX=bubblewrap KEEPSAKE_SANDBOXD_PORT=8715
EXPOSE 8715
HEALTHCHECK --interval=10s --start-period=20s CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8715/livez', timeout=3)"]
ENTRYPOINT ["/opt/keepsake/bin/python", "-m", "infra.sandboxd"]
