"""Ids that sort by time: a tag, then the 128 bits of a UUIDv7 (RFC 9562) in hexadecimal."""

import secrets
import time


def new_id(tag: str) -> str:
    """For instance `run_0197…`: 48 bits of milliseconds, 74 random bits, version and variant in their places."""
    head = (time.time_ns() // 1_000_000) << 80
    return f"{tag}_{head | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62):032x}"
