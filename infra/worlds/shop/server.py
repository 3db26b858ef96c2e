"""The shop's web server: uvicorn in a thread of its own, so that a busy event loop of the agents cannot starve the site they look at."""

import socket
import threading
import time
from pathlib import Path

import uvicorn

from app.errors import ToolError
from infra.worlds.shop.site import create_app


class ShopServer:
    """Serves one shop file. `port` 0 takes a free one."""

    def __init__(self, path: Path, port: int = 0, host: str = "127.0.0.1") -> None:
        self.path = path
        self.port = port
        self.host = host
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, patience: float = 5.0) -> None:
        """Return when it answers. Raises ToolError when the port is taken or it does not start within `patience` seconds."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
        except OSError as error:
            listener.close()
            raise ToolError(f"The shop cannot listen on port {self.port}: {error.strerror}.", hint="Is the port taken?") from error
        self.port = listener.getsockname()[1]
        app = create_app(self.path)
        config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name=f"shop-{self.port}", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + patience
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                self.stop()
                raise ToolError("The shop's server did not start.")
            time.sleep(0.002)

    def stop(self) -> None:
        """End the server; more than once is fine."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(5)
        self._server = self._thread = None
