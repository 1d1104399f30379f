"""Which of the topics asked for are confirmed, and which are refused."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.venues.protocol import Refused, Subscribed


class Subscriptions:
    """The topics of a connection between question and answer.

    A venue may confirm each topic, or each question; data of a topic confirms it too.
    A refusal that names no topic leaves all in doubt that the question was about, so
    they are to be asked for one at a time.

    Args:
        topics: that are wanted.

    Attributes:
        pending: topics without an answer, in order.
        refused: topics refused, and why.
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
        """Whether there is nothing more to expect of the latest question."""
        return self._open <= 0 or not any(t in self.pending for t in self._asked)

    @property
    def all_refused(self) -> bool:
        """Whether there is nothing left to listen to."""
        return 0 < self._wanted == len(self.refused)

    def ask(self, topics: Sequence[str], questions: int) -> None:
        """Expect answers to so many questions about some topics."""
        self._asked = tuple(topics)
        self._open, self._doubt = questions, False

    def hear(self, notice: Subscribed | Refused) -> None:
        """Take an answer."""
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
        """Data of a topic came, which says that it is subscribed."""
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
