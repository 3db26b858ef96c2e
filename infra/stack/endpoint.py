"""What a model endpoint can do: does it answer, serve our model, keep to a constraint, and count tokens?"""

import json
from dataclasses import dataclass, field

import httpx

from app.config import Settings

# One word of two, so that the smallest model's answer is valid if and only if the constraint held.
SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string", "enum": ["copper", "kettle"]}},
    "required": ["word"],
    "additionalProperties": False,
}
QUESTION = "Tell me about the weather."


@dataclass(frozen=True)
class Endpoint:
    """`problem` is empty when it answers. `constrained` and `tokenize` are what the first-class features of our own server are."""

    url: str
    problem: str = ""
    models: list[str] = field(default_factory=list)
    constrained: bool = False
    tokenize: bool = False


def ask(settings: Settings) -> Endpoint:
    """Ask the endpoint of these settings: at most three short requests."""
    url = settings.effective_model_url.rstrip("/")
    headers = {"Authorization": f"Bearer {settings.model_key.get_secret_value()}"}
    with httpx.Client(headers=headers, timeout=settings.model_timeout_s) as client:
        try:
            answer = client.get(f"{url}/models", timeout=10.0)
            answer.raise_for_status()
            models = [model["id"] for model in answer.json()["data"]]
        except httpx.HTTPStatusError as error:
            return Endpoint(url, problem=f"answers with status {error.response.status_code}")
        except httpx.HTTPError as error:
            return Endpoint(url, problem=f"does not answer ({type(error).__name__})")
        except (ValueError, KeyError, TypeError):
            return Endpoint(url, problem="answers, but not as an OpenAI-compatible API")
        if settings.model_name not in models:
            return Endpoint(url, models=models)
        return Endpoint(
            url,
            models=models,
            constrained=_constrained(client, url, settings.model_name),
            tokenize=_tokenize(client, url, settings.model_name),
        )


def _constrained(client: httpx.Client, url: str, model: str) -> bool:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 24,
        "temperature": 0,
        "response_format": {"type": "json_schema", "json_schema": {"name": "word", "schema": SCHEMA, "strict": True}},
    }
    try:
        answer = client.post(f"{url}/chat/completions", json=body)
        answer.raise_for_status()
        said = json.loads(answer.json()["choices"][0]["message"]["content"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError, IndexError):
        return False
    return isinstance(said, dict) and said.get("word") in ("copper", "kettle")


def _tokenize(client: httpx.Client, url: str, model: str) -> bool:
    """vLLM's, beside /v1."""
    try:
        answer = client.post(f"{url.removesuffix('/v1')}/tokenize", json={"model": model, "prompt": "Copper kettle"}, timeout=10.0)
        return answer.is_success and isinstance(answer.json().get("count"), int)
    except (httpx.HTTPError, ValueError, AttributeError):
        return False
