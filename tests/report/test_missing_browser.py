"""Without a browser its tests are skipped with the reason, but not where one is required."""

import pytest

from . import browser


@pytest.fixture(params=["browser", "driver"])
def without(request, monkeypatch):
    absent = browser.BROWSERS if request.param == "browser" else browser.DRIVERS
    monkeypatch.setattr(browser.shutil, "which", lambda name: None if name in absent else f"/usr/bin/{name}")
    return "no Chromium" if request.param == "browser" else "no driver for Chromium"


def test_a_user_is_told_what_to_install(without, monkeypatch):
    monkeypatch.delenv(browser.REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"there is {without}: install Debian's package"):
        browser.skip_or_fail()


def test_where_a_browser_is_required_it_is_a_failure(without, monkeypatch):
    monkeypatch.setenv(browser.REQUIRED, "required")
    with pytest.raises(pytest.fail.Exception, match=f"required, but there is {without}"):
        browser.skip_or_fail()


def test_with_both_nothing_is_in_the_way(monkeypatch):
    monkeypatch.setattr(browser.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert browser.skip_or_fail() is None
