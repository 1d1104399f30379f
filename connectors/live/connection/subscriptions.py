"""The answers to subscriptions: which topics are confirmed, refused or pending."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.venues.protocol import Refused, Subscribed


class Subscriptions:
    """The subscriptions of a connection and their answers.

    A venue may confirm each topic or each request; data of a topic confirms it too. If
    a refusal names no topic, it is not known which topics of the request are refused,
    so they must be requested one at a time.

    Args:
        topics: the wanted topics.

    Attributes:
        pending: topics without an answer, in order.
        refused: refused topics, each with the reason.
        answers: number of answers so far.
    """

    def __init__(self, topics: Sequence[str]) -> None:
        self.pending = dict.fromkeys(topics)
        self.refused: dict[str, str] = {}
        self.answers = 0
        self._wanted = len(self.pending)
        self._asked: tuple[str, ...] = ()
        self._open, self._doubt = 0, False

    @property
    def answered(self) -> bool:
        """Whether the latest requests need no further answers."""
        return self._open <= 0 or not any(t in self.pending for t in self._asked)

    @property
    def all_refused(self) -> bool:
        """Whether all topics are refused."""
        return 0 < self._wanted == len(self.refused)

    def ask(self, topics: Sequence[str], questions: int) -> None:
        """Expect answers to `questions` requests for topics."""
        self._asked = tuple(topics)
        self._open, self._doubt = questions, False

    def hear(self, notice: Subscribed | Refused) -> None:
        """Note an answer."""
        self.answers += 1
        if not notice.topic:
            self._open -= 1
        if isinstance(notice, Subscribed):
            self._confirm(notice.topic)
        elif notice.topic or len(self._asked) == 1:
            self._refuse(notice.topic or self._asked[0], notice.reason)
        else:
            self._doubt = True

    def data(self, topic: str) -> None:
        """Note data of a topic, which confirms its subscription."""
        self.pending.pop(topic, None)

    def _confirm(self, topic: str) -> None:
        if topic:
            self.data(topic)
        elif self._open <= 0 and not self._doubt:
            for one in self._asked:
                self.data(one)

    def _refuse(self, topic: str, reason: str) -> None:
        if topic in self.pending:
            del self.pending[topic]
            self.refused[topic] = reason
