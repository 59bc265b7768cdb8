"""A real Chromium without a window, asked through its own driver; nothing is fetched for it."""

import base64
import json
import os
import shutil
from contextlib import contextmanager

import pytest

REQUIRED = "UNBATCH_BROWSER"
"""Environment variable: set to "required", a missing browser is a failure and no reason to skip."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVERS = ("chromedriver", "chromium.chromedriver")


def find(names):
    return next((path for path in map(shutil.which, names) if path), None)


def missing():
    """What keeps the tests from running, in words; empty if nothing does."""
    if not find(BROWSERS):
        return "there is no Chromium: install Debian's packages chromium and chromium-driver"
    if not find(DRIVERS):
        return "there is no driver for Chromium: install Debian's package chromium-driver"
    return ""


class Browser:
    """One window."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path, *, width=1280, height=900, dark=False, media=""):
        self.show(width=width, height=height, dark=dark, media=media)
        self.messages(), self.requests()
        self.driver.get(path.as_uri())

    def show(self, *, width=1280, height=900, dark=False, media=""):
        self.tell(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tell("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def tell(self, command, **arguments):
        return self.driver.execute_cdp_cmd(command, arguments)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def messages(self):
        """What stands in the console, violations of the policy included."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self):
        """Addresses of everything that was asked for."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent if not one["request"]["url"].startswith("data:")]

    def picture(self, path, *, whole=True):
        size = self.tell("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 12000), "scale": 1}
        options = {"captureBeyondViewport": True, "clip": clip} if whole else {}
        path.write_bytes(base64.b64decode(self.tell("Page.captureScreenshot", format="png", **options)["data"]))

    def violations(self, axe):
        """What axe-core finds wrong, serious or worse."""
        self.run(axe)
        found = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document, {resultTypes: ['violations']}).then(done, (error) => done({error: String(error)}));"
        )
        assert "error" not in found, found
        return [
            f"{one['impact']} {one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes'][:3]]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]


@contextmanager
def chromium(folder):
    """Start Chromium with a profile and downloads of its own in a folder; end it."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = find(BROWSERS)
    for switch in (
        "--headless=new",
        "--no-sandbox",  # needed as root, in containers; what is opened is our own page
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--force-color-profile=srgb",
        f"--user-data-dir={folder / 'profile'}",
    ):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    downloads = folder / "downloads"
    downloads.mkdir(exist_ok=True)
    service = webdriver.ChromeService(executable_path=find(DRIVERS), log_output=os.devnull)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.set_page_load_timeout(60)
        driver.set_script_timeout(120)
        browser = Browser(driver)
        browser.downloads = downloads
        browser.tell("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        yield browser
    finally:
        driver.quit()


def skip_or_fail():
    reason = missing()
    if not reason:
        return
    if os.environ.get(REQUIRED) == "required":
        pytest.fail(f"{REQUIRED}=required, but {reason}")
    pytest.skip(reason)
