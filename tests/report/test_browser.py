"""The page in a real browser: it opens, fetches nothing, and answers the pointer and the keys."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from dans.report.gather import Page
from dans.report.page import render
from tests.report.conftest import HOSTILE

#: What keeps a browser from asking the world anything, or leaving anything behind.
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
MISSING = "the report's tests need a browser: install chromium and chromium-driver (Debian's names)"

#: Seconds that a page may take to open.
PATIENCE = 60

#: How an element is brought into view.
MIDDLE = "{block: 'center', behavior: 'instant'}"

PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
DESK = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """One browser for all tests here, with an empty profile."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        (pytest.fail if os.environ.get("DANS_NEEDS_BROWSER") else pytest.skip)(MISSING)
    options = Options()
    options.binary_location = binary
    profile = tmp_path_factory.mktemp("profile")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = Chrome(options=options, service=Service(executable_path=driver))
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def file(html: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html, "utf-8")
    return path.as_uri()


@pytest.fixture
def opened(browser: Chrome, file: str) -> Chrome:
    """The page, opened anew from a file on a desk."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", DESK)
    visit(browser, file)
    return browser


def visit(browser: Chrome, address: str) -> None:
    """Open a page, and wait until its script has run: a busy machine's browser is not that far."""
    browser.get("about:blank")
    browser.get(address)
    WebDriverWait(browser, PATIENCE).until(
        lambda one: one.execute_script(
            "return location.protocol != 'about:' && document.readyState == 'complete'"
        )
    )


def tip(browser: Chrome) -> str:
    """What the page says of a point, empty where it says nothing."""
    element = browser.find_element(By.ID, "tip")
    return element.text if element.is_displayed() else ""


def hover(browser: Chrome, element: WebElement) -> str:
    """Move the pointer there, scrolled into view; what the page says."""
    browser.execute_script(
        "arguments[0].scrollIntoView({block:'center',behavior:'instant'})", element
    )
    ActionChains(browser, duration=0).move_to_element(element).perform()
    return tip(browser)


def uncovered(browser: Chrome, group: WebElement) -> WebElement:
    """A mark that no other one lies upon, but for those of the same entity."""
    found: WebElement = browser.execute_script(
        """
        arguments[0].scrollIntoView({block: "center", behavior: "instant"});
        return [...arguments[0].querySelectorAll("use")].find((mark) => {
          const box = mark.getBoundingClientRect();
          const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
          const top = document.elementFromPoint(x, y);
          return ["x", "y"].every((key) => top.getAttribute(key) === mark.getAttribute(key));
        });
        """,
        group,
    )
    return found


def test_page_opens_without_an_error_and_fetches_nothing(opened: Chrome) -> None:
    assert "dans" in opened.title
    assert "owned" not in opened.title.split()
    assert opened.execute_script("return performance.getEntriesByType('resource').length") == 0
    complaints = opened.get_log("browser")
    assert not [line for line in complaints if line["level"] in ("SEVERE", "WARNING")], complaints


def test_policy_lets_nothing_be_fetched_or_run(opened: Chrome) -> None:
    opened.execute_script(
        """
        window.refused = [];
        addEventListener("securitypolicyviolation", (e) => refused.push(e.effectiveDirective));
        const image = new Image();
        image.src = "data:image/gif;base64,R0lGODlhAQABAAAAACw=";
        const script = document.createElement("script");
        script.textContent = "document.title = 'owned'";
        document.body.append(image, script);
        """
    )
    opened.execute_async_script("setTimeout(arguments[0], 50)")
    refused = opened.execute_script("return window.refused")
    assert sorted(refused) == ["img-src", "script-src-elem"]
    assert opened.title != "owned"


def test_hostile_names_show_as_text(opened: Chrome) -> None:
    assert not opened.find_elements(
        By.CSS_SELECTOR, "main img, main script, [onerror], [onmouseover]"
    )
    shown = opened.execute_script("return document.body.textContent")
    for name in HOSTILE:
        assert name[:160] in shown, name
    assert "owned" not in (opened.title, opened.execute_script("return window.name"))


def test_pointer_on_the_embedding_plot_names_the_entity_and_its_origin(opened: Chrome) -> None:
    said = {}
    for group in opened.find_elements(By.CSS_SELECTOR, ".points"):
        origin = opened.execute_script(
            """
            const figure = arguments[0].closest("figure");
            const group = arguments[0].dataset.group;
            return figure.querySelector(`button[data-group="${group}"]`).textContent;
            """,
            group,
        )
        name = re.sub(r"[\d, ]+$", "", origin).strip()
        said[name] = hover(opened, uncovered(opened, group)).split("\n")
        assert re.search(rf"^{name}(, \d+ times)?$", "\n".join(said[name]), re.MULTILINE), said
    pathways = [f"{which} pathway" for which in ("entity", "relation")]
    generated = [f"{pathway}, as generated" for pathway in pathways]
    assert said.keys() == {"true tails", "uniform", *pathways, *generated}
    for name, lines in said.items():
        assert lines[0].startswith("nearest to ") is (name in generated)
    assert said["true tails"][0] in HOSTILE or said["true tails"][0].startswith("xxx")
    assert all(said[name][2].endswith(", <r0>&, ?") for name in generated)


def test_pointer_on_a_curve_says_step_and_values(opened: Chrome) -> None:
    curve = opened.find_element(By.CSS_SELECTOR, "#training .curve use:last-child")
    assert re.fullmatch(r"training step 4\nA 0\.\d{4}\nB 0\.\d{4}", hover(opened, curve))
    hover(opened, opened.find_element(By.TAG_NAME, "h2"))
    assert tip(opened) == ""


def test_arrow_keys_go_from_point_to_point(opened: Chrome) -> None:
    canvas = opened.find_element(By.CSS_SELECTOR, "#training .canvas")
    canvas.send_keys(Keys.ARROW_RIGHT)
    assert tip(opened).startswith("training step 0\n")
    canvas.send_keys(Keys.ARROW_RIGHT)
    assert tip(opened).startswith("training step 2\n")
    canvas.send_keys(Keys.ESCAPE)
    assert tip(opened) == ""


def test_groups_of_the_embedding_plot_can_be_switched_off(opened: Chrome) -> None:
    group = opened.find_elements(By.CSS_SELECTOR, ".points")[-1]
    figure = group.find_element(By.XPATH, "ancestor::figure")
    button = figure.find_element(
        By.CSS_SELECTOR, f"button[data-group='{group.get_attribute('data-group')}']"
    )
    opened.execute_script("arguments[0].click()", button)
    assert button.get_attribute("aria-pressed") == "false"
    assert not group.is_displayed()
    opened.execute_script("arguments[0].click()", button)
    assert group.is_displayed()


def test_relations_can_be_sorted(opened: Chrome) -> None:
    table = opened.find_element(By.CSS_SELECTOR, "table.sortable")
    place = next(
        i
        for i, head in enumerate(table.find_elements(By.CSS_SELECTOR, "thead tr:last-child th"))
        if head.text.startswith("MRR")
    )
    head = table.find_elements(By.CSS_SELECTOR, "thead tr:last-child th")[place]
    for order in ("descending", "ascending"):
        opened.execute_script("arguments[0].click()", head.find_element(By.TAG_NAME, "button"))
        assert head.get_attribute("aria-sort") == order
        rows = table.find_elements(By.CSS_SELECTOR, "tbody tr")
        values = [float(row.find_elements(By.CSS_SELECTOR, "th, td")[place].text) for row in rows]
        assert values == sorted(values, reverse=order == "descending")
        assert len(values) == 3


@pytest.mark.parametrize("section", ["mistakes", "explanations"])
def test_runs_are_tabs(opened: Chrome, section: str) -> None:
    first, second = opened.find_elements(By.CSS_SELECTOR, f"#{section} [role=tab]")
    panels = opened.find_elements(By.CSS_SELECTOR, f"#{section} [role=tabpanel]")
    assert [panel.is_displayed() for panel in panels] == [True, False]
    opened.execute_script("arguments[0].click()", second)
    assert [panel.is_displayed() for panel in panels] == [False, True]
    second.send_keys(Keys.ARROW_LEFT)
    assert first.get_attribute("aria-selected") == "true"


def test_names_in_the_picture_of_an_explanation_stay_in_their_boxes(opened: Chrome) -> None:
    rooms = opened.execute_script(
        """
        const boxes = document.querySelectorAll("#explanations .entity");
        return [...boxes].filter((box) => box.checkVisibility()).map((box) => {
          const [shape, text] = [...box.children].map((one) => one.getBoundingClientRect());
          return shape.width - text.width;
        });
        """
    )
    assert len(rooms) > 4
    assert min(rooms) > 0


@pytest.mark.parametrize("device", [DESK, PHONE], ids=["desk", "phone"])
def test_nothing_sticks_out_at_the_side(browser: Chrome, file: str, device: dict[str, int]) -> None:
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    visit(browser, file)
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= device["width"]


def test_buttons_of_a_legend_are_large_enough_for_a_finger(opened: Chrome) -> None:
    for button in opened.find_elements(By.CSS_SELECTOR, ".legend button"):
        assert button.size["height"] >= 32


def test_names_in_a_table_that_scrolls_are_not_broken(browser: Chrome, file: str) -> None:
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    visit(browser, file)
    broken = browser.execute_script(
        """
        const named = document.querySelectorAll("#relations tbody bdi, header tbody bdi");
        const texts = ["manifestation_of", "co-occurs_with"];
        named.forEach((one, i) => { one.textContent = texts[i % 2]; });
        return [...named].filter((one) => {
          const range = document.createRange();
          range.selectNodeContents(one);
          return new Set([...range.getClientRects()].map((line) => line.top)).size > 1;
        }).length;
        """
    )
    assert broken == 0


@pytest.mark.parametrize(("number", "turned"), [(4, False), (8, True)])
def test_tables_of_many_runs_fit_on_paper(
    browser: Chrome, page: Page, tmp_path: Path, number: int, *, turned: bool
) -> None:
    (tmp_path / "many.html").write_text(render(repeated(page, number)), "utf-8")
    # A4 without Chromium's margins, in pixels of CSS; turned where there are many runs.
    wide, high = (1047, 718) if turned else (718, 1047)
    paper = {"width": wide, "height": high, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        visit(browser, (tmp_path / "many.html").as_uri())
        ends = browser.execute_script(
            """
            return [...document.querySelectorAll("table")].map((table) =>
              [table.getBoundingClientRect().right, table.closest("section, header").id]);
            """
        )
        page_of = browser.execute_script(
            "return getComputedStyle(document.getElementById('relations')).page"
        )
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert not [(end, section) for end, section in ends if end > wide]
    assert (page_of == "wide") == turned


def test_relations_of_three_runs_fit_on_a_desk(browser: Chrome, page: Page, tmp_path: Path) -> None:
    (tmp_path / "three.html").write_text(render(repeated(page, 3)), "utf-8")
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", DESK)
    visit(browser, (tmp_path / "three.html").as_uri())
    room, wide = browser.execute_script(
        """
        const table = document.querySelector("#relations table");
        table.querySelectorAll("tbody bdi").forEach((one, i) => {
          one.textContent = ["manifestation_of", "/people/person/nationality"][i % 2];
        });
        table.parentElement.style.overflowY = "scroll";
        return [table.parentElement.clientWidth, table.parentElement.scrollWidth];
        """
    )
    assert wide <= room


def repeated(page: Page, number: int) -> Page:
    """A page of so many runs, all of them the first two again."""
    runs = tuple(replace(page.runs[i % 2], letter="ABCDEFGH"[i]) for i in range(number))
    parts = {
        key: tuple(
            replace(part, scores=(part.scores * number)[:number]) for part in getattr(page, key)
        )
        for key in ("classes", "degrees", "relations")
    }
    return replace(page, runs=runs, **parts)


def test_dark_page_is_dark_and_its_text_is_legible(opened: Chrome) -> None:
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    try:
        ink, paper = opened.execute_script(
            "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
        )
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert brightness(paper) < 40
    assert brightness(ink) > 200


def brightness(colour: str) -> float:
    """``rgb(0, 0, 0)`` to 0."""
    parts = [int(part) for part in re.findall(r"\d+", colour)[:3]]
    return sum(parts) / 3
