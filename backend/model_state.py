"""Whether the model endpoint answers, in a word or a sentence. The worker asks: the API need not reach the model's network."""

import httpx

from app.config import Settings

OK = "ok"
TIMEOUT_S = 3.0


async def model_state(client: httpx.AsyncClient, settings: Settings) -> str:
    """`ok`, or what is wrong. Any answer counts but a refused key and a server's own failure: not every endpoint lists its models."""
    headers = {"Authorization": f"Bearer {settings.model_key.get_secret_value()}"}
    try:
        response = await client.get(f"{settings.effective_model_url.rstrip('/')}/models", headers=headers, timeout=TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"does not answer: {type(error).__name__}"
    if response.status_code in (401, 403):
        return f"refuses the key: HTTP {response.status_code}"
    return OK if response.status_code < 500 else f"fails: HTTP {response.status_code}"
