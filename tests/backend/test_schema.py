"""The API keeps to its own OpenAPI document: schemathesis asks every operation with valid, odd and broken input."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.backend.house import running_house, settings_of

# A part of a form has no type: whatever is sent as the file is a file's bytes, so no form with one can break the schema.
CHECKS = """
[[operations]]
include-name = "POST /v1/files"
checks.negative_data_rejection.enabled = false
"""


@pytest.mark.slow
def test_the_api_keeps_to_its_document(tmp_path: Path) -> None:
    """One check is left out, positive_data_acceptance: a site must be an address and an Idempotency-Key belongs to one request, which a
    schema cannot say."""
    (tmp_path / "schemathesis.toml").write_text(CHECKS)
    with running_house(settings_of(tmp_path), worker=False) as house:
        schemathesis = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{house.url}/openapi.json"]
        options = ["--phases", "fuzzing", "--max-examples", "5", "--seed", "1", "--no-color"]
        options += ["--exclude-checks", "positive_data_acceptance"]
        key = ["-H", f"Authorization: Bearer {house.key}"]
        done = subprocess.run([*schemathesis, *options, *key], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: 36" in done.stdout
