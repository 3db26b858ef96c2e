# The model server on NVIDIA GPUs: vLLM's own image, our launcher, and the weights rebuilt inside. Build from the root of the repository.
ARG BASE_IMAGE=vllm/vllm-openai:v0.32.0
FROM ${BASE_IMAGE}
COPY pyproject.toml README.md LICENSE /src/
COPY app /src/app
COPY agents /src/agents
COPY backend /src/backend
COPY ui /src/ui
COPY infra /src/infra
RUN python3 -m pip install --no-cache-dir accelerate gguf hatchling editables pydantic-settings typer \
    && python3 -m pip install --no-cache-dir --no-deps --no-build-isolation -e /src -e /src/infra/serving
ENV KEEPSAKE_HOME=/opt/keepsake PYTHONUNBUFFERED=1
RUN ln -s "$(python3 -m infra.weights.served --here)" /opt/model && chmod -R a+rX /opt/keepsake
RUN useradd --uid 64001 --user-group --create-home keepsake
USER 64001:64001
WORKDIR /home/keepsake
EXPOSE 8712
HEALTHCHECK --interval=10s --start-period=300s CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8712/health', timeout=3)"]
ENTRYPOINT ["python3", "-m", "keepsake_vllm.launch", "--model", "/opt/model", "--host", "0.0.0.0", "--port", "8712"]
CMD ["--name", "keepsake-135m"]
