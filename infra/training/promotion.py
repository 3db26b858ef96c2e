"""Promotion of a version into the running server, and the way back. Nothing that is served changes unless every gate passes and the new weights
answer; whatever goes wrong in between leaves aliases and server as they were.
"""

import contextlib
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

from app.config import Settings
from app.errors import Conflict, KeepsakeError, ModelUnavailable, NotFound, PolicyError, StorageError
from app.registry import PROMOTION, Aliases, Gate, Promotion, PromotionStatus, Version
from infra.serving_process import find
from infra.stack.switching import failed_log, switch_model
from infra.training.candidate import Candidate
from infra.training.gates import benches, judge
from infra.training.manifest import write_json
from infra.training.measuring import BENCHES, Run, measure, measured
from infra.training.registry import Registry
from infra.weights.added import EMBEDDED
from infra.weights.served import build_served, build_version, make_room
from infra.weights.shipped import newest_production

Say = Callable[[str], None]
Verb = Literal["promote", "rollback"]


def promote(settings: Settings, candidate: Candidate, say: Say, again: bool = False, run_bench: Run | None = None) -> Version:
    """Register `candidate`, check its gates, and make it production. Returns its version.

    `again`: run the benches that the gates need first; otherwise what they said of these weights before counts. Raises PolicyError, which names
    each gate that fails: the version is in the registry then, as candidate, and production is what it was. Raises also what reading, building
    and starting raise; production is what it was then, too.
    """
    registry, asked = Registry(settings), candidate.version.gates
    known = measured(settings, candidate.rebuilt)
    if again:
        names = benches(judge(asked, {}, None), list(BENCHES))
        known = measure(settings, names, candidate.weights(settings), candidate.rebuilt, run_bench)
    metrics = {**candidate.version.metrics, **known}
    with registry.locked(), _told(registry, "promote", candidate.name, say) as tell:
        serving = _serving(registry)
        gates = judge(asked, metrics, _readable(registry, serving, tell))
        version = candidate.version
        if not candidate.registered or metrics != version.metrics:
            version = registry.register(version.model_copy(update={"metrics": metrics, "gates": gates}), candidate.path())
        aliases = registry.aliases()
        if version.version == serving:
            tell(f"{serving} is production already")
            _into_service(settings, registry, aliases, version, tell)
            return version
        registry.point(aliases.model_copy(update={"candidate": version.version}))
        if failing := [gate for gate in gates if not gate.passed]:
            raise _refusal(version, failing, len(gates))
        tell(f"{version.version} passes all {len(gates)} gates")
        _into_service(settings, registry, Aliases(production=version.version, previous=serving), version, tell)
        return version


def rollback(settings: Settings, say: Say, to: str | None = None) -> Version:
    """Make the previous version production again, and production the previous one. Returns what is production now.

    `to`: the version that is meant; if it is production already nothing changes, so that asking twice does not go there and back. Raises
    Conflict when there is none to go back to, and what building and starting raise; production is what it was then.
    """
    registry = Registry(settings)
    with registry.locked():
        aliases, serving = registry.aliases(), _serving(registry)
        if to is not None and serving == to:
            say(f"{to} is production already")
            return registry.find(to)
        if aliases.previous is None or to not in (None, aliases.previous):
            raise Conflict(
                f"There is no version before {serving or 'the base'} to go back to."
                if aliases.previous is None
                else f"{to} is not the version before this one, {aliases.previous} is.",
                hint="`keepsake train versions` lists the versions; `keepsake train promote VERSION` takes any whose gates pass.",
            )
        version = registry.find(aliases.previous)
        with _told(registry, "rollback", version.version, say) as tell:
            after = aliases.model_copy(update={"production": version.version, "previous": serving})
            _into_service(settings, registry, after, version, tell)
    return version


def _into_service(settings: Settings, registry: Registry, after: Aliases, version: Version, say: Say) -> None:
    """Aliases and server together: both as `after` says, or both as they were."""
    directory = build_version(settings, version)  # before anything changes: it may take a minute, and may fail
    before = registry.aliases()
    registry.point(after)
    try:
        restarted = switch_model(settings, say, lambda: registry.point(before))
    except KeepsakeError as error:
        registry.point(before)
        with contextlib.suppress(KeepsakeError):
            if directory != build_served(settings):
                shutil.rmtree(directory, ignore_errors=True)  # the next attempt builds it anew from the delta
        log = failed_log(settings.log_dir / "model-production.log")
        hint = f"The log of the attempt is {log}." if log.exists() else error.hint
        back = "what was served before is served again"
        if find(settings) is None:
            back, hint = "and what was served before does not come up again either", f"`keepsake up` tries once more. {hint}"
        raise ModelUnavailable(f"{version.version} did not come up, {back}: {error.message}", hint=hint) from error
    except BaseException:
        registry.point(before)
        raise
    make_room(settings)
    if settings.model_url or not settings.model_name.startswith(EMBEDDED):
        say(f"{version.version} is production; the team's model is another one (KEEPSAKE_MODEL_URL or KEEPSAKE_MODEL_NAME)")
    elif restarted:
        say(f"{version.version} is production, and is served")
    else:
        say(f"{version.version} is production; the model server serves it, or will when it starts")


def _serving(registry: Registry) -> str | None:
    """Name of what is production now, by alias or as shipped; what ships is in the registry from here on, so that there is a way back to it."""
    shipped = newest_production()
    return registry.aliases().production or (registry.adopt(shipped).version if shipped else None)


def _readable(registry: Registry, name: str | None, say: Say) -> Version | None:
    """The version in production, for its figures. A broken entry must not keep a better one out: the goals alone hold then."""
    try:
        return registry.find(name) if name else None
    except (NotFound, StorageError) as error:
        say(f"{error.message} Its figures bind nobody.")
        return None


def _refusal(version: Version, failing: list[Gate], number: int) -> PolicyError:
    lines = "\n".join(f"  {gate}" for gate in failing)
    unmeasured = any(gate.value is None for gate in failing)
    return PolicyError(
        f"{version.version} is not promoted, {len(failing)} of {number} gates fail:\n{lines}",
        hint=f"Production is what it was. `keepsake train promote {version.version} --measure` runs the benches for what was not measured."
        if unmeasured
        else "Production is what it was. Train further, or measure again with --measure.",
    )


@contextmanager
def _told(registry: Registry, verb: Verb, version: str, say: Say) -> Generator[Say]:
    """Where a promotion stands is said to `say` and to a file that the API reads. A disk too full for that file stops no promotion."""
    promotion = Promotion(verb=verb, version=version, status=PromotionStatus.RUNNING, started=datetime.now(UTC))

    def write(**changes: object) -> None:
        nonlocal promotion
        promotion = promotion.model_copy(update=changes)
        try:
            write_json(registry.path / PROMOTION, promotion.model_dump(mode="json"))
        except StorageError as error:
            say(f"{error.message} {error.hint}")

    def tell(line: str) -> None:
        say(line)
        write(message=line)

    write()
    try:
        yield tell
    except BaseException as error:
        message, hint = (
            (error.message, error.hint) if isinstance(error, KeepsakeError) else (f"It was cut off ({type(error).__name__}).", "")
        )
        write(status=PromotionStatus.FAILED, message=message, hint=hint, ended=datetime.now(UTC))
        raise
    write(status=PromotionStatus.DONE, ended=datetime.now(UTC))
