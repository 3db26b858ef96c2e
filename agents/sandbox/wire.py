"""How an order reaches the supervisor inside a sandbox and how its reply comes back: over pipes, an engine's socket or HTTP alike.

A message is 8 bytes big-endian length, a JSON header of that length, then raw bytes whose sizes the header announces:

    order   Order header, stdin, the workspace's files in the order of `files`
    reply   Reply header, stdout, stderr, the changed files in the order of `changed`

A reply is the program's word: whoever controls the inside may forge one. So every size, count and name is checked here before a byte of
it is used, and nothing is read beyond what the limits allow.
"""

import re
from collections.abc import AsyncIterator
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from agents.sandbox.base import MIB, Limits, StoppedBy
from app.errors import InvalidInput, SandboxFailed

MAX_HEADER = 20 * MIB  # 16,384 names of 512 bytes, every character escaped
MAX_STDIN = 8 * MIB
MAX_WORDS = 100_000  # bytes of argv and env together; Linux takes 128 KiB for one string
LONGEST_PATH, DEEPEST_PATH, LONGEST_NAME = 512, 33, 255
BASE_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def plain_path(path: str) -> str:
    """`path` if it is a relative path of plain, printable names, at most 512 bytes and 33 names; ValueError otherwise."""
    names = path.split("/")
    if not path.isprintable() or len(path.encode()) > LONGEST_PATH or len(names) > DEEPEST_PATH:
        raise ValueError(f"not a plain path: {path[:80]!r}")
    if any(name in {"", ".", ".."} or len(name.encode()) > LONGEST_NAME for name in names):
        raise ValueError(f"not a plain path: {path[:80]!r}")
    return path


def plain_word(word: str) -> str:
    """`word` if the kernel can take it as an argument: UTF-8 without NUL; ValueError otherwise."""
    if "\0" in word:
        raise ValueError("contains a NUL character")
    try:
        word.encode()
    except UnicodeEncodeError:
        raise ValueError("contains a lone surrogate") from None
    return word


PlainPath = Annotated[str, AfterValidator(plain_path)]
PlainWord = Annotated[str, AfterValidator(plain_word)]
Size = Annotated[int, Field(ge=0)]


class Order(BaseModel):
    """What to run, on which files (path, size, executable, mtime in ns), within which limits."""

    model_config = ConfigDict(extra="forbid")
    argv: list[PlainWord] = Field(min_length=1, max_length=1000)
    env: dict[PlainWord, PlainWord] = Field(default_factory=dict, max_length=200)
    limits: Limits = Field(default_factory=lambda: Limits())  # type: ignore[call-arg]
    stdin_size: Annotated[int, Field(ge=0, le=MAX_STDIN)] = 0
    files: list[tuple[PlainPath, Size, bool, int]] = []
    dirs: list[PlainPath] = []
    files_back: bool = True
    # Set by the backend, whoever sends the order.
    count_processes: bool = Field(True, description="Bind `pids` by RLIMIT_NPROC; off where a cgroup does.")
    filter: str = Field("", max_length=100_000, description="seccomp BPF program, base64; see seccomp.py.")

    @model_validator(mode="after")
    def within_bounds(self) -> "Order":
        if not self.argv[0]:
            raise ValueError("argv[0] is empty")
        if sum(len(word.encode()) for word in [*self.argv, *self.env, *self.env.values()]) > MAX_WORDS:
            raise ValueError(f"argv and env are longer than {MAX_WORDS:,} bytes")
        for name in self.env:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError(f"not the name of an environment variable: {name[:80]!r}")
        if self.content_size > self.limits.disk_bytes:
            raise ValueError(f"the files are larger than disk_bytes ({self.limits.disk_bytes:,} bytes)")
        if len(self.files) + len(self.dirs) > self.limits.files:
            raise ValueError(f"more files and directories than `files` allows ({self.limits.files:,})")
        return self

    @property
    def content_size(self) -> int:
        """Bytes of all files together."""
        return sum(size for _, size, _, _ in self.files)

    @property
    def payload_size(self) -> int:
        """Bytes that follow the header."""
        return self.stdin_size + self.content_size


class Reply(BaseModel):
    """What came of an order; the fields are those of ExecResult. `refused` alone: the files did not fit, nothing was run."""

    model_config = ConfigDict(extra="forbid")
    refused: str = ""
    exit_code: Annotated[int, Field(ge=0, le=255)] = 0
    stopped_by: StoppedBy = ""
    truncated: bool = False
    seconds: Annotated[float, Field(ge=0)] = 0.0
    stdout_size: Size = 0
    stderr_size: Size = 0
    changed: list[tuple[str, Size, bool]] = []
    directories: list[str] = []
    gone: list[str] = []
    left_out: list[tuple[str, str]] = Field([], max_length=200)
    left_out_count: Size = 0

    def check(self, limits: Limits) -> None:
        """Raise SandboxFailed unless every size and count is one that an honest supervisor sends under these limits."""
        longest = limits.output_bytes + 100
        honest = (
            max(self.stdout_size, self.stderr_size) <= longest
            and len(self.changed) + len(self.directories) <= limits.files
            and sum(size for _, size, _ in self.changed) <= limits.disk_bytes
            and len(self.gone) <= limits.files
        )
        if not honest:
            raise SandboxFailed("The sandbox's reply is larger than its limits allow; it was not used.")


def frame(header: BaseModel) -> bytes:
    """The length and the JSON of a header."""
    body = header.model_dump_json().encode()
    return len(body).to_bytes(8, "big") + body


class Incoming:
    """Reads exact sizes from an asynchronous stream of byte chunks."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    async def some(self, most: int) -> bytes:
        """Between 1 and `most` bytes; EOFError when the stream has ended."""
        while not self._rest:
            try:
                self._rest = await anext(self._chunks)
            except StopAsyncIteration:
                raise EOFError from None
        part, self._rest = self._rest[:most], self._rest[most:]
        return part

    async def exactly(self, size: int) -> bytes:
        parts = []
        while size:
            parts.append(await self.some(size))
            size -= len(parts[-1])
        return b"".join(parts)

    async def through(self, size: int) -> AsyncIterator[bytes]:
        """The next `size` bytes in chunks."""
        while size:
            part = await self.some(size)
            size -= len(part)
            yield part

    async def header(self) -> bytes:
        """The JSON of the next header; ValueError when its length is absurd."""
        size = int.from_bytes(await self.exactly(8), "big")
        if size > MAX_HEADER:
            raise ValueError(f"a header of {size} bytes")
        return await self.exactly(size)


def parse_order(body: bytes) -> Order:
    """The order in a header. Raises InvalidInput, naming the first field that is wrong."""
    try:
        return Order.model_validate_json(body)
    except ValidationError as error:
        raise InvalidInput(f"The sandbox cannot take this order: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else str(problem["msg"])
