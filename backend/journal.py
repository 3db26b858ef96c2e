"""The two doors of agents.journal, opened onto the store for one run."""

from app.schemas import Action
from backend.store.files import Files
from backend.store.turns import Claim, Superseded, Turns


class RunJournal:
    """Intents and artifacts of one run. `claim` is that of the turn under way; without one nothing may be intended."""

    def __init__(self, run_id: str, turns: Turns, files: Files) -> None:
        self.run_id = run_id
        self.claim: Claim | None = None
        self._turns = turns
        self._files = files

    async def intend(self, action: Action, turn: int) -> None:
        """See Journal. Raises Superseded when this try of the turn was overtaken: the effect must not be tried."""
        if self.claim is None:
            raise Superseded
        await self._turns.intend(self.claim, action, turn)

    async def unresolved(self, turn: int) -> Action | None:
        return await self._turns.intent_of(self.run_id, turn)

    async def save(self, name: str, media_type: str, data: bytes) -> str:
        return await self._files.save_artifact(self.run_id, name, media_type, data)
