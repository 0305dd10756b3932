"""The page in a real browser, with the network off."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from builders import LEDGER, record, trial
from velodrome import record as records
from velodrome import report
from velodrome.parity.deviation import Deviation
from velodrome.parity.kernels import Kernels
from velodrome.parity.verdict import Verdict, keep
from velodrome.record import Record
from velodrome.store import RESULTS

Browser = webdriver.Chrome
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="the page is not tested: no browser here (apt-get install chromium chromium-driver)",
)

# Seconds an epoch of each engine, at batch 64; half as many at batch 256.
SPEEDS = {"jax": 1.0, "keras-jax": 1.25, "mxnet": 2.0, "keras-mxnet": 2.5, "torch": 4.0}


DEVIATION = Deviation(quantity="loss", error=1e-8, noise=1e-8, tolerance=1e-6, limit=1e-3)

# Quicker than all, but it trains something else.
CHEAT = "tensorflow"


def results() -> list[Record]:
    measured = [
        msgspec.structs.replace(
            record(
                trial(engine=engine, batch_size=batch_size, repeat=repeat),
                seconds=(pace * 1.5, pace, pace * (1 + repeat / 100)),
            ),
            ledger=LEDGER,
        )
        for engine, seconds in {**SPEEDS, CHEAT: 0.1}.items()
        for batch_size, pace in ((64, seconds), (256, seconds / 2))
        for repeat in range(2)
    ]
    return [*measured, record(trial(engine="neon"), status="crash")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "a-run"
    folder.mkdir()
    (folder / RESULTS).write_bytes(b"".join(records.encode(one) + b"\n" for one in results()))
    for engine, status in (("jax", "parity"), (CHEAT, "deviates")):
        keep(
            Verdict(
                status=status,
                reason="" if status == "parity" else "gradients differ",
                made="2026-01-01T00:00:00+00:00",
                trial=trial(engine=engine),
                steps=10,
                reference="float64",
                deviations=(DEVIATION,),
                kernels=(Kernels(library="oneDNN 3.7.3", calls={"convolution": 2}),),
                repeatable=True,
            ),
            folder,
        )
    with report.written([folder], report.Selection(), folder):
        pass
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1400,1000",
        # The network is off: no name is found.
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield browser
    browser.quit()


@pytest.fixture
def opened(browser: Browser, folder: Path) -> Browser:
    """The page as a reader finds it who has not touched anything."""
    browser.get((folder / report.PAGE).as_uri())
    browser.execute_script("sessionStorage.clear()")
    colours(browser, "light")
    browser.get((folder / report.PAGE).as_uri())
    return browser


def colours(browser: Browser, scheme: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )


def until(browser: Browser, condition: Callable[[Browser], object]) -> object:
    return WebDriverWait(browser, 60).until(condition)


def shown(browser: Browser, selector: str) -> list[str]:
    found = browser.find_elements(By.CSS_SELECTOR, selector)
    return [each.text for each in found if each.is_displayed()]


def drawn(browser: Browser, kind: str) -> object:
    """The figure of that kind, once it is drawn."""
    browser.execute_script(f"document.getElementById('{kind}').scrollIntoView({{block: 'center'}})")
    return until(
        browser, lambda page: page.find_elements(By.CSS_SELECTOR, f"#{kind} .plot .main-svg")
    )


def click(browser: Browser, element: WebElement) -> None:
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def names_drawn(browser: Browser, kind: str) -> list[str]:
    drawn(browser, kind)
    return browser.execute_script(
        f"return document.querySelector('#{kind} .plot').data.map((trace) => trace.name)"
    )


def test_it_loads_with_the_network_off_and_without_an_error(opened: Browser) -> None:
    for kind in ("throughput", "accuracy-over-time", "keras-over-native", "memory", "time-split"):
        drawn(opened, kind)
    assert opened.get_log("browser") == []
    asked = opened.execute_script(
        "return performance.getEntriesByType('resource').map((one) => one.name)"
    )
    assert [name for name in asked if not name.startswith(("data:", "blob:"))] == []


def test_the_answer_comes_first_and_the_ranking_is_right(opened: Browser) -> None:
    answer = opened.find_element(By.ID, "answer").text
    assert answer.startswith("jax is fastest in 2 of 2 comparisons")
    ranked = shown(opened, "#group-1 table:first-of-type tbody th")
    assert ranked[:7] == ["jax", "keras-jax", "mxnet", "keras-mxnet", "torch", CHEAT, "neon"]
    ratios = shown(opened, "#group-1 td.ratio")
    assert [float(ratio) for ratio in ratios] == pytest.approx([1.0, 0.8, 0.5, 0.4, 0.25])


def test_an_engine_that_deviates_is_flagged(opened: Browser) -> None:
    told = shown(opened, "#parity tbody tr")
    assert any(CHEAT in line and "DEVIATES" in line for line in told)
    assert any("gradients differ" in line for line in told)
    assert any("jax" in line and "at parity" in line for line in told)


def test_the_ledger_tells_how_an_engine_ran_and_what_really_ran(opened: Browser) -> None:
    told = shown(opened, "#fairness tbody tr")
    compared = [line for line in told if "oneDNN 3.7.3 (convolution x2)" in line]
    assert {line.split()[0] for line in compared} == {"jax", CHEAT}
    assert all("float32" in line and "eager" in line for line in told)
    assert len(told) == len(SPEEDS) + 1


def test_a_failure_is_told_with_its_command(opened: Browser) -> None:
    (told,) = shown(opened, ".failure")
    assert "neon" in told
    assert "it broke" in told
    assert "velodrome trial x y" in told


def test_a_filter_holds_everywhere(opened: Browser) -> None:
    Select(opened.find_element(By.NAME, "batch_size")).select_by_visible_text("batch 256")
    click(opened, opened.find_element(By.CSS_SELECTOR, "[name=engine][value=torch]"))
    lines = shown(opened, "#every tbody tr")
    assert len(lines) == 5
    assert all("batch 256" in line and "torch" not in line for line in lines)
    assert [group.split("\n")[0] for group in shown(opened, "details.group > summary h3")] == [
        "batch 256"
    ]
    assert names_drawn(opened, "throughput") == [
        "jax",
        "keras-jax",
        "keras-mxnet",
        "mxnet",
        f"{CHEAT} (deviates)",
    ]
    click(opened, opened.find_element(By.CSS_SELECTOR, "#filters [type=reset]"))
    until(opened, lambda page: len(shown(page, "#every tbody tr")) == 13)


def test_search_and_sort(opened: Browser) -> None:
    def column(number: int) -> list[str]:
        return shown(opened, f"#every tbody tr > :nth-child({number})")

    heading = opened.find_element(By.XPATH, "//table[@id='every']//button[text()='Samples/s']")
    click(opened, heading)
    fastest = [float(text.replace(",", "")) for text in column(3) if text]
    assert fastest == sorted(fastest, reverse=True)
    assert column(1)[-1] == "neon"
    click(opened, heading)
    slowest = [float(text.replace(",", "")) for text in column(3) if text]
    assert slowest == sorted(fastest)
    assert column(1)[-1] == "neon"
    assert shown(opened, "#every [aria-sort=ascending]") == [heading.text]
    opened.find_element(By.ID, "search").send_keys("keras mxnet")
    assert set(column(1)) == {"keras-mxnet"}
    assert opened.find_element(By.ID, "count").text == "2 of 13 shown"


def test_a_figure_answers_to_the_pointer(opened: Browser) -> None:
    drawn(opened, "throughput")
    point = opened.find_element(By.CSS_SELECTOR, "#throughput .scatterlayer .trace .point")
    ActionChains(opened).move_to_element(point).perform()
    told = until(opened, lambda page: shown(page, "#throughput .hovertext"))
    assert "jax, batch 64" in told[0]
    assert "samples/s" in told[0]


def test_values_stand_in_a_table_too(opened: Browser) -> None:
    drawn(opened, "keras-over-native")
    click(opened, opened.find_element(By.CSS_SELECTOR, "#keras-over-native .values summary"))
    lines = until(opened, lambda page: shown(page, "#keras-over-native .values tbody tr"))
    assert any("keras-jax over jax" in line and "0.8" in line for line in lines)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_system_until_told_otherwise(opened: Browser, scheme: str) -> None:
    def ground() -> int:
        colour = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
        return sum(json.loads(colour.replace("rgb(", "[").replace(")", "]")))

    colours(opened, scheme)
    assert (ground() < 200) == (scheme == "dark")
    opened.find_element(By.ID, "theme").click()
    assert (ground() < 200) == (scheme == "light")


def test_it_fits_a_phone(opened: Browser) -> None:
    try:
        opened.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 360, "height": 800, "deviceScaleFactor": 2, "mobile": True},
        )
        drawn(opened, "memory")
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_data_can_be_downloaded(opened: Browser, folder: Path) -> None:
    opened.execute_cdp_cmd(
        "Browser.setDownloadBehavior",
        {"behavior": "allow", "downloadPath": str(folder / "downloads")},
    )
    for button in opened.find_elements(By.CSS_SELECTOR, ".download"):
        button.click()
    taken = [folder / "downloads" / name for name in ("results.csv", "results.jsonl")]
    until(opened, lambda page: all(path.exists() and path.stat().st_size for path in taken))
    with taken[0].open(newline="") as got, (folder / "results.csv").open(newline="") as written:
        assert list(csv.reader(got)) == list(csv.reader(written))
    kept = [records.decode(line) for line in taken[1].read_bytes().splitlines()]
    assert {one.id for one in kept} == {one.id for one in results()}
