"""/v1/examples: tasks that work at once. Whoever starts the example worlds writes them to <data>/examples.json; without that there are none."""

import asyncio
import json

from fastapi import APIRouter
from pydantic import TypeAdapter, ValidationError

from app.config import Settings
from app.errors import SetupError
from app.schemas import Example, Page
from backend.api.parameters import StoreDep
from backend.problems import documented

router = APIRouter(prefix="/v1/examples", tags=["examples"])
_EXAMPLES = TypeAdapter(list[Example])


@router.get("", responses=documented(401, 503))
async def list_examples(store: StoreDep) -> Page[Example]:
    """Example tasks, ready to be posted to /v1/tasks (without `title`)."""
    return Page[Example](items=await read_examples(store.settings))


async def read_examples(settings: Settings) -> list[Example]:
    """The tasks on offer; none where nobody offered any. Raises SetupError."""
    try:
        text = await asyncio.to_thread((settings.data_dir / "examples.json").read_text)
    except FileNotFoundError:
        return []
    try:
        return _EXAMPLES.validate_python(json.loads(text))
    except (ValueError, ValidationError):
        raise SetupError("The example tasks cannot be read.", hint="`keepsake up` writes them anew.") from None
