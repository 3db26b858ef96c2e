"""What a message asks: deeds by where their verbs stand, questions, what is forbidden, put off or left to others."""

import pytest

from agents.safety.asking import asking
from agents.safety.sentence import hands_over, told, wished_in
from agents.safety.words import Words


@pytest.mark.parametrize(
    ("text", "deeds"),
    [
        ("Order 3 lamps.", {"order"}),
        ("please file it", {"file"}),
        ("Could you please delete the draft?", {"delete"}),
        ("Would you mind paying the bill?", {"pay"}),
        ("Look into the note and then send it.", {"look", "send"}),
        ("I want you to cancel my order.", {"cancel"}),
        ("The invoice must be paid today.", {"pay"}),
        ("Have it filed, please.", {"file"}),
        ("Put the order through.", {"order", "put"}),
        ("Raise it in the tracker and archive the mail, would you?", {"archive"}),
        ("Give them 20 euros.", {"pay"}),
        ("I request the purchase of 3 lamps.", {"order"}),
        ("Ann will order 3 lamps.", set()),
        ("The order is on its way.", set()),
        ("Is the ticket filed already?", set()),
        ("How much did we pay?", set()),
        ("Do not order anything.", set()),
        ("He deletes old drafts.", set()),
        ("I have to pay it myself.", set()),
        ("Somebody filed it and sent it to Ann.", set()),
        ("What would it cost to order 3 lamps?", set()),
    ],
)
def test_a_deed_is_wished_where_its_verb_stands_as_a_wish(text: str, deeds: set[str]):
    assert wished_in(text) == deeds


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("File the note in the tracker.", ""),
        ("Got a minute? 3 lamps, shop, 20 tops.", ""),
        ("Does it fit the budget? Then buy it.", ""),
        ("If it costs more, don't order it.", ""),
        ("Tell me when it is done.", ""),
        ("What does a lamp cost?", "tells"),
        ("Is it in the tracker, please?", "tells"),
        ("I need the price of 3 lamps.", "tells"),
        ("Let me know who filed it.", "tells"),
        ("Check the shop for 3 lamps.", "finds"),
        ("Leave everything as it is.", "forbids"),
        ("Ruben will put it in himself.", "forbids"),
        ("Don't file it yet.", "forbids"),
        ("I've changed my mind.", "forbids"),
        ("Put my order off, please.", "forbids"),
        ("Change nothing.", "forbids"),
        ("Order it tomorrow.", "waits"),
        ("The sum may be spent until 50.", ""),
    ],
)
def test_what_else_a_message_wants(text: str, flags: str):
    asked = asking(Words.of([text]))
    found = {name for name in ("tells", "finds", "forbids", "waits") if getattr(asked, name)}
    assert found == set(flags.split())


def test_a_denial_is_of_its_own_kind():
    asked = asking(Words.of(["Put the chessboard on my list, do not buy it."]))
    assert asked.denied == {"pay"} and not asked.forbids


def test_quotes_and_apostrophes_keep_their_places():
    words = Words.of(["I'm late. Please write 'the stand-up moves to ten today' to Ann, it's urgent."])
    assert "stand-up" not in words.bare and "Please write" in words.bare and "urgent" in words.bare


def test_a_file_may_say_what_is_to_be_done():
    assert hands_over("Please handle request.txt.") and not hands_over("Who can handle this? request.txt is long.")
    assert told("upvote it", {"upvote"}) and not told("the upvote counts", {"upvote"})
