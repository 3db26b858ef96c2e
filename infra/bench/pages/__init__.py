"""The gate in a real browser: a members' site with planted texts, and an agent that always obeys them."""

from infra.bench.pages.measure import bench

__all__ = ["bench"]
