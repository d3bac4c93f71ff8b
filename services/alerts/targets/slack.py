"""Slack: an incoming webhook, blocks with a plain text beside them.

What a customer wrote must not ring a channel: &, < and > are escaped, and the blocks are `verbatim`, so that Slack
neither parses `@channel` nor makes links of what looks like one. Slack takes about one message a second.
Source: docs.slack.dev, "Sending messages using incoming webhooks", "Formatting text for app surfaces".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import msgspec
from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ContextBlock,
    HeaderBlock,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)

from schemas.followups import FollowupEvent
from services.alerts.alarms.records import Note, NoteKind
from services.alerts.channels import Message, Told
from services.alerts.grouping import TOLD
from services.alerts.retries import Outcome
from services.alerts.taps import Link
from services.alerts.targets import wording
from services.alerts.targets.posting import TIMEOUT_S, post

TEXT_MAX: Final = 3_000  # of a section
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escaped(text: str) -> str:
    """Text that Slack shows as it is."""
    return text.translate(_ESCAPES)


class Slack:
    """A channel of kind `slack`. `board` is the address of the board, linked under each message; empty: no link."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, *, name: str, board: str = "", timeout_s: float = TIMEOUT_S
    ) -> None:
        self.name = name
        self._session = session
        self._url = url
        self._board = board
        self._timeout_s = timeout_s

    def wants(self, event: FollowupEvent) -> bool:
        return event.kind in TOLD

    async def send(self, message: Message) -> Outcome:
        return await post(self._session, self._url, self.body_of(message), {}, self._timeout_s)

    def says(self, kind: NoteKind) -> bool:
        return True

    async def say(self, note: Note) -> Outcome:
        blocks = [
            HeaderBlock(text=PlainTextObject(text=note.headline[:150], emoji=False)),
            _section("\n".join(map(escaped, note.lines))),
            ContextBlock(elements=[_markdown(wording.minute(note.at_ms))], block_id=note.note_id),
        ]
        body = self._payload([note.headline, *note.lines], [*blocks, *self._links()])
        return await post(self._session, self._url, body, {}, self._timeout_s)

    def body_of(self, message: Message) -> bytes:
        """The payload: `text` for notifications and readers, `blocks` for the eye."""
        return self._payload([wording.headline(message), *map(wording.one_line, message.told)], self._blocks(message))

    def _payload(self, lines: Sequence[str], blocks: Sequence[Block]) -> bytes:
        payload: dict[str, Any] = {
            "text": _cut(escaped("\n".join(lines))),
            "blocks": [block.to_dict() for block in blocks],
            "parse": "none",
            "link_names": False,
            "unfurl_links": False,
        }
        return msgspec.json.encode(payload)

    def _blocks(self, message: Message) -> list[Block]:
        blocks: list[Block] = [HeaderBlock(text=PlainTextObject(text=wording.headline(message)[:150], emoji=False))]
        if message.count > 1:
            lines = [f"• {escaped(wording.one_line(told))}" for told in message.told]
            blocks.append(_section("\n".join(lines)))
        else:
            blocks.extend(_case(message.told[0]))
        case = message.event.case
        small = [wording.rest(message), f"raised {wording.minute(case.raised_ms)}", f"case {case.case_id}"]
        if message.count > 1:
            small.pop()
        # The id of the message stands in it too: Slack itself takes none.
        line = _markdown(" · ".join(word for word in small if word))
        blocks.append(ContextBlock(elements=[line], block_id=message.id[:255]))
        return [*blocks, *self._links(message.links)]

    def _links(self, links: Sequence[Link] = ()) -> list[Block]:
        shown = [*links, *([Link("Open the board", self._board)] if self._board else [])]
        buttons: list[Any] = [
            ButtonElement(text=link.label, url=link.url, action_id=f"link-{number}")
            for number, link in enumerate(shown)
        ]
        return [ActionsBlock(elements=buttons)] if buttons else []


def _case(told: Told) -> list[Block]:
    words = wording.comment(told)
    quoted = [_section("\n".join(f"> {line}" for line in escaped(words).splitlines()))] if words else []
    facts = [("Deadline", wording.deadline(told)), *wording.contact(told)]
    fields: list[Any] = [_markdown(f"*{label}*\n{_cut(escaped(value), 1_900)}") for label, value in facts]
    return [*quoted, SectionBlock(fields=fields)]


def _markdown(text: str) -> MarkdownTextObject:
    return MarkdownTextObject(text=text, verbatim=True)


def _section(text: str) -> Block:
    return SectionBlock(text=_markdown(_cut(text)))


def _cut(text: str, most: int = TEXT_MAX) -> str:
    """At most `most` characters, and never half an escape, which would show."""
    if len(text) <= most:
        return text
    kept = text[: most - 1]
    start = kept.rfind("&", -5)
    return (kept[:start] if start != -1 and ";" not in kept[start:] else kept) + "…"
