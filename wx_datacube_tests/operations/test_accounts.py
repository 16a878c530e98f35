"""Accounts: the changes to `.env` that a renaming or a removal requires, in text that a person can copy."""

from pathlib import Path

import pytest

from wx_datacube.config.settings import Account, Settings
from wx_datacube.operations.accounts import after_removal, after_renaming

ONE = (Account("default"),)
SEVERAL = (Account("shop", single=False), Account("news", single=False))
LINES = {
    ONE: "WX_DATACUBE_APPID=wx1\nWX_DATACUBE_SECRET=s\nWX_DATACUBE_START=\n",
    SEVERAL: "WX_DATACUBE_SHOP_APPID=wx1\nWX_DATACUBE_NEWS_TOKEN_URL=https://tokens.example.com\n",
}


def settings(folder: Path, accounts: tuple[Account, ...]) -> Settings:
    """Return settings whose `.env` sets some of the accounts' own variables."""
    (folder / ".env").write_text(LINES[accounts])
    return Settings(folder, folder / "figures.duckdb", accounts=accounts, dotenv=folder / ".env")


@pytest.mark.parametrize(
    ("accounts", "old", "said"),
    [
        (
            ONE,
            "default",
            "In .env: WX_DATACUBE_ACCOUNT=paper. Or, with several accounts:"
            " WX_DATACUBE_ACCOUNTS=paper,…, WX_DATACUBE_APPID becomes WX_DATACUBE_PAPER_APPID,"
            " WX_DATACUBE_SECRET becomes WX_DATACUBE_PAPER_SECRET.",
        ),
        (
            SEVERAL,
            "news",
            "In .env: paper instead of news in WX_DATACUBE_ACCOUNTS, WX_DATACUBE_NEWS_TOKEN_URL becomes"
            " WX_DATACUBE_PAPER_TOKEN_URL.",
        ),
        (
            SEVERAL,
            "club",
            "paper is not configured. To fetch data for it, name it in WX_DATACUBE_ACCOUNTS (WX_DATACUBE_ACCOUNT for"
            " one).",
        ),
    ],
    ids=["the only one", "one of several", "one that is not configured"],
)
def test_a_renaming_lists_the_variables_to_rename(
    tmp_path: Path, accounts: tuple[Account, ...], old: str, said: str
) -> None:
    """After a renaming the message names each variable that is set, with its new name."""
    assert str(after_renaming(settings(tmp_path, accounts), old, "paper")) == said


def test_a_renaming_lists_no_variable_if_env_has_the_new_name(tmp_path: Path) -> None:
    """If `.env` has the new name already, the message doesn't ask to change it."""
    assert str(after_renaming(settings(tmp_path, SEVERAL), "club", "news")) == "The settings already name news."


@pytest.mark.parametrize(
    ("accounts", "name", "lines"),
    [
        (ONE, "default", "WX_DATACUBE_ACCOUNT, if it is set, WX_DATACUBE_APPID, WX_DATACUBE_SECRET."),
        (SEVERAL, "shop", "shop in WX_DATACUBE_ACCOUNTS, WX_DATACUBE_SHOP_APPID."),
    ],
    ids=["the only one", "one of several"],
)
def test_a_removal_lists_the_lines_of_env_to_delete(
    tmp_path: Path, accounts: tuple[Account, ...], name: str, lines: str
) -> None:
    """After a removal the message lists the lines of `.env` to delete, or the next run fetches the account again."""
    said = after_removal(settings(tmp_path, accounts), name)
    assert str(said) == f"Remove from .env, or the next run fetches everything again: {lines}"


def test_a_removal_of_an_unconfigured_account_lists_no_line(tmp_path: Path) -> None:
    """For an account that isn't configured no line of `.env` has to be deleted."""
    said = after_removal(settings(tmp_path, SEVERAL), "club")
    assert str(said) == "club is not configured: .env needs no change."
