"""All errors leave as application/problem+json (RFC 9457): typed ones as they are, everything else as an internal error without detail."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from app.errors import KeepsakeError

MEDIA_TYPE = "application/problem+json"
_TITLES = {404: "Not found", 405: "Method not allowed", 413: "Too large", 416: "Range not satisfiable"}
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 416: "range_not_satisfiable"}

log = logging.getLogger("keepsake.api")


class FieldProblem(BaseModel):
    """One thing wrong with a request: where (`body.text`), and what."""

    where: str
    message: str


class Problem(BaseModel):
    """RFC 9457, with Keepsake's own words: whose fault (`boundary`), what to do (`hint`), whether trying again may help."""

    type: str = Field(description="urn:keepsake:problem:<code>")
    title: str
    status: int
    detail: str
    code: str
    boundary: str
    hint: str = ""
    retryable: bool = False
    errors: list[FieldProblem] = Field(default_factory=list)


def respond(problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(problem.model_dump(), status_code=problem.status, headers=headers, media_type=MEDIA_TYPE)


def problem_of(error: KeepsakeError) -> Problem:
    return Problem(
        type=f"urn:keepsake:problem:{error.code}",
        title=error.code.replace("_", " ").capitalize(),
        status=error.status,
        detail=error.message,
        code=error.code,
        boundary=error.boundary,
        hint=error.hint,
        retryable=error.retryable,
    )


def respond_to(error: KeepsakeError) -> JSONResponse:
    """The answer to a typed error; a missing key is told how to present one."""
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return respond(problem_of(error), headers)


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem."""

    async def typed(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, KeepsakeError)
        if error.status >= 500:
            log.error("%s: %s", error.code, error.message)
        return respond_to(error)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        fields = [FieldProblem(where=".".join(str(part) for part in e["loc"]), message=e["msg"]) for e in error.errors()[:20]]
        first = fields[0] if fields else FieldProblem(where="body", message="cannot be read")
        return respond(_plain(422, "invalid_input", f"{first.where}: {first.message}", "Mend what `errors` names.", fields))

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405:  # the router knows only the methods of the first route with this path
            headers["Allow"] = ", ".join(_methods(app, request.url.path)) or headers.get("Allow", "GET")
        code = _CODES.get(error.status_code, "bad_request" if error.status_code < 500 else "internal_error")
        return respond(_plain(error.status_code, code, str(error.detail)), headers)

    async def unknown(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s broke", request.method, request.url.path, exc_info=error)
        return respond(_plain(500, "internal_error", "Something unexpected happened.", "The service's log tells more."))

    app.add_exception_handler(KeepsakeError, typed)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unknown)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for the problems a route may answer with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": "Problem", "content": content} for status in statuses}


def _methods(app: FastAPI, path: str) -> list[str]:
    """Methods of a path, as documented."""
    operations = app.openapi()["paths"].items()
    return sorted({method.upper() for template, methods in operations if compile_path(template)[0].match(path) for method in methods})


def _plain(status: int, code: str, detail: str, hint: str = "", errors: list[FieldProblem] | None = None) -> Problem:
    return Problem(
        type=f"urn:keepsake:problem:{code}",
        title=_TITLES.get(status, code.replace("_", " ").capitalize()),
        status=status,
        detail=detail,
        code=code,
        boundary="user" if status < 500 else "internal",
        hint=hint,
        errors=errors or [],
    )
