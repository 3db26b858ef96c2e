"""/v1/approvals: what runs ask a person, decided once."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.schemas import Approval, ApprovalDecision, ApprovalStatus, Page
from backend.api.parameters import Cursor, Limit, StoreDep
from backend.problems import documented

router = APIRouter(prefix="/v1/approvals", tags=["approvals"])


@router.get("", responses=documented(401, 422, 503))
async def list_approvals(
    store: StoreDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: ApprovalStatus | None = None,
    run_id: Annotated[str | None, Query(max_length=200)] = None,
) -> Page[Approval]:
    """Approvals, newest first."""
    return await store.approvals.page(cursor, limit, status, run_id)


@router.get("/{approval_id}", responses=documented(401, 404, 422, 503))
async def get_approval(store: StoreDep, approval_id: str) -> Approval:
    return await store.approvals.get(approval_id)


@router.post("/{approval_id}/decide", responses=documented(400, 401, 404, 409, 413, 422, 503))
async def decide_approval(store: StoreDep, approval_id: str, decision: ApprovalDecision) -> Approval:
    """Approve or reject. The same decision again is fine; another one, or one that comes too late, is 409."""
    return await store.approvals.decide(approval_id, decision)
