"""The console script: `keepsake-vllm serve …` (what `python -m keepsake_vllm.launch` does) and `keepsake-vllm selftest`."""

import sys

USAGE = """usage: keepsake-vllm serve --model DIRECTORY --name NAME --port PORT [options]
       keepsake-vllm selftest [--dtype float32|bfloat16] [--json]
"""


def main() -> int:
    command, rest = (sys.argv[1] if len(sys.argv) > 1 else ""), sys.argv[2:]
    if command == "selftest":
        from keepsake_vllm.selftest import main as selftest

        return selftest(rest)
    if command == "serve":
        from keepsake_vllm.launch import main as serve

        sys.argv = ["keepsake-vllm serve", *rest]
        serve()
        return 0
    sys.stderr.write(USAGE)
    return 0 if command in ("-h", "--help") else 2


if __name__ == "__main__":
    sys.exit(main())
