"""`python -m infra.sandboxd`: serve on KEEPSAKE_HOST and KEEPSAKE_SANDBOXD_PORT with whatever sandbox this machine has."""

import logging
import sys

import uvicorn

from agents.sandbox.choice import local, token
from app.config import get_settings
from app.errors import KeepsakeError
from infra.sandboxd.service import create_service


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    settings = get_settings()
    try:
        service = create_service(local(settings), token(settings))
    except KeepsakeError as error:
        sys.exit(f"sandboxd cannot start: {error.message} {error.hint}")
    uvicorn.run(service, host=settings.host, port=settings.sandboxd_port, log_level="warning", server_header=False)


if __name__ == "__main__":
    main()
