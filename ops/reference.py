"""PURE. Tables for the pages in ops/, made from the code that they are about: what a page says of it cannot grow old."""

import ast
import inspect
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from books import events, sequence
from feeds.outbox import Phase
from feeds.venue import Bootstrap, Instrument, InstrumentStatus, Venue
from feeds.venues import VENUES
from fleet import errors
from fleet.config import PREFIX, WITHOUT_EFFECT, Settings
from fleet.keys import Keys
from fleet.pair import DEPTHS, Pair
from fleet.schema import METADATA
from monitor.schema import TABLES
from trader.paper import PaperTerms
from trader.risk import RiskLimits

_KEY_TYPES = ("Hash", "String", "Stream", "Sorted set", "List", "Integer")
_LIFE = re.compile(r"(permanent|expires?\b.*)$")
_BOOTSTRAPS = {
    Bootstrap.REST: "snapshot by REST, deltas kept meanwhile",
    Bootstrap.REQUEST: "snapshot asked for on the socket, deltas kept meanwhile",
    Bootstrap.IN_BAND: "the subscription begins with a snapshot",
    Bootstrap.IMAGES: "every message is a full image",
}


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown. A bar in a cell is escaped."""
    lines = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in (head, *rows)]
    lines.insert(1, ["---"] * len(head))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _doc(thing: object) -> str:
    return " ".join((inspect.getdoc(thing) or "").split())


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.:;])\s", text, maxsplit=1)[0].rstrip(".:;")


# --- the architecture ---------------------------------------------------------------------------------------------------


def file_line(text: str, suffix: str) -> str:
    """What a source file says of itself in its first line; empty if it says nothing."""
    if suffix == ".lua":
        return text.partition("\n")[0].removeprefix("--").partition(":")[2].strip()
    first = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return first.replace("PURE. ", "*pure* · ", 1) if first.startswith("PURE. ") else first


def keys() -> str:
    """Every Redis key, by the docstrings of fleet.keys."""
    pair = Pair("VENUE", "MARKET", "PAIR")
    samples: dict[str, object] = {
        "pair": pair, "shard": 0, "member": "MEMBER", "lane": "LANE", "egress": "EGRESS", "name": "NAME",
        "venue": "VENUE", "market": "MARKET",
    }  # fmt: skip
    rows = []
    for name, method in vars(Keys).items():
        if name.startswith("_") or name == "shard" or not inspect.isfunction(method):
            continue
        arguments = [samples[parameter] for parameter in list(inspect.signature(method).parameters)[1:]]
        key = re.sub(r"\{\d\d\}", "{s}", method(Keys(), *arguments))
        doc = _doc(method).rstrip(".")
        kind = next(kind for kind in _KEY_TYPES if doc.startswith(kind))
        life = _LIFE.search(doc)
        if life is None:
            raise ValueError(
                f"fleet.keys.Keys.{name}: its docstring ends neither with `permanent` nor with `expires …`"
            )
        content = re.sub(r"^(of|that) ", "", doc[len(kind) : life.start()].lstrip(":, ")).rstrip("; ,.")
        rows.append((f"`{key}`", kind.lower(), content, life.group()))
    return table(("key", "type", "content; writer", "life"), rows)


def kinds() -> str:
    """The kinds of events, by the docstrings of books.events."""
    rows = []
    for event, kind in events.KIND_OF.items():
        common = set(_fields(typing.cast("type[msgspec.Struct]", events.Snapshot.__bases__[0])))
        own = [name for name in _fields(typing.cast("type[msgspec.Struct]", event)) if name not in common]
        rows.append((f"`{kind.value}`", _doc(event), ", ".join(f"`{name}`" for name in own) or "–"))
    reasons = [
        f"Reasons of a snapshot: {_values(events.SnapshotReason)} (`join` is made by a reader, never in a stream).",
        f"Reasons of a reset: {_values(events.ResetReason)}.",
    ]
    return table(("kind", "promise", "own fields"), rows) + "\n\n" + " ".join(reasons)


def _fields(struct: type[msgspec.Struct]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(struct)]


def _values(enum: type[StrEnum]) -> str:
    return ", ".join(f"`{member.value}`" for member in enum)


def sequence_states() -> str:
    """books.sequence.TRANSITIONS: a row a state, a column a relation."""
    rows = [
        [f"**{state.value}**"]
        + [
            f"{action.value} → {after.value}"
            for after, action in (sequence.TRANSITIONS[state, relation] for relation in sequence.Relation)
        ]
        for state in sequence.State
    ]
    return table(["state", *(relation.value for relation in sequence.Relation)], rows)


def transition_table(events: type[StrEnum], transitions: Mapping[Any, Mapping[Any, StrEnum]]) -> str:
    """A state machine's TRANSITIONS: a row a state, a column an event."""
    rows = [
        [f"**{state.value}**"] + [after[event].value if event in after else "–" for event in events]
        for state, after in transitions.items()
    ]
    return table(["state", *(event.value for event in events)], rows)


def outbox_phases(head: str) -> str:
    """The phases of an outbox, by the indented list at the head of feeds.outbox."""
    rows = []
    for phase in Phase:
        found = re.search(rf"^\s+{phase.name}\s+(.+)$", head, re.MULTILINE)
        if found is None:
            raise ValueError(f"feeds.outbox: its docstring does not explain {phase.name}")
        rows.append((f"**{phase.value}**", found.group(1)))
    return table(("phase", "meaning"), rows)


def verbs(headers: Mapping[str, str]) -> str:
    """The Lua verbs: what the head of each file promises first, and the words that it answers."""
    rows = []
    for name, text in sorted(headers.items()):
        head = " ".join(line.removeprefix("--").strip() for line in text.splitlines() if line.startswith("--"))
        promise = re.search(r"Guarantee: (.+?\.)(?= |$)", head)
        words = dict.fromkeys(re.findall(r"^--   ([A-Z_]{2,})\b", text, re.MULTILINE))
        rows.append(
            (
                f"[`{name}`](../lua/{name}.lua)",
                file_line(text, ".lua"),
                promise.group(1) if promise else "–",
                ", ".join(f"`{word}`" for word in words) or "–",
            )
        )
    return table(("verb", "what", "guarantee", "verdicts"), rows)


def exit_codes() -> str:
    """The exit codes of every command, by fleet.errors."""
    codes: dict[int, list[tuple[str, str]]] = {}
    for error in vars(errors).values():
        if inspect.isclass(error) and issubclass(error, errors.FleetError):
            codes.setdefault(error.exit_code, []).append((error.__name__, _first_sentence(_doc(error))))
    codes[1] = [
        (
            "FleetError",
            "an error without a code of its own; `fleet doctor`: a check failed; `fleet demo`: a promise broken",
        )
    ]
    rows = [("0", "done", "–")]
    rows += [(str(c), "; ".join(t for _, t in e), ", ".join(f"`{n}`" for n, _ in e)) for c, e in sorted(codes.items())]
    rows.append(("130", "interrupted by Ctrl-C", "–"))
    rows.append(("143", "ended by SIGTERM (`fleet bench`, `fleet chaos`); what was started has ended", "–"))
    rows.append(("128 + n", "a second signal n while stopping: ended at once", "–"))
    return table(("code", "meaning", "errors"), rows)


# --- operating ----------------------------------------------------------------------------------------------------------


def settings() -> str:
    """Every setting: name, default, meaning."""
    rows = []
    for name, field in Settings.model_fields.items():
        meaning = field.description or _choices(field.annotation)
        if name in WITHOUT_EFFECT:
            meaning += ". *Accepted; without effect in this version*"
        default = "this host's name" if name == "egress" else _default(field.get_default(call_default_factory=True))
        shown = (
            "FLEET_VENUES__VENUE__MARKET__REST_URL, …__WS_URL, …__ENABLED"
            if name == "venues"
            else PREFIX + name.upper()
        )
        rows.append((f"`{shown}`", default, meaning))
    return table(("setting", "default", "meaning"), rows)


def _choices(annotation: Any) -> str:
    return ", ".join(str(choice) for choice in typing.get_args(annotation))


def _default(value: Any) -> str:
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if isinstance(value, tuple):
        value = ",".join(value)
    return (
        "–"
        if value is None or value == "" or value == {}
        else f"`{str(value).lower() if isinstance(value, bool) else value}`"
    )


def model(kind: type[BaseModel]) -> str:
    """The fields of a pydantic model: name, default, meaning."""
    rows = []
    for name, field in kind.model_fields.items():
        value = "required" if field.default is PydanticUndefined else _default(field.default)
        rows.append((f"`{name}`", value, field.description or name.replace("_", " ")))
    return table(("parameter", "default", "meaning"), rows)


def strategy(head: str, params: type[BaseModel]) -> str:
    """The parameters of a strategy: what its head says of each. Raises ValueError when the head leaves one out."""
    said = dict(re.findall(r"^    (\w+)\s+(.+)$", head, re.MULTILINE))
    if said.keys() != params.model_fields.keys():
        raise ValueError(f"{params.__name__}: the head of its file explains {sorted(said)}")
    rows = [(f"`{name}`", "required" if field.is_required() else "optional", said[name])
            for name, field in params.model_fields.items()]  # fmt: skip
    return table(("parameter", "", "meaning"), rows)


def risk() -> str:
    """The `risk` object of STRATEGY_PARAMS."""
    return model(RiskLimits)


def paper() -> str:
    """The `paper` object of STRATEGY_PARAMS."""
    return model(PaperTerms)


def sql_columns(*names: str) -> str:
    """Columns of SQL tables: type, default, remark."""
    rows = []
    for name in names:
        for column in METADATA.tables[name].columns:
            if column.name in {"CREATED_AT", "UPDATED_AT"}:
                continue
            default = getattr(column.server_default, "arg", None)
            shown = "–" if default is None else f"`{default}`"
            rows.append((name, f"`{column.name}`", str(column.type), shown, column.comment or ""))
    return table(("table", "column", "type", "default", "remark"), rows)


def history_columns() -> str:
    """The tables of history, each with its columns."""
    rows = [
        (f"`{each.name}`", f"`{column.name}`", f"`{column.type}`", column.comment)
        for each in TABLES
        for column in each.columns
    ]
    return table(("table", "column", "type", "meaning"), rows)


# --- venues -------------------------------------------------------------------------------------------------------------


def _sample(market: str) -> Instrument:
    return Instrument(
        pair=Pair("VENUE", market, "BASE/QUOTE"), symbol="SYMBOL", status=InstrumentStatus.TRADING, tick="0.1", lot="1",
        min_amount="1", min_notional=None, contract_size=Decimal(1),
    )  # fmt: skip


def _topics(venue: Venue, depth: str, channel: str) -> str:
    found = venue.topics(_sample(venue.market), depth, frozenset({channel}))
    return ", ".join(f"`{topic.name.replace('symbol', 'SYMBOL')}` ({topic.route})" for topic in found)


def venue_books() -> str:
    """How each venue × market gives a book of each depth."""
    rows = []
    for (name, market), venue in sorted(VENUES.items()):
        for depth in DEPTHS:
            channel = venue.book_channel(depth)
            rows.append(
                (name, market, depth, _topics(venue, depth, "book"), channel.depth, channel.cadence, channel.evidence,
                 _BOOTSTRAPS[channel.bootstrap], channel.shortfall or "–")
            )  # fmt: skip
    head = (
        "venue",
        "market",
        "depth asked",
        "channel (socket)",
        "levels a side",
        "cadence",
        "proof of continuity",
        "bootstrap",
        "cannot give",
    )
    return table(head, rows)


def venue_channels() -> str:
    """Best prices and trades of each venue × market."""
    rows = [
        (name, market, _topics(venue, "50", "bbo"), _topics(venue, "50", "trades"))
        for (name, market), venue in sorted(VENUES.items())
    ]
    return table(("venue", "market", "`bbo`", "`trades`"), rows)


def venue_limits() -> str:
    """What each venue enforces, as we keep it, and where it is reached."""
    rows = []
    for (name, market), venue in sorted(VENUES.items()):
        limits = venue.limits
        lifetime = f"{limits.lifetime_ms / 3_600_000:g} h" if limits.lifetime_ms else "none"
        rows.append(
            (name, market, venue.rest_url, venue.ws_url, str(limits.pairs_per_connection), str(limits.topics_per_connection),
             f"{limits.requests_per_s:.3g}", f"{limits.connects_per_s:g}", str(limits.rest_weight_per_minute), lifetime)
        )  # fmt: skip
    head = (
        "venue",
        "market",
        "REST",
        "websocket",
        "pairs a socket",
        "topics a socket",
        "requests/s a socket",
        "connects/s",
        "REST weight/min",
        "lifetime of a socket",
    )
    return table(head, rows)


def venue_habits() -> str:
    """What is peculiar to each venue × market."""
    rows = []
    for (name, market), venue in sorted(VENUES.items()):
        traits, keepalive = venue.traits, venue.keepalive
        heartbeat = (
            f"`{keepalive.text}`" if keepalive.text else "PING frame" if keepalive.probe else "none: the server pings"
        )
        if keepalive.every_ms:
            heartbeat += f" every {keepalive.every_ms / 1000:g} s, whatever comes"
        habits = [
            text
            for true, text in (
                (traits.greets, "says welcome first"),
                (venue.ticket_request(_route(venue)) is not None, "a token for every socket"),
                (traits.replaces, "a request replaces the last one of its kind"),
                (traits.unknown_closes, "an unknown symbol closes the socket"),
                (traits.repeats_trades, "a subscription repeats trades, told once by us"),
                (venue.limits.forbidden_ban_ms is not None, "HTTP 403 is a ban"),
                (traits.off_because is not None, f"**off by default**: {traits.off_because}"),
            )
            if true
        ]
        comparable = "yes" if venue.sequence_comparable else "no: a seam at each handover"
        rows.append((name, market, heartbeat, comparable, "; ".join(habits) or "–"))
    return table(("venue", "market", "our heartbeat", "sequences comparable across sockets", "habits"), rows)


def _route(venue: Venue) -> str:
    return venue.topics(_sample(venue.market), "50", frozenset({"book"}))[0].route
