"""The API half of the plugin: what clients of vLLM's OpenAI-compatible server see of mementos.

A request passes the `middleware` first: text from outside is made harmless (`untrusted`), choices are checked (`request`), a conversation is
continued by token ids (`sessions`, `splice`). What the engine tells about it arrives through `accounts`; the `reply` carries typed `parts`, what
the cache cost and the conversation's next handle. vLLM's own fields stay what an ordinary client expects (`reasoning`).
"""
