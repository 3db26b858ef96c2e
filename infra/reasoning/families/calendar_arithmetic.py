"""calendar_arithmetic: the date so many days later. The weekday comes from the remainder by 7; the days are then used up month by month."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from infra.reasoning import written
from infra.reasoning.base import Block
from infra.reasoning.families.base_conversion import divide
from infra.reasoning.wording import Wordings, fields

WIDTH = 3
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")
_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_START = r"(\w+) (\d+) (\w+) (\d{4})"


@dataclass(frozen=True)
class Knobs:
    """`days`: fewest and most to go forward. Years are 2001 to 2099, in which every fourth is a leap year."""

    days: tuple[int, int]


class CalendarArithmetic:
    name = "calendar_arithmetic"
    levels = (Knobs((5, 40)), Knobs((30, 99)), Knobs((100, 170)), Knobs((190, 270)))
    wordings = Wordings(
        "Today is {date}. Which date is it in {days} days?",
        "It is {date} now. Give the date {days} days from now, with its weekday.",
        "What date comes {days} days after {date}?",
        "Add {days} days to {date}.",
        "A ship leaves on {date} and arrives {days} days later. On which date?",
        "Starting on {date}, count {days} days forward. Where in the calendar do you stop?",
        "My loan began on {date} and lasts {days} days. When does it end?",
    )

    def make(self, draw: Random, knobs: Knobs) -> str:
        date = datetime.date(2001, 1, 1) + datetime.timedelta(draw.randrange(98 * 365))
        said = f"{WEEKDAYS[date.weekday()]} {date.day} {MONTHS[date.month - 1]} {date.year}"
        return self.wordings.write(draw, date=said, days=draw.randint(*knobs.days))

    def content(self, question: str) -> str:
        slots = self.wordings.read(question)
        return f"{slots['date']} {slots['days']}"

    def step(self, question: str, mementos: Sequence[str]) -> Block | str:
        slots = self.wordings.read(question)
        weekday, day, month, year = fields(_START, slots["date"])
        if not mementos:
            return _weekday(weekday, slots["days"])
        if len(mementos) == 1:
            header = f"{day.zfill(WIDTH)} + {slots['days'].zfill(WIDTH)}"
            lines, total = written.add(day.zfill(WIDTH), slots["days"].zfill(WIDTH))
            return Block(written.text([header, *lines, f"day {total}"]), f"day {total} of {month} {year}")
        if mementos[-1].startswith("date"):
            return fields(r"date (.+)", mementos[-1])[0]
        rest, month, year = fields(r"day (\d{3}) of (\w+) (\d{4})", mementos[-1])
        return _month(rest, month, year, *fields(r"weekday (\w+)", mementos[0]))


def _weekday(weekday: str, days: str) -> Block:
    lines, _, left = divide(written.labelled(days), 7)
    later = [WEEKDAYS[(WEEKDAYS.index(weekday) + step) % 7] for step in range(left + 1)]
    walk = " ".join(f"{step} {name}" for step, name in enumerate(later))
    return Block(written.text([f"weeks in {days} days", *lines, f"left {left} from {weekday}", f" {walk}"]), f"weekday {later[-1]}")


def _month(rest: str, month: str, year: str, weekday: str) -> Block:
    """The date, if day `rest` is one of the month; else the day of the month after."""
    number = MONTHS.index(month)
    length, note = _LENGTHS[number], ""
    if month == "february":
        over = int(year) % 4
        length, note = 28 + (over == 0), f"{year[2:]} by 4 left {over} , "
    digits, sign = written.compare(rest, f"{length:03d}")
    lines = [f"month {month} {year} {note}has {length:03d}", f"{rest} {length:03d} : {digits}"]
    if sign != ">":
        return Block(written.text([*lines, "in this month"]), f"date {weekday} {int(rest)} {month} {year}")
    columns, after = written.subtract(rest, f"{length:03d}")
    month, year = (MONTHS[number + 1], year) if number < 11 else (MONTHS[0], str(int(year) + 1))
    return Block(written.text([*lines, f"{rest} - {length:03d}", *columns, f"day {after}"]), f"day {after} of {month} {year}")
