"""Claims about training that need torch. Each function of the two modules takes an empty directory and fails by an exception;
test_torch_claims.py runs them in the training environment, all in one process, since importing torch takes longer than any of them.

    .venv-train/bin/python -m tests.infra.training.torch_claims DIRECTORY        prints {claim: traceback or null}
"""

import json
import sys
import time
import traceback
from pathlib import Path
from types import FunctionType

import torch

from tests.infra.training import forward_claims, run_claims
from tests.infra.training.forward_claims import Skipped


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    results: dict[str, dict[str, object]] = {}
    for module in (forward_claims, run_claims):
        for name, claim in vars(module).items():
            if not isinstance(claim, FunctionType) or claim.__module__ != module.__name__ or name[0] == "_":
                continue
            started = time.monotonic()
            skipped = failed = None
            (folder / name).mkdir()
            try:
                claim(folder / name)
            except Skipped as reason:
                skipped = str(reason)
            except Exception:
                failed = traceback.format_exc()
            results[name] = {"failed": failed, "skipped": skipped, "seconds": round(time.monotonic() - started, 2)}
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
