"""The ASGI app: routes, guards around them, and what lives as long as the process."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.config import Settings
from backend.api import approvals, artifacts, events, examples, files, health, policies, runs, tasks, training
from backend.auth import Guard
from backend.bodies import Bodies, Idempotency
from backend.engine import Engine
from backend.problems import Problem, install
from backend.promotions import Promotions
from backend.store import Store


def create_app(settings: Settings, store: Store | None = None) -> FastAPI:
    """The API over `settings`. At start it migrates the databases and sees to the first API key; raises StorageError, SetupError then."""
    store = store or Store(settings)
    engine = Engine(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        await store.open()
        await store.keys.ensure_file(settings.key_path)
        yield
        await engine.close()
        await store.close()

    # No documentation pages: they would load scripts from elsewhere into this origin. /openapi.json is all a client needs.
    app = FastAPI(title="Keepsake", version="0.1.0", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.store, app.state.engine, app.state.promotions = store, engine, Promotions(settings)
    for module in (tasks, runs, events, approvals, artifacts, files, examples, policies, training, health):
        app.include_router(module.router)
    install(app)
    app.add_middleware(Idempotency, answers=store.answers)  # innermost; the last added is outermost
    app.add_middleware(Bodies, max_upload_bytes=settings.max_upload_bytes)
    app.add_middleware(Guard, keys=store.keys, allowed_hosts=settings.allowed_hosts)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document with problems, the API key and Idempotency-Key said where they hold."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        components = document.setdefault("components", {})
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        components["schemas"] |= problem.pop("$defs", {}) | {"Problem": problem}
        components["securitySchemes"] = {"apiKey": {"type": "http", "scheme": "bearer", "description": "ks_<id>_<secret>"}}
        for path, operations in document["paths"].items():
            if path.startswith("/v1/"):
                for method, operation in operations.items():
                    operation["security"] = [{"apiKey": []}]
                    if method == "post":
                        operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
        app.openapi_schema = document
    return app.openapi_schema


_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same request under the same key is carried out once and answered the same for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
