"""The one Settings object. Every knob is named, typed and documented here, and read once at the edge of a process."""

from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

_SECRETS = Path("/run/secrets")  # where compose and Docker put a container's secrets, one file each


MAX_THINKING_BLOCKS = 8  # some 740 tokens of thought: a fifth of the embedded model's context


class Settings(BaseSettings):
    """Environment variables `KEEPSAKE_<FIELD>`, a `.env` file beside the process, or files `keepsake_<field>` in /run/secrets; defaults suit
    one person's own machine."""

    model_config = SettingsConfigDict(
        env_prefix="KEEPSAKE_", env_file=".env", extra="ignore", secrets_dir=_SECRETS if _SECRETS.is_dir() else None
    )

    home: Path = Field(Path("~/.keepsake"), description="All data, logs, keys and weights live below this directory.")

    # Addresses. Everything binds to loopback unless told otherwise.
    host: str = Field("127.0.0.1", description="Address the API and the UI bind to.")
    api_port: int = Field(8710, description="Port of the REST API.")
    ui_port: int = Field(8711, description="Port of the user interface.")
    model_port: int = Field(8712, description="Port of our own model server.")
    shop_port: int = Field(8713, description="Port of the example shop.")
    tracker_port: int = Field(8714, description="Port of the example ticket tracker (Fossil).")
    sandboxd_port: int = Field(8715, description="Port of sandboxd, the service that runs generated code (compose).")
    api_url: str = Field("", description="Where UI and CLI find the API; empty means this machine's.")
    allowed_hosts: list[str] = Field(["127.0.0.1", "localhost", "[::1]"], description="Values of Host and Origin that the API answers to.")

    # Storage.
    database_url: str = Field("", description="SQLAlchemy URL; empty means SQLite below `home`.")
    durable_url: str = Field(
        "",
        description="Where DBOS keeps its steps; empty means a SQLite file of its own, or `database_url` on PostgreSQL.",
    )
    api_key_file: str = Field("", description="File that holds the API key; empty means <home>/api_key.")
    worker_id: str = Field("local", description="Fixed name of this worker: a restart under the same name takes its runs up again.")
    worker_slots: int = Field(2, ge=1, le=64, description="Runs that one worker carries on at a time.")

    # Model.
    model_url: str = Field("", description="OpenAI-compatible base URL; empty means our own server on `model_port`.")
    model_name: str = Field("keepsake-135m", description="Name of the served model.")
    model_key: SecretStr = Field(SecretStr("none"), description="API key of the model endpoint.")
    model_profile: Literal["auto", "compact", "full"] = Field(
        "auto",
        description="Prompt breadth: compact for the embedded model, full for larger ones; auto decides by name.",
    )
    model_context: Literal["text", "stream"] = Field(
        "text",
        description="What the team's model is shown of a run: text (ledger and mementos in every prompt, any endpoint) or stream (the run as one "
        "conversation whose finished blocks our own server evicts; compact profile only, and the weights in production have not learned it yet).",
    )
    model_timeout_s: float = Field(60.0, gt=0, description="A model call with no answer for this long has failed.")
    model_retries: int = Field(2, ge=0, le=10, description="Further tries with the error as feedback.")
    model_thinking_blocks: int = Field(
        0,
        ge=0,
        le=MAX_THINKING_BLOCKS,
        description="Blocks of reasoning forced by the server's grammar before each answer of the team's model; needs our own model server. "
        "0: as the model likes.",
    )
    torch_index: str = Field("", description="Package index that has PyTorch's CPU wheels, where pip's own settings have none.")

    # Team.
    max_task_chars: int = Field(20_000, ge=1, description="Longest task text, in characters.")
    max_upload_bytes: int = Field(20_000_000, ge=1, description="Largest file that is taken, in bytes.")
    approval_hours: float = Field(72.0, gt=0, description="How long an approval is waited for; a decision after that counts as a no.")
    max_stalls: int = Field(3, ge=1, description="Turns without progress before a new plan is made.")
    max_replans: int = Field(2, ge=0, description="New plans before the run gives up.")

    # Tools.
    chromium: Path = Field(Path("/usr/bin/chromium"), description="The browser that Playwright drives.")
    page_timeout_s: float = Field(15.0, gt=0, description="A page that has not loaded by then has failed.")
    sandbox: Literal["auto", "bubblewrap", "docker", "sandboxd"] = Field(
        "auto",
        description="Where generated code runs: auto takes sandboxd if set, then bubblewrap, then Docker; never the host.",
    )
    sandboxd_url: str = Field("", description="Address of sandboxd (compose).")
    sandboxd_token_file: str = Field(
        "", description="File with the bearer token of sandboxd, 16 ASCII characters or more; empty means <home>/sandboxd_token."
    )
    sandbox_image: str = Field("python:3.11-slim", description="Image of the Docker sandbox.")
    docker_host: str = Field("", description="Engine address for the Docker sandbox; empty means docker's own default.")

    def model_post_init(self, _: object) -> None:
        self.home = self.home.expanduser()

    # Places below home, so that no other module spells a path.
    @property
    def data_dir(self) -> Path:
        return self.home / "data"

    @property
    def secrets_path(self) -> Path:
        return self.home / "secrets.yaml"

    @property
    def policies_dir(self) -> Path:
        return self.home / "policies"

    @property
    def log_dir(self) -> Path:
        return self.home / "logs"

    @property
    def weights_dir(self) -> Path:
        return self.home / "weights"

    @property
    def run_dir(self) -> Path:
        """What `keepsake up` started: a record for each process."""
        return self.home / "run"

    @property
    def switch_lock(self) -> Path:
        """Locked by whoever replaces our model server, for as long as that takes (app.lock.held)."""
        return self.run_dir / "model-switch.lock"

    @property
    def env_dir(self) -> Path:
        return self.home / "envs"

    @property
    def key_path(self) -> Path:
        return Path(self.api_key_file) if self.api_key_file else self.home / "api_key"

    @property
    def sandboxd_token_path(self) -> Path:
        return Path(self.sandboxd_token_file) if self.sandboxd_token_file else self.home / "sandboxd_token"

    @property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'keepsake.sqlite'}"

    @property
    def effective_api_url(self) -> str:
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::", ""} else self.host
        return self.api_url or f"http://{host}:{self.api_port}"

    @property
    def effective_model_url(self) -> str:
        return self.model_url or f"http://127.0.0.1:{self.model_port}/v1"

    @property
    def effective_profile(self) -> Literal["compact", "full"]:
        if self.model_profile != "auto":
            return self.model_profile
        return "compact" if self.model_name.startswith("keepsake-") else "full"

    @property
    def own_ports(self) -> set[int]:
        """Ports on private addresses that no agent may ever reach: those of our API, UI, model server, sandbox service and databases."""
        addresses = (self.api_url, self.model_url, self.sandboxd_url, self.docker_host, self.database_url, self.durable_url)
        named = {port for address in addresses if (port := _port(address))}
        return {self.api_port, self.ui_port, self.model_port, self.sandboxd_port} | named


def _port(address: str) -> int | None:
    try:
        return urlsplit(address).port
    except ValueError:
        return None


@lru_cache
def get_settings() -> Settings:
    """The process's settings, read once."""
    return Settings()
