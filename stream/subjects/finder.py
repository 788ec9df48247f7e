"""Who and what an event is about: companies, their sectors, the customer, the topic. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from stream.config.settings import SettingsError
from stream.config.subjects import Subjects
from stream.ingest.mapping import Read, compile_name
from stream.ingest.text import clean_text
from stream.names import MAX_ID_CHARS
from stream.records import Event, Subject
from stream.subjects.companies import KnowledgeBase
from stream.subjects.mentions import MentionSearch
from stream.subjects.tags import Mention, as_listed

# A post that lists many tickers says little about each; from here on they share one.
SHARED_FROM = 3
# A company that is first named behind what a reader takes in at a glance is an aside.
LEAD_CHARS = 200
ASIDE = 0.5
# A bank that speaks about another company: "Goldman upgrades Ford", "Ford cut at Goldman".
VOICE = 0.2
VOICE_SECTOR = "financials"
_SPEAKS = re.compile(
    r"""(?ix) (?:\s securities)? (?:'s|\u2019s)? [\s,]* (?: analysts? \b .{0,20}? )? \b (?: says?
    | said | sees? | expects? | thinks? | upgrade[sd]? | downgrade[sd]? | initiate[sd]?
    | reiterate[sd]? | maintain(?:s|ed)? | boost(?:s|ed)? | lifts? | lowers? | cuts? | raise[sd]?
    | trims? | adds? | warms? | ups | slash(?:es|ed) | revise[sd]? | starts? | points?
    | (?: (?: turn(?:s|ed)? | gets? | got | is ) \s (?:more\s)? )?
      (?: bullish | bearish | positive | cautious | wary ) ) \b"""
)
_SPOKEN_AT = re.compile(
    r"""(?ix) \b (?: upgraded? | downgraded? | cut | raised | lowered | lifted | boosted | rated
    | initiated | initiation | started | reiterated | target | rating | pick | buy | sell | hold
    | neutral | overweight | underweight | coverage | analysts? | strategists? ) \b .{0,30}? \b
    (?: at | by | from ) \s* $
    | \b says \s $"""
)
# "Halcyon may need capital - JPMorgan", with nothing but links behind it.
_CREDITED = re.compile(r"(?:\s[-\u2013\u2014]|:)\s$")
_NOTHING_MORE = re.compile(r"(?:\s?https?://\S+)*\s?$")
SPOKEN_AT_CHARS = 50

FIELD_ROOTS = ("attributes", "author", "lang")
MAX_VALUES = 20


class SubjectFinder:
    """Finds the subjects of an event by a knowledge base and the user's own fields."""

    def __init__(self, base: KnowledgeBase, fields: Mapping[str, str]) -> None:
        """fields: kind of subject to the dotted name of where it stands. Raises SettingsError."""
        self.base = base
        self._search = MentionSearch(base)
        self._reads = {kind: _field(kind, path) for kind, path in fields.items()}

    @classmethod
    def load(cls, settings: Subjects) -> SubjectFinder:
        """Raises SettingsError naming file, line and company, or the field."""
        return cls(KnowledgeBase.load(settings.companies), settings.fields)

    def find(self, event: Event, topic: str | None) -> tuple[Subject, ...]:
        """Subjects in the order ticker, sector, customer, topic, own fields; each at most once.

        A ticker is fully relevant (1.0) when it stands in the record's own list or is named in the
        title. One that only the text names has an even part where the text names three companies or
        more, by how often it names each, and half of its part when it is first named after
        LEAD_CHARS; a bank that speaks about another company has VOICE at most. A sector is as
        relevant as its most relevant company. topic is the model's answer, None when it abstained.
        """
        tickers = self._tickers(event)
        subjects = [Subject("ticker", ticker, relevance) for ticker, relevance in tickers.items()]
        sectors: dict[str, float] = {}
        for ticker, relevance in tickers.items():
            if company := self.base.by_symbol.get(ticker):
                sectors[company.sector] = max(sectors.get(company.sector, 0.0), relevance)
        subjects += [Subject("sector", sector, relevance) for sector, relevance in sectors.items()]
        if event.customer:
            subjects.append(Subject("customer", event.customer))
        if topic and topic != "other":
            subjects.append(Subject("topic", topic))
        for kind, (root, read) in self._reads.items():
            subjects += [Subject(kind, one) for one in _values(read({root: getattr(event, root)}))]
        return tuple(subjects)

    def _tickers(self, event: Event) -> dict[str, float]:
        relevances = {as_listed(ticker): 1.0 for ticker in event.tickers}
        in_title = self._search.find(event.title, tuple(relevances)) if event.title else []
        spoken_of = {mention.ticker for mention in in_title}
        for mention in in_title:
            relevance = self._part(event.title, mention, others=len(spoken_of) > 1)
            relevances[mention.ticker] = max(relevances.get(mention.ticker, 0.0), relevance)
        in_text = self._search.find(event.text, tuple(relevances))
        counts = Counter(mention.ticker for mention in in_text)
        among = len(counts)
        for mention in in_text:
            if mention.ticker in relevances:
                continue
            share = 1.0 if among < SHARED_FROM else counts[mention.ticker] / counts.total()
            part = self._part(event.text, mention, others=among > 1)
            if mention.start >= LEAD_CHARS:
                share *= ASIDE
            relevances[mention.ticker] = round(min(share, part), 3)
        return relevances

    def _part(self, text: str, mention: Mention, *, others: bool) -> float:
        company = self.base.by_symbol.get(mention.ticker)
        if not others or company is None or company.sector != VOICE_SECTOR:
            return 1.0
        before = text[max(0, mention.start - SPOKEN_AT_CHARS) : mention.start]
        speaks = (
            _SPEAKS.match(text, mention.end)
            or _SPOKEN_AT.search(before)
            or (_CREDITED.search(before) and _NOTHING_MORE.match(text, mention.end))
        )
        return VOICE if speaks else 1.0


def _field(kind: str, path: str) -> tuple[str, Read]:
    setting = f"subjects.fields.{kind}"
    names, read = compile_name(setting, path)
    if names[0] not in FIELD_ROOTS:
        raise SettingsError(
            f"setting {setting}: {path!r} begins with none of {', '.join(FIELD_ROOTS)}; "
            'what no field of the source takes is under attributes, such as "attributes.product"'
        )
    return names[0], read


def _values(found: Any) -> list[str]:
    """Strings and whole numbers, alone or in a list, as ids of subjects; anything else is none.

    Nor is one that is too long: two that are cut could become one.
    """
    listed = found if isinstance(found, list) else [found]
    ids: dict[str, None] = {}
    for item in listed[:MAX_VALUES]:
        if type(item) is str or type(item) is int:
            one = clean_text(str(item), MAX_ID_CHARS + 1)
            if one and len(one) <= MAX_ID_CHARS:
                ids[one] = None
    return list(ids)
