"""What the engine tells about a request, as it goes and at its end.

The engine's outputs carry `kv_transfer_params = {"memento": {"evictions": [[start, end, boundary], ...], "usage": {...}}}`. It is taken out where
vLLM's API process receives them, so that no client sees it; keys of KV connectors stay. Whoever serves the request finds it in `Call.accounts`;
for a program that has vLLM in its own process, `take` gives it by request id once the request has finished.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from keepsake_vllm.api.call import CALL
from keepsake_vllm.api.metrics import area, metrics
from keepsake_vllm.engine.patch import require, wrap

FIELD = "memento"
LIMIT = 4096  # requests remembered at once beyond those being served


@dataclass
class Account:
    """One choice of one request. Evictions are (start, end, boundary) in logical indices over prompt and output."""

    evictions: list[tuple[int, int, int]] = field(default_factory=list)
    usage: dict[str, int] | None = None
    told: int = 0

    def read(self, told: dict[str, Any]) -> None:
        known = {start for start, _, _ in self.evictions}  # a replay after a preemption does them again
        self.evictions += [(start, end, boundary) for start, end, boundary in told.get("evictions") or () if start not in known]
        self.usage = told.get("usage") or self.usage

    def drain(self) -> list[tuple[int, int, int]]:
        """Evictions since the last call."""
        new, self.told = self.evictions[self.told :], len(self.evictions)
        return new

    def close(self, computed: int) -> dict[str, int]:
        """The usage at the end; reckoned from the evictions where the engine had no last word (a stop string ends a request here)."""
        if self.usage is None:
            self.usage = reckon(self.evictions, computed)
        return self.usage


def reckon(evictions: Iterable[tuple[int, int, int]], computed: int) -> dict[str, int]:
    """Usage of a request whose first `computed` tokens were computed once, nothing cached."""
    done = sorted((event for event in evictions if event[2] < computed), key=lambda event: event[2])
    peak = total = start = gone = 0
    for boundary, size in [(boundary, end - first) for first, end, boundary in done] + [(computed, 0)]:
        total += area(boundary - gone) - area(start - gone)
        peak = max(peak, boundary - gone)
        start, gone = boundary, gone + size
    facts = {"peak_kv_tokens": peak, "kv_auc": total, "evicted_tokens": gone, "compactions": len(done)}
    return {**facts, "replays": 0, "cached_tokens": 0, "computed_tokens": computed}


class Ledger:
    """The accounts of this process. Those of finished requests that nobody takes are forgotten, oldest first."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Account] = OrderedDict()  # by vLLM's internal id, one per choice
        self._closed: OrderedDict[tuple[str, int], Account] = OrderedDict()  # by the client's id and the choice

    def open(self, internal: str) -> Account:
        account = self._open.get(internal)
        if account is None:
            account = self._open[internal] = Account()
            while len(self._open) > LIMIT:
                self._open.popitem(last=False)
        return account

    def known(self, internal: str) -> Account | None:
        return self._open.get(internal)

    def close(self, internal: str, external: str, index: int, keep: bool) -> None:
        account = self._open.pop(internal, None)
        if account is not None and keep:
            self._closed[external, index] = account
            while len(self._closed) > LIMIT:
                self._closed.popitem(last=False)

    def take(self, external: str, index: int = 0) -> Account | None:
        """The account of a finished request that no middleware served; once."""
        return self._closed.pop((external, index), None)


LEDGER = Ledger()


def install() -> None:
    """Read the engine's word in vLLM's output processor. Raises UnsupportedVLLM."""
    from vllm.v1.engine import EngineCoreOutput, EngineCoreRequest
    from vllm.v1.engine.output_processor import OutputProcessor, RequestState

    for owner, names in ((EngineCoreOutput, ("kv_transfer_params", "request_id")), (EngineCoreRequest, ("cache_salt",))):
        require(owner, *names)
    require(RequestState, "from_new_request")
    wrap(OutputProcessor, "add_request", ("request", "prompt", "parent_req", "request_index", "queue"), _add_request)
    wrap(OutputProcessor, "process_outputs", ("engine_core_outputs",), _process_outputs)
    wrap(OutputProcessor, "abort_requests", ("request_ids", "internal"), _abort_requests)


def _add_request(original: Any) -> Any:
    def add_request(self: Any, request: Any, prompt: Any, parent_req: Any = None, request_index: int = 0, queue: Any = None) -> None:
        call = CALL.get()
        if call is not None:
            request.cache_salt = call.salt(request.cache_salt)
        original(self, request, prompt, parent_req, request_index, queue)
        if call is not None and call.accounts is not None:
            call.accounts[request_index] = LEDGER.open(request.request_id)
            self.request_states[request.request_id].keepsake_served = True

    return add_request


def _process_outputs(original: Any) -> Any:
    def process_outputs(self: Any, engine_core_outputs: list[Any], *args: Any, **kwargs: Any) -> Any:
        states = {}
        for output in engine_core_outputs:
            state = self.request_states.get(output.request_id)
            told = output.kv_transfer_params
            if isinstance(told, dict) and FIELD in told:
                output.kv_transfer_params = {key: value for key, value in told.items() if key != FIELD} or None
                if state is not None:
                    LEDGER.open(output.request_id).read(told[FIELD])
            if state is not None and LEDGER.known(output.request_id) is not None:
                states[output.request_id] = state
        result = original(self, engine_core_outputs, *args, **kwargs)
        for internal, state in states.items():
            if internal not in self.request_states:
                _finished(internal, state)
        return result

    return process_outputs


def _finished(internal: str, state: Any) -> None:
    account = LEDGER.known(internal)
    if account is None:
        return
    computed = max(0, state.prompt_len + (state.detokenizer.num_output_tokens() if state.detokenizer else 0) - 1)
    metrics().observe(account.close(computed), computed)
    LEDGER.close(internal, state.external_req_id, state.request_index, keep=not getattr(state, "keepsake_served", False))


def _abort_requests(original: Any) -> Any:
    def abort_requests(self: Any, request_ids: Iterable[str], internal: bool) -> list[str]:
        gone = original(self, request_ids, internal)
        for request_id in gone:
            LEDGER.close(request_id, "", 0, keep=False)
        return gone

    return abort_requests
