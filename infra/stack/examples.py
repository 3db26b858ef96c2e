"""The example tasks that the UI offers: their files are uploaded to the running API, and their list is put where it finds it."""

import json

from app.client import KeepsakeClient
from app.config import Settings
from app.schemas import Example
from infra.worlds.demo import examples


def offer(settings: Settings, client: KeepsakeClient) -> list[Example]:
    """Write `<data>/examples.json` anew. Files are uploaded each time: a deleted task takes its own along.

    Raises what the client raises.
    """
    offered = []
    for example in examples(settings):
        files = [client.upload(name, content.encode()).id for name, content in example["files"].items()]
        offered.append(Example.model_validate({**example, "files": files}))
    path = settings.data_dir / "examples.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps([example.model_dump(mode="json") for example in offered], indent=1) + "\n")
    part.replace(path)
    return offered
