"""The world as it looks after a task was done rightly, for tests to bend."""

import csv
import io

from infra.worlds.base import Order, OrderLine, WorldState, WorldTask, money
from infra.worlds.families.lookup import LookupGoal
from infra.worlds.families.order import OrderGoal
from infra.worlds.families.summary import TABLE, SummaryGoal
from infra.worlds.families.ticket import TicketGoal
from infra.worlds.tracker import COLUMNS


def solved(task: WorldTask) -> WorldState:
    goal, files = task.goal, dict(task.files)
    if isinstance(goal, LookupGoal):
        return WorldState(files=files | {goal.output: f"{money(goal.total)}\n"})
    if isinstance(goal, TicketGoal):
        return WorldState(tickets=(*task.tickets, goal.ticket), files=files)
    if isinstance(goal, OrderGoal):
        bought = (Order((OrderLine(goal.item, goal.count, goal.price),)),) if goal.within else ()
        return WorldState(orders=bought, files=files)
    assert isinstance(goal, SummaryGoal)
    report = as_csv([list(COLUMNS), *([t.title, t.type, t.severity, t.status] for t in task.tickets)])
    table = as_csv([list(goal.columns), *goal.rows(task.tickets)])
    return WorldState(tickets=task.tickets, files=files | {TABLE: report, goal.output: table})


def as_csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
