from __future__ import annotations

from connectors.live.connection.subscriptions import Subscriptions
from connectors.venues.protocol import Refused, Subscribed


def asked(*topics, questions=1):
    subscriptions = Subscriptions(topics)
    subscriptions.ask(topics, questions)
    return subscriptions


def test_each_topic_is_confirmed_by_its_name():
    s = asked("a", "b")
    s.hear(Subscribed("a"))
    assert (list(s.pending), s.answered) == (["b"], False)
    s.hear(Subscribed("b"))
    assert (list(s.pending), s.answered) == ([], True)


def test_answers_without_a_name_confirm_when_all_questions_have_one():
    s = asked("a", "b", "c", questions=2)
    s.hear(Subscribed(""))
    assert (list(s.pending), s.answered) == (["a", "b", "c"], False)
    s.hear(Subscribed(""))
    assert (list(s.pending), s.answered) == ([], True)


def test_data_confirms_its_topic():
    s = asked("a", "b")
    s.data("b")
    s.data("unknown")
    assert list(s.pending) == ["a"]


def test_a_refused_topic_does_not_take_the_others_along():
    s = asked("a", "b")
    s.hear(Refused("b", "no such symbol"))
    s.hear(Subscribed("a"))
    assert s.refused == {"b": "no such symbol"}
    assert s.answered
    assert not s.all_refused


def test_a_refusal_that_names_no_topic_leaves_all_in_doubt():
    s = asked("a", "b", questions=2)
    s.hear(Refused("", "bad"))
    s.hear(Subscribed(""))
    assert list(s.pending) == ["a", "b"]
    assert s.answered
    assert not s.refused


def test_a_refusal_without_a_name_is_of_the_only_topic():
    s = asked("a", "b")
    s.hear(Refused("", "bad"))
    s.ask(("a",), 1)
    s.hear(Subscribed(""))
    s.ask(("b",), 1)
    s.hear(Refused("", "bad"))
    assert s.refused == {"b": "bad"}
    assert not s.pending


def test_it_is_known_when_all_topics_were_refused():
    s = asked("a", "b")
    s.hear(Refused("a", "x"))
    assert not s.all_refused
    s.hear(Refused("b", "y"))
    assert s.all_refused


def test_a_late_error_about_something_else_refuses_nobody():
    s = asked("a")
    s.hear(Subscribed("a"))
    s.hear(Refused("", "slow down"))
    assert not s.refused
