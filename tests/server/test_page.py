"""The page at /, in a headless browser without any other host."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedx import load
from tests.server.process import Server, serving

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    arguments = ("--task", "embedding_extraction", "--sequence-length", "8", str(folder))
    with serving(tmp_path_factory.mktemp("server"), *arguments, EMBEDX_API_KEY="secret") as made:
        yield made


@pytest.fixture
def page(server: Server) -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(10_000)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(server.url)
        yield page
        browser.close()
    assert all(url.startswith((server.url, "data:")) for url in asked)
    assert wrong == []


def test_texts_are_compared_and_looked_into(page: Any, folder: Path) -> None:
    texts = ["the cat sat", "a dog", "<b>&amp;"]
    page.get_by_label("Texts, one a line").fill("\n".join(texts))
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("send the server's key").wait_for()
    page.get_by_label("Bearer token").fill("secret")
    page.get_by_role("button", name="Compare").click()
    page.locator("#similarity").wait_for()
    vectors = load(folder, max_seq_length=8).encode(texts, normalize_embeddings=True)
    wanted = [f"{value:.2f}" for value in (vectors @ vectors.T).reshape(-1)]
    assert page.locator("#heatmap td").all_inner_texts() == wanted
    assert page.locator("#heatmap th").all_inner_texts() == texts

    page.get_by_role("button", name="the cat sat").click()
    page.locator("#look").wait_for()
    tokens = page.locator("#tokens .chip").all_inner_texts()
    assert tokens == ["[CLS]", "the", "cat", "sat", "[SEP]"]
    assert page.locator("#tokenmap td").count() == 25
    assert page.locator("#tokens .cut").count() == 0


def test_what_is_cut_off_is_struck_through(page: Any) -> None:
    page.get_by_label("Texts, one a line").fill("the cat sat on the mat and ran")
    page.locator("#keyed").evaluate("element => element.hidden = false")
    page.get_by_label("Bearer token").fill("secret")
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("button", name="the cat sat").click()
    page.locator("#look").wait_for()
    assert page.locator("#tokens .cut").all_inner_texts() == ["and", "ran"]


def test_errors_are_shown(page: Any) -> None:
    page.get_by_label("Texts, one a line").fill("")
    page.get_by_role("button", name="Compare").click()
    assert page.get_by_role("alert").inner_text() == "Type a text first."
