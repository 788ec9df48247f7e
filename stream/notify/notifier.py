"""Tells people: follows alert transitions, hides what is to be hidden, lets groups speak.

One worker of a deployment does it at a time. Everything it decides is written down before it is
done, so that another can go on after a kill -9: a notification whose delivery was not noted is sent
again with the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from stream.alerts.matchers import labels_of
from stream.alerts.silences import ActiveSilences
from stream.config.durations import seconds
from stream.config.settings import Alerting
from stream.connections.lease import LEASE_S, RENEW_S
from stream.notify.delivery import Courier, DeliveryCounts, Outcome
from stream.notify.group import Member
from stream.notify.inhibition import Inhibitors
from stream.notify.journal import Journal, JournalError
from stream.notify.notification import Sink
from stream.notify.routing import Routing
from stream.records import Alert
from stream.runtime.backoff import Backoff
from stream.runtime.tasks import end

logger = logging.getLogger(__name__)

TICK_S = 0.2
BREATH_S = 0.01
LAST_LOOK_S = 2.0
LOOK_AT_SILENCES_S = 1.0
LOOK_FOR_GONE_S = 60.0


class Notifier:
    """start() and stop() frame its use, on one event loop. Nothing it meets stops the pipeline.

    Without a routing it tells nobody, but still says which alerts silences hide and which flap.
    """

    def __init__(
        self,
        journal: Journal,
        routing: Routing | None,
        sinks: Mapping[str, Sink],
        alerting: Alerting,
        *,
        clock: Callable[[], float] = time.time,
        tally: DeliveryCounts | None = None,
    ) -> None:
        """Sinks by the name of their receiver; clock gives epoch seconds; tally counts for all."""
        self._clock = clock
        self._journal = journal
        self._routing = routing
        self._flapping_s = alerting.flapping_window_s
        self._stopping = asyncio.Event()
        self._leads_until = 0.0
        self._outcomes: list[Outcome] = []
        self._tally = tally or DeliveryCounts()
        self._couriers = {
            name: Courier(
                name,
                sink,
                give_up_after_s=seconds(routing.receivers[name].give_up_after) if routing else 0.0,
                ended=self._outcomes.append,
                tally=self._tally,
                may_send=lambda: time.monotonic() < self._leads_until,
            )
            for name, sink in sinks.items()
        }

    def start(self) -> None:
        for courier in self._couriers.values():
            courier.start()
        self._task = asyncio.create_task(self._run_for_ever(), name="notifier")

    async def stop(self) -> None:
        """What is being sent may end, and is written down: the next notifier sends it not again."""
        await asyncio.gather(*(courier.stop() for courier in self._couriers.values()))
        self._stopping.set()
        await asyncio.wait({self._task}, timeout=LAST_LOOK_S)
        await end(self._task)
        try:
            await self._journal.resign()
        except JournalError as error:
            logger.info("the notifier's lease ends by itself: %s", error)

    async def _run_for_ever(self) -> None:
        backoff = Backoff("the notifier can't go on", logger)
        while not self._stopping.is_set():
            try:
                if await self._holds_lease():
                    logger.info("this worker tells the receivers now")
                    await self._lead()
                    if self._stopping.is_set():
                        return
                    logger.warning("another worker tells the receivers now")
                await self._abandon()  # after an error, too, during which the lease was lost
                backoff.reset()
                await self._pause(RENEW_S)
            except Exception as error:  # noqa: BLE001 - no fault of telling may end the worker
                if time.monotonic() >= self._leads_until:
                    await self._abandon()
                await backoff.wait(error)

    async def _holds_lease(self) -> bool:
        asked = time.monotonic()
        leads = await self._journal.lead()
        self._leads_until = asked + LEASE_S if leads else 0.0
        return leads

    async def _abandon(self) -> None:
        """Leave to whoever leads now what is still being sent."""
        await asyncio.gather(*(courier.abandon() for courier in self._couriers.values()))

    async def _lead(self) -> None:
        """Return when another worker leads, or after the last round when stopping."""
        self._position, self._groups, self._hidden = await self._journal.load()
        await self._adopt()
        await self._journal.name_receivers(self._couriers)
        self._silences = ActiveSilences()
        await self._look_at_silences(first=True)
        began = time.monotonic()
        renew_at, look_at, let_go_at = began + RENEW_S, began + LOOK_AT_SILENCES_S, began
        while True:
            if time.monotonic() >= renew_at:
                renew_at = time.monotonic() + RENEW_S
                if not await self._holds_lease():
                    return
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK_AT_SILENCES_S
                await self._look_at_silences()
            if time.monotonic() >= let_go_at:
                let_go_at = time.monotonic() + LOOK_FOR_GONE_S
                await self._let_go_of_gone()
            before, last = self._position, self._stopping.is_set()
            if not await self._tick(self._clock()) or last:
                return
            # With more to read, only a breath for the pipeline, which shares this loop.
            await self._pause(TICK_S if self._position == before else BREATH_S)

    async def _pause(self, longest_s: float) -> None:
        """No longer than until it has to stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._stopping.wait()

    async def _tick(self, now: float) -> bool:
        """One round. False where another worker leads."""
        page = await self._journal.read(self._position)
        if page.lost:
            logger.warning(
                "the alert stream lost transitions before they were read (raise "
                "alerting.stream_length); going on with the %d open alerts",
                len(page.alerts),
            )
            self._groups.resolve_all_but({alert.id for alert in page.alerts})
        firing = [alert for alert in page.alerts if alert.state == "firing"]
        flapping = await self._journal.mark_flapping(firing)
        # Of an alert that changed often within a page only the last transition matters.
        for alert in {alert.id: alert for alert in page.alerts}.values():
            await self._meet(alert, now, flapping=alert.id in flapping)
        hidden = self._let_speak(now)
        ended = tuple(self._outcomes)
        for outcome in ended:
            note = self._groups.failed if outcome.error else self._groups.delivered
            note(outcome.notification.group, outcome.notification.id, now)
        writes = self._groups.drain()
        moved = writes or hidden or page.position != self._position
        if moved and not await self._journal.commit(page.position, writes, hidden):
            return False
        self._position = page.position
        del self._outcomes[: len(ended)]
        await self._count(ended)
        await self._journal.note_troubles(self._tally.troubles)
        # What is under way was written down above; only now may it leave.
        for group in self._groups.groups.values():
            if group.sending:
                self._couriers[group.receiver].offer(group.sending.notification)
        return True

    async def _count(self, ended: Sequence[Outcome]) -> None:
        for outcome in ended:  # all, before what may fail: one that is held is never sent again
            self._couriers[outcome.notification.receiver].forget(outcome.notification.id)
        for outcome in ended:
            await self._journal.count(outcome.notification.receiver, error=outcome.error)

    async def _meet(self, alert: Alert, now: float, *, flapping: bool) -> None:
        if flapping:
            handling = msgspec.structs.replace(alert.handling, flapping=True)
            alert = msgspec.structs.replace(alert, handling=handling)
        await self._say_silence(alert)
        if self._routing:
            self._groups.take(alert, self._routing, now)

    async def _look_at_silences(self, *, first: bool = False) -> None:
        known = self._silences.ids
        self._silences = ActiveSilences(await self._journal.silences())
        # At first too: a silence may have ended while nobody led.
        if first or self._silences.ids != known:
            for alert in await self._journal.open_alerts():
                await self._say_silence(alert)

    async def _let_go_of_gone(self) -> None:
        """End alerts that expired in Redis or were lost there: nothing else will, nor anybody."""
        gone = await self._journal.gone([alert.id for alert in self._groups.open_alerts()])
        if gone:
            logger.warning(
                "%d alerts are gone from Redis without an end, as %s; their receivers are told "
                "that they are over",
                len(gone),
                gone[0],
            )
            self._groups.resolve(gone)

    async def _say_silence(self, alert: Alert) -> None:
        """Publish that a silence hides the alert, or does no longer, where that is news."""
        if alert.state == "resolved":
            return
        silence = self._silences.hiding(labels_of(alert))
        if silence and alert.handling.silence != silence.id:
            await self._journal.say_silenced(alert.id, silence)
        elif alert.handling.silence and not silence:
            await self._journal.say_unsilenced(alert.id, alert.handling.silence)

    def _let_speak(self, now: float) -> dict[str, str]:
        """Decide for every due group; the alerts for which it changed why they are hidden."""
        changed: dict[str, str] = {}
        due = self._groups.due(now)
        if not due or not self._routing:
            return changed
        inhibitors = Inhibitors(
            self._routing.inhibit_rules,
            ((alert.id, labels_of(alert)) for alert in self._groups.open_alerts()),
        )
        for key in due:
            group = self._groups.groups[key]
            hidden = {}
            for name, member in self._groups.members(key).items():
                reason = self._why_hidden(member, inhibitors, now)
                if reason:
                    hidden[name] = reason
                if reason != self._hidden.pop(name, ""):
                    changed[name] = reason
                    if reason:
                        logger.info("alert %s is not notified: %s", name, reason)
                if reason:
                    self._hidden[name] = reason
            self._groups.decide(
                key,
                now,
                hidden=hidden,
                muted=self._routing.muted(
                    group.mute, group.active, datetime.fromtimestamp(now, UTC)
                ),
                send_resolved=self._routing.receivers[group.receiver].send_resolved,
            )
        return changed

    def _why_hidden(self, member: Member, inhibitors: Inhibitors, now: float) -> str:
        if not member.open:
            return ""
        alert = member.alert
        labels = labels_of(alert)
        if silence := self._silences.hiding(labels):
            return f"silence {silence.id} by {silence.author}"
        if source := inhibitors.hiding(alert.id, labels):
            return f"inhibited by alert {source}"
        # Trouble that has come to stay is told after all.
        if alert.handling.flapping and now < member.since + self._flapping_s:
            return "flapping"
        return ""

    async def _adopt(self) -> None:
        """Have each open alert where the routing file leads it now, which may be another one."""
        alerts = list(self._groups.open_alerts())
        for key, group in list(self._groups.groups.items()):
            if self._routing and group.receiver in self._couriers:
                self._groups.follow(key, self._routing)
            else:
                logger.warning("receiver %s is gone; its alerts are routed anew", group.receiver)
                self._groups.forget(key)
        for alert in alerts:
            await asyncio.sleep(0)  # for the pipeline, which shares this loop
            if self._routing:
                self._groups.take(alert, self._routing, self._clock())
        if stale := {name: "" for name in self._hidden if not self._groups.holds(name)}:
            await self._journal.commit(self._position, (), stale)
            self._hidden = {name: why for name, why in self._hidden.items() if name not in stale}
