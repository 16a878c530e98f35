"""The twenty questions, asked through the SDK's client over stdio and answered by the tools alone."""

import re
from typing import Any

import pytest

from wx_datacube_tests.questions.conftest import Assistant, Company, ask
from wx_datacube_tests.questions.twenty import QUESTIONS, Asked, Question


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


def test_every_answer_says_what_is_missing_or_not_final(answers: dict[str, Asked]) -> None:
    """Every answer lists what is missing and what is not final in its range, if only to say that nothing is."""
    results = [result for asked in answers.values() for result in asked.results if isinstance(result, dict)]

    assert [result for result in results if not {"missing", "not_final", "notes"} <= set(result)] == []
