"""A headless Chromium for tests of pages; tests that use it are skipped where it is not installed."""

import shutil

import pytest

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--disable-dev-shm-usage",
    "--window-size=1000,900",
]

needed = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="Chromium and its driver are not installed: apt-get install chromium chromium-driver",
)


def start(downloads):
    """Start Chromium, whose downloads go into a folder; returns its driver."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.binary_location = shutil.which("chromium")
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
