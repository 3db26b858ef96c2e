"""The serving distribution is not installed beside the tests; its modules that need no vLLM are imported from where they lie."""

import sys
from pathlib import Path

SERVING = Path(__file__).parents[4] / "infra" / "serving"

if str(SERVING) not in sys.path:
    sys.path.insert(0, str(SERVING))
