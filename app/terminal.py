"""A run on a terminal: each event as lines, printed once and never changed."""

from app.events import Event, EventType
from app.memento.thought import Thought, ThoughtBlock

WIDTH = 110
_QUIET = {EventType.RUN_QUEUED, EventType.MODEL_CALL, EventType.ACTION_INTENT, EventType.PROGRESS_LEDGER}
_VERDICTS = {"allow": "allowed", "ask": "asks", "refuse": "refused"}
_CODE_LINES = 12


def lines(event: Event) -> list[str]:
    """What is worth a line of this event, nothing for bookkeeping. Text from outside comes without control characters."""
    p = event.payload
    match event.type:
        case kind if kind in _QUIET:
            return []
        case EventType.RUN_STARTED:
            team = ", ".join(member["name"] for member in p.get("members", []))
            return [f"Team: {team}. Model: {p.get('model', '')}, {p.get('profile', '')} prompts."]
        case EventType.TASK_LEDGER:
            steps = [f"  {step['number']}. {step['agent']:6} {one_line(step['instruction'])}" for step in p["plan"]]
            return [f"Plan {p['revision']}" + (" (edited)" if p.get("by") == "person" else ""), *steps]
        case EventType.BLOCK_OPENED:
            return ["", f"{event.agent}: {one_line(p['instruction'])}"]
        case EventType.BLOCK_TEXT:
            text = p["text"].strip().splitlines()
            shown = [f"    | {one_line(line)}" for line in text[:_CODE_LINES]] if p["kind"] == "code" else [f"    {one_line(p['text'])}"]
            return shown + ([f"    | … {len(text) - _CODE_LINES} more lines"] if p["kind"] == "code" and len(text) > _CODE_LINES else [])
        case EventType.THOUGHT:
            return [line for block in Thought.model_validate(p).blocks for line in _thought(block)]
        case EventType.ACTION_PROPOSED:
            return [f"    {_action(p['action'])}"]
        case EventType.GATE_DECIDED:
            return [f"      gate: {_VERDICTS.get(p['verdict'], p['verdict'])}, {one_line(p['reason'])}"]
        case EventType.ACTION_DONE:
            return [f"      got: {one_line(p['observation'])}"]
        case EventType.ACTION_FAILED:
            return [f"      failed: {one_line(p['error'].get('message', ''))}"]
        case EventType.MEMENTO:
            return [f"    memento: {one_line(p['text'])} ({p['block_tokens']} tokens became {p['memento_tokens']})"]
        case EventType.APPROVAL_REQUESTED:
            about = _action(p["action"]) if p.get("action") else "the plan"
            return ["", f"? {about}", f"  {one_line(p['reason'])}", f"  decide: keepsake approve {p['approval_id']} [--reject]"]
        case EventType.INPUT_REQUESTED:
            return ["", f"? {one_line(p['question'])}", f'  answer: keepsake say {event.run_id} "…"']
        case EventType.RUN_FINISHED:
            said = p.get("answer") or (p.get("refusal") or {}).get("reason") or (p.get("error") or {}).get("message") or ""
            return ["", f"{p['status'].capitalize()}. {one_line(said, 2000)}".rstrip()]
        case kind:
            said = next((str(p[key]) for key in ("message", "text", "problem", "reason", "decision", "name", "status") if p.get(key)), "")
            return [f"  {kind.value}: {one_line(said)}" if said else f"  {kind.value}"]


def one_line(text: str, width: int = WIDTH) -> str:
    """At most `width` printable characters on one line: what a page or program says must not steer the terminal."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= width else plain[: width - 1] + "…"


def _thought(block: ThoughtBlock) -> list[str]:
    """The block's memento, for that is what the model goes on with."""
    said = one_line(block.memento.text) if block.memento else "(cut off before its memento)"
    fate = f"{block.freed} tokens freed" if block.freed else f"{block.block.tokens} tokens kept"
    return [f"    thought: {said} ({fate})"]


def _action(action: dict[str, object]) -> str:
    return one_line(str(action.get("summary") or f"{action['kind']} {action['target']}"))
