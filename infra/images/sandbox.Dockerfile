# The image in which Docker runs generated code: a Python and nothing else. Files, limits and user come with each execution.
# Where no registry answers: infra/images/sandbox.sh makes an image by debootstrap, which can be used as it is or as BASE_IMAGE here.
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}
# What the supervisor needs (agents/sandbox/supervisor.py); a base without it fails here and not at the first execution.
RUN python3 -c "import ctypes, resource, sys; assert sys.version_info >= (3, 9)"
