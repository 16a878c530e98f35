"""The documentation site in Chromium: its search finds what people ask, and its copy buttons take commands only.

Add a question to `QUESTIONS` if somebody searched the site for it in vain.
"""

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, BrowserContext

from wx_datacube_tests.test_code_blocks import BLOCKS, Block, commands

pytestmark = pytest.mark.browser

TOP = Path(__file__).parent.parent.parent
QUESTIONS = {
    "怎么改定时抓取的时间": "zh/faq/#怎么修改定时抓取的时间",
    "额度用完了怎么办": "zh/faq/#配额用完了怎么办",
    "怎么备份": "zh/faq/#怎么备份",
    "怎么换AppSecret": "zh/faq/#怎么更换-appsecret",
    "更换密钥": "zh/faq/#怎么更换-appsecret",
    "错误码48001是什么意思": "zh/faq/#错误码-48001",
    "两个账号怎么配": "zh/faq/#两个账号",
    "额度": "zh/faq/#配额用完了怎么办",
    "什么是物化": "zh/glossary/#物化",
    "群里收不到消息": "zh/faq/#群里为什么收不到消息",
    "how do I change the schedule": "faq/#how-do-i-change-the-time",
    "quota used up": "faq/#what-if-the-quota-is-used-up",
}
"""What people type, and the beginning of the address of the section that must be among the first three results."""
FOUND = """(question) => {
    const found = [];
    const walk = (root) => root.querySelectorAll("*").forEach((each) => {
        if (each.shadowRoot) walk(each.shadowRoot);
        if (each.tagName !== "A" || !each.href) return;
        if (new URL(each.href).searchParams.get("h") === question) found.push(each.href);
    });
    walk(document);
    return found.length ? found : null;
}"""
"""The addresses of the results for a question, or null: the theme shows them in a shadow root."""
TYPING = """() => {
    const focused = document.activeElement;
    return [focused, focused?.shadowRoot?.activeElement].some((each) => each?.tagName === "INPUT");
}"""
CONSOLE = [block for block in BLOCKS if block.language == "console" and block.page.startswith("docs/")]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the built site; return its address."""
    pytest.importorskip("zensical")
    folder = tmp_path_factory.mktemp("site")
    for name in ("docs", "overrides"):
        shutil.copytree(TOP / name, folder / name)
    shutil.copy(TOP / "zensical.toml", folder)
    subprocess.run([sys.executable, "-m", "zensical", "build"], cwd=folder, check=True, capture_output=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder / "site"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Provide a browser whose pages may use the clipboard."""
    found = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    yield found
    found.close()


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_search_finds_the_answer(question: str, site: str, context: BrowserContext) -> None:
    """A question, as people type it, finds the section that answers it among the first three."""
    with context.new_page() as page:
        page.goto(f"{site}/zh/")
        page.click(".md-search__button")
        page.wait_for_function(TYPING)
        page.keyboard.type(question)
        found = page.wait_for_function(FOUND, arg=question).json_value()

    shown = [re.sub(r"\?[^#]*", "", unquote(each).removeprefix(f"{site}/")) for each in found[:3]]
    assert any(each.startswith(QUESTIONS[question]) for each in shown), shown


def address(page: str) -> str:
    """Return where the site has a page."""
    return page.removeprefix("docs/").removesuffix(".md").removesuffix("index")


def without_comments(block: Block) -> list[str]:
    """Return the commands of a block, without comments behind them."""
    return [each.partition("  #")[0].rstrip() for each in commands(block)]


@pytest.mark.parametrize("name", sorted({block.page for block in CONSOLE}))
def test_copy_buttons_take_commands_only(name: str, site: str, context: BrowserContext) -> None:
    """The button of a console block copies its commands, without prompts, output and comments."""
    expected = [without_comments(block) for block in CONSOLE if block.page == name]
    with context.new_page() as page:
        page.goto(f"{site}/{address(name)}")
        buttons = page.locator(".language-console [data-md-type=copy]")
        buttons.last.wait_for(state="attached")
        copied = []
        for button in buttons.all():
            button.click(force=True)
            copied.append(page.evaluate("navigator.clipboard.readText()"))

    assert [[line.rstrip() for line in text.splitlines() if line] for text in copied] == expected
