"""The README's table of settings, written from app.config itself:

python -m infra.stack.settings_table README.md      brings the file into step
"""

import json
import sys
from html import escape
from pathlib import Path

from pydantic import SecretStr

from app.config import Settings

BEGIN, END = "<!-- settings: written by `make readme` from app/config.py -->", "<!-- end of settings -->"


def table() -> str:
    """Markdown: variable, default, meaning; in the order of the class."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `KEEPSAKE_{name.upper()}` | {shown(field.default)} | {escape(field.description or '', quote=False)} |")
    return "\n".join(rows)


def shown(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value == "":
        return ""
    return f"`{json.dumps(value)}`" if isinstance(value, list) else f"`{value}`"


def in_step(text: str) -> str:
    """`text` with today's table between the two markers. ValueError where a marker is missing."""
    head, begin, rest = text.partition(BEGIN)
    _, end, foot = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no `{BEGIN}` with `{END}` after it")
    return f"{head}{BEGIN}\n{table()}\n{END}{foot}"


def main() -> int:
    path = Path(sys.argv[1])
    path.write_text(in_step(path.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
