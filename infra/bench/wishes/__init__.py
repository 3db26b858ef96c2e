from infra.bench.wishes.measure import bench

__all__ = ["bench"]
