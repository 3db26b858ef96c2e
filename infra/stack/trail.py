"""A run's events as lines for a terminal, each printed once and never changed."""

from app.events import Event, EventType
from app.schemas import Verdict

WIDTH = 110
QUIET = {EventType.RUN_QUEUED, EventType.MODEL_CALL, EventType.ACTION_INTENT, EventType.PROGRESS_LEDGER, EventType.ARTIFACT}
VERDICTS = {Verdict.ALLOW: "allowed", Verdict.ASK: "asks", Verdict.REFUSE: "refused"}


def lines(event: Event) -> list[str]:
    """What is worth a line of this event; none for its bookkeeping. Untrusted text comes out without control characters."""
    kind, p = event.type, event.payload
    match kind:
        case _ if kind in QUIET:
            return []
        case EventType.RUN_STARTED:
            return [
                f"Team: {', '.join(m['name'] for m in p.get('members', []))}; model {p.get('model', '')}, {p.get('profile', '')} prompts"
            ]
        case EventType.TASK_LEDGER:
            steps = [f"  {step['number']}. {step['agent']:6} {short(step['instruction'])}" for step in p["plan"]]
            return ["", "Plan" if p["revision"] <= 1 else f"Plan, revised ({p['revision']})", *steps]
        case EventType.BLOCK_OPENED:
            return ["", f"{event.agent}: {short(p['instruction'])}"]
        case EventType.BLOCK_TEXT if p["kind"] == "code":
            return [f"    | {short(line)}" for line in p["text"].strip().splitlines()[:12]]
        case EventType.BLOCK_TEXT if p["kind"] == "answer":
            return [f"    answers: {short(p['text'])}"]
        case EventType.ACTION_PROPOSED:
            action = p["action"]
            return [f"    {short(action.get('summary') or action['kind'] + ' ' + action['target'])}"]
        case EventType.GATE_DECIDED:
            return [f"      gate: {VERDICTS.get(p['verdict'], p['verdict'])}, {short(p['reason'])}"]
        case EventType.ACTION_DONE:
            return [f"      got: {short(first_line(p['observation']))} ({p['seconds']:.1f} s)"]
        case EventType.ACTION_FAILED:
            return [f"      failed: {short(p['error'].get('message', ''))}"]
        case EventType.MEMENTO:
            about = "about " if p.get("estimated") else ""
            return [f"    memento: {short(p['text'])} [{about}{p['block_tokens']} tokens become {p['memento_tokens']}]"]
        case EventType.RUN_FINISHED:
            said = p.get("answer") or (p.get("error") or p.get("refusal") or {}).get("message", "")
            return ["", f"{p['status'].capitalize()}: {short(said)}"]
        case _:
            said = p.get("message") or p.get("problem") or p.get("reason") or p.get("question") or p.get("status") or ""
            return [f"    {kind.value}: {short(str(said))}" if said else f"    {kind.value}"]


def first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), "nothing")


def short(text: str) -> str:
    """One line of at most WIDTH characters: a page's or a program's text must not steer the terminal."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    plain = " ".join(plain.split())
    return plain if len(plain) <= WIDTH else plain[: WIDTH - 1] + "…"
