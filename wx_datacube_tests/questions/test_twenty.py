"""The twenty questions, asked through the SDK's client over stdio and answered by the tools alone."""

import datetime as dt
import re
from typing import Any

import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import Family
from wx_datacube.catalog.periods import label_of
from wx_datacube.config.settings import Account
from wx_datacube.warehouse.coverage import states, states_between
from wx_datacube_tests.ingesting import AFTERNOON
from wx_datacube_tests.questions.conftest import Assistant, Company, ask
from wx_datacube_tests.questions.twenty import QUESTIONS, START, YESTERDAY, Asked, Question


@pytest.fixture(scope="session")
def answers(company: Company) -> dict[str, Asked]:
    """Provide the results of every question's calls, all asked of one server."""

    async def act(it: Assistant) -> dict[str, Asked]:
        return {
            each.en: Asked([await it.call(tool, **arguments) for tool, arguments in each.calls]) for each in QUESTIONS
        }

    found: dict[str, Asked] = ask(company.warehouse.database, act)
    return found


def test_there_are_twenty_questions_in_two_languages() -> None:
    """There are twenty questions in English and Chinese, and none takes more than two calls."""
    assert len({each.en for each in QUESTIONS}) == 20
    assert [each.zh for each in QUESTIONS if not re.search("[\u4e00-\u9fff]", each.zh)] == []
    assert max(len(each.calls) for each in QUESTIONS) == 2


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda each: each.en)
def test_the_answer_is_what_was_counted_otherwise(
    question: Question, answers: dict[str, Asked], company: Company
) -> None:
    """What the tools say is what plain Python counts in the emulated worlds."""
    told: Any = question.told(answers[question.en])

    assert told == question.right(company.worlds), answers[question.en].results[-1]


@pytest.mark.parametrize("unsure", [False, True])
@pytest.mark.parametrize("first", [dt.date(2026, 9, 15), dt.date(2026, 11, 4), YESTERDAY])
def test_the_labels_of_a_range_are_those_of_ingestion(company: Company, first: dt.date, unsure: bool) -> None:
    """The states of a range, read for both accounts at once, are those that ingestion derives for each account."""
    shop = Account("shop", start=START, families=tuple(Family))
    cafe = Account("cafe", start=dt.date(2026, 11, 1), families=(Family.MESSAGES, Family.FOLLOWERS))
    last = dt.date(2026, 11, 20)
    with company.warehouse.open_published() as con:
        found = states_between(con, [shop, cafe], None, (first, last), AFTERNOON, unsure=unsure)
        expected = {
            (account.name, name, label, state)
            for account in (shop, cafe)
            for name, labels in states(con, account, AFTERNOON).items()
            for label, state in labels.items()
            if label_of(first, BY_NAME[name].period) <= label <= last
        }
    told = {(account, endpoint.name, label, state) for account, endpoint, label, state, _ in found}
    still_open = {(account, each.name) for account, each, _, state, final in found if state == "landed" and not final}

    if unsure:
        missing = {each for each in expected if each[3] == "missing"}
        assert {each for each in told if each[3] == "missing"} == missing
        assert told <= expected
    else:
        assert told == expected
    assert still_open <= {("shop", "getarticletotaldetail"), ("shop", "getbizsummary")}


def test_every_answer_says_what_is_missing_or_not_final(answers: dict[str, Asked]) -> None:
    """Every answer lists what is missing and what is not final in its range, if only to say that nothing is."""
    results = [result for asked in answers.values() for result in asked.results if isinstance(result, dict)]

    assert [result for result in results if not {"missing", "not_final", "notes"} <= set(result)] == []
