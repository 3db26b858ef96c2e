"""A permit: the gate's written leave to carry out exactly one action. Only agents.safety.gate issues them."""

from dataclasses import dataclass

from app.errors import PermitMissing
from app.schemas import Action

_ISSUER = object()


@dataclass(frozen=True)
class Permit:
    """Leave for the action whose digest it carries. Building one outside the gate raises PermitMissing."""

    action_id: str
    digest: str
    issuer: object = None

    def __post_init__(self) -> None:
        if self.issuer is not _ISSUER:
            raise PermitMissing("A permit was made outside the gate.", hint="Send the action through agents.safety.gate.")

    def check(self, action: Action) -> None:
        """Raise PermitMissing unless this permit is for exactly `action`. Every effector calls this first."""
        if self.action_id != action.id or self.digest != action.digest:
            raise PermitMissing(f"The permit is for another action than {action.kind}.", hint="Send the action through agents.safety.gate.")


def issue(action: Action) -> Permit:
    """Make the permit for `action`. A test holds that only agents.safety.gate calls this."""
    return Permit(action.id, action.digest, _ISSUER)
