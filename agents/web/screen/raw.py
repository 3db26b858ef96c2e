"""What a page walk hands over: a flat list of records in document order, the same whether a browser or a parser walked the page.

A record is a list of strings; the first names it:

    doc URL BASE TITLE … /doc          a document; frames nest
    scope … /scope                     a shadow tree: ids count inside it only
    text TEXT PRE                      a run of visible text (or an image's alt); PRE is "1" where newlines count
    media                              a picture without words
    block                              a block begins or ends, or a line breaks
    soft                               a box border inside a line
    region … /region                   navigation and footers
    table … /table, row … /row, cell HEADER COLSPAN ROWSPAN … /cell
    label FOR … /label
    control FIELDS …                   something to use, in the order of CONTROL; ends with /control unless its tag is in VOID

Both walks leave out the same tags and break lines at the same tags, whatever style sheets say, so that both read a page alike; only the
browser's walk also knows what styles hide. Rules that decide what a control *is* stand in agents.web.screen.reading, once for both.
"""

from typing import NamedTuple

RECORD, FIELD, PART = "\x1e", "\x1f", "\x1d"  # separators of the browser's walk, which returns one string
NODES = 25_000  # nodes visited at most; a page of 50,000 elements takes well under two seconds then
CONTROLS = 600  # controls at most; later ones are read as plain text
TEXT = 20_000  # characters kept of one run of text


def _tags(names: str) -> frozenset[str]:
    return frozenset(names.split())


# Tags whose content nobody sees.
SKIP = _tags(
    "script style template noscript head title meta link base object embed param audio video canvas map area datalist source track "
    "colgroup col option optgroup noframes noembed rp"
)
# Tags that begin and end a line; those of tables do so by their own records.
BLOCK = _tags(
    "address article aside blockquote body br caption center details dialog dir div dl fieldset figcaption figure footer form "
    "h1 h2 h3 h4 h5 h6 header hgroup hr html iframe legend li listing main menu nav ol p plaintext pre search section summary ul xmp"
)
# A term and its description share a line: the first begins one, the second ends it.
OPENS, CLOSES = _tags("dt"), _tags("dd")
PRE = _tags("pre listing xmp plaintext")
REGION = _tags("nav footer")
VOID = _tags("input select textarea")
# Roles that make a control of a tag that is none.
ROLES = _tags("button link tab menuitem option treeitem combobox textbox searchbox checkbox switch menuitemcheckbox radio menuitemradio")
# Attributes by which a script turns a link into something that sends.
SENDING = ("data-method", "hx-post", "hx-put", "hx-patch", "hx-delete")


class Control(NamedTuple):
    """Fields of a `control` record; flags are "1" or empty. Addresses are as written in the page."""

    tag: str
    type: str  # of input and button, lower case, the default filled in
    role: str
    id: str
    name: str
    label: str  # aria-label, or the text aria-labelledby points to
    placeholder: str
    title: str
    alt: str
    value: str  # what stands in a box; else the attribute
    href: str
    checked: str
    disabled: str
    editable: str  # contenteditable
    script: str  # a SENDING attribute
    sends: str  # an onchange attribute that submits
    form: str  # get | post | dialog, empty outside a form; a submit button's own method counts
    action: str
    number: str  # of the form, in the order in which forms first show a control; empty outside a form
    options: str  # `INDEX*TEXT` selected or `INDEX:TEXT`, joined by PART


Record = list[str]
