"""/v1/policies: how freely a run may act, and what a policy would have asked in runs that are over."""

import asyncio
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from agents.safety.log import Record, Trial
from app.policies.base import PolicyFile, PolicyItem
from app.policies.files import chosen, offered
from app.schemas import Page, PolicyChoice
from backend.api.parameters import StoreDep
from backend.problems import documented

router = APIRouter(prefix="/v1/policies", tags=["policies"])


class TrialRequest(BaseModel):
    """A policy, and the runs whose actions it is to be tried on: those named, or the last ones."""

    model_config = ConfigDict(extra="forbid")
    policy: PolicyChoice
    runs: list[Annotated[str, Field(max_length=80)]] = Field(default_factory=list, max_length=100)
    last: int = Field(20, ge=1, le=100, description="How many of the last runs, where none is named.")


@router.get("", responses=documented(401, 503))
async def list_policies(store: StoreDep) -> Page[PolicyItem]:
    """Policies to choose from: Keepsake's, and the files in <home>/policies."""
    return Page[PolicyItem](items=await asyncio.to_thread(offered, store.settings.policies_dir))


@router.post("/try", responses=documented(400, 401, 404, 413, 422, 503))
async def try_policy(store: StoreDep, asked: TrialRequest) -> Trial:
    """What the policy would have asked and refused in past runs. Nothing is carried out, nothing is kept."""
    policy = await asyncio.to_thread(chosen, store.settings.policies_dir, asked.policy)
    runs = asked.runs or [run.id for run in (await store.runs.page(None, asked.last)).items]
    records = {run: await store.runs.decisions(run) for run in dict.fromkeys(runs)}
    return await asyncio.to_thread(_tried, records, policy, store.settings.own_ports)


def _tried(records: dict[str, Record], policy: PolicyFile, own_ports: set[int]) -> Trial:
    trial = Trial()
    for run_id, record in records.items():
        trial.add(run_id, record, own_ports, policy)
    return trial
