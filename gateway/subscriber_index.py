"""Subscribers, indexed by the audiences to which they are subscribed."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.live_event import LiveEvent
from gateway.subscriptions import EndReason, EventSubscription

_NONE: frozenset[EventSubscription] = frozenset()


@dataclass(frozen=True, slots=True)
class EventAudiences:
    """The audiences that receive all of an event, and those that receive its announcement, which has no content."""

    published_to: tuple[str, ...]
    announced_to: tuple[str, ...]


class SubscriberIndex:
    """Publishes an event to the subscribers of its audiences, at a cost that does not depend on the others."""

    def __init__(self) -> None:
        self._by_audience: dict[str, set[EventSubscription]] = {}
        self._by_workspace: dict[str, set[EventSubscription]] = {}
        self._audiences: dict[EventSubscription, tuple[str, ...]] = {}
        self._workspaces: dict[EventSubscription, str] = {}

    def __bool__(self) -> bool:
        return bool(self._audiences)

    def add(self, subscription: EventSubscription, audiences: tuple[str, ...], subscribed_as: str) -> None:
        """Add a subscriber. The audiences of one that is subscribed as a workspace follow those of the workspace."""
        self._audiences[subscription] = audiences
        for audience in audiences:
            self._by_audience.setdefault(audience, set()).add(subscription)
        if subscribed_as:
            self._workspaces[subscription] = subscribed_as
            self._by_workspace.setdefault(subscribed_as, set()).add(subscription)

    def discard(self, subscription: EventSubscription) -> None:
        """Remove a subscriber."""
        for audience in self._audiences.pop(subscription, ()):
            _discard(self._by_audience, audience, subscription)
        _discard(self._by_workspace, self._workspaces.pop(subscription, ""), subscription)

    def move_workspace(self, workspace_id: str, audiences: tuple[str, ...]) -> None:
        """Give the subscribers of a workspace its new audiences."""
        for subscription in list(self._by_workspace.get(workspace_id, ())):
            self.discard(subscription)
            self.add(subscription, audiences, workspace_id)

    def publish(self, event: LiveEvent, announcement: LiveEvent | None, audiences: EventAudiences) -> None:
        """Add an event once to every subscriber that receives it.

        `announcement` is the event as it is announced; with `None` it is not announced.
        """
        receivers = self._find_subscriptions(audiences.published_to)
        for subscription in receivers:
            subscription.put(event)
        if announcement is not None:
            for subscription in self._find_subscriptions(audiences.announced_to) - receivers:
                subscription.put(announcement)

    def end_all(self, reason: EndReason) -> None:
        """End every subscription."""
        for subscription in list(self._audiences):
            subscription.end(reason)

    def _find_subscriptions(self, audiences: Iterable[str]) -> set[EventSubscription]:
        found: set[EventSubscription] = set()
        for audience in audiences:
            found |= self._by_audience.get(audience, _NONE)
        return found


def _discard(index: dict[str, set[EventSubscription]], name: str, subscription: EventSubscription) -> None:
    found = index.get(name)
    if found is not None:
        found.discard(subscription)
        if not found:
            del index[name]
