"""The page in a headless Chromium, from the drop to the saved file; the sound that comes out is measured."""

import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import soundfile

from overtone.restoration.restore_file import restore_file
from tests.app.conftest import RATE, write_song
from tests.helpers import ROOT, browser

pytest.importorskip("selenium", reason="selenium is not installed: pip install selenium")
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = browser.needed

START = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r});"
COMMAND = [sys.executable, "-c", f"{START} from overtone.cli.main import main; sys.exit(main())", "app"]
# Runs before the page: what reaches the loudspeaker also reaches an analyser. sounding() gives the mean level
# in dB below 5 kHz and above 7 kHz; the file ends at 6 kHz.
TAP = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to === this.context.destination) {
    window.tap ??= Object.assign(this.context.createAnalyser(), {fftSize: 4096, smoothingTimeConstant: 0});
    connect.call(this, window.tap);
  }
  return connect.call(this, to, ...rest);
};
window.sounding = () => {
  if (!window.tap) return null;
  const bins = new Float32Array(tap.frequencyBinCount);
  tap.getFloatFrequencyData(bins);
  const bin = (hertz) => Math.round(hertz / tap.context.sampleRate * tap.fftSize);
  const mean = (some) => some.reduce((sum, level) => sum + Math.max(level, -150), 0) / some.length;
  return {low: mean(bins.subarray(0, bin(5000))), high: mean(bins.subarray(bin(7000)))};
};
"""
# A drop cannot be made by WebDriver: the files of an input are dropped by script.
DROP = """
const transfer = new DataTransfer();
for (const file of document.getElementById("files-to-drop").files) transfer.items.add(file);
document.getElementById("drop").dispatchEvent(
  new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
"""


class User:
    """A person at a browser."""

    def __init__(self, downloads):
        self.driver = browser.start(downloads)
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": TAP})

    def wait(self, holds, seconds=40):
        return WebDriverWait(self.driver, seconds, 0.05).until(lambda _: holds())

    def find(self, css):
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def press(self, *keys):
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def drop(self, *paths):
        self.driver.execute_script(
            "const input = Object.assign(document.createElement('input'), {type: 'file', multiple: true,"
            "id: 'files-to-drop'}); document.body.append(input)"
        )
        self.find("#files-to-drop").send_keys("\n".join(map(str, paths)))
        self.driver.execute_script(DROP + "document.getElementById('files-to-drop').remove()")

    def button(self, text):
        """The shown button with a text in the list of files, or None."""
        shown = self.driver.find_elements(By.CSS_SELECTOR, "#list button")
        return next((button for button in shown if button.is_displayed() and button.text == text), None)

    def sounding(self):
        """Levels of what sounds now; waits until a switch has gone through the analyser."""
        time.sleep(0.3)
        return self.wait(
            lambda: (now := self.driver.execute_script("return sounding()")) and now["low"] > -120 and now
        )


@pytest.fixture
def user(tmp_path):
    made = User(tmp_path)
    yield made
    made.driver.quit()


@pytest.fixture
def server(tmp_path):
    words = [*COMMAND, "--port", "0", "--work", str(tmp_path / "work")]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            process.address = process.stdout.readline().split()[-1]
            yield process
        finally:
            process.kill()


def test_from_the_drop_to_the_saved_file(tmp_path, user, server):
    song = write_song(tmp_path / "song.wav", 6)
    driver = user.driver
    driver.get(server.address)
    (tmp_path / "notes.txt").write_text("no sound")
    user.drop(song, tmp_path / "notes.txt")
    user.wait(lambda: "1 file is neither sound nor film" in user.find("#notice").text)
    user.wait(lambda: "treble added above 5.7 kHz" in user.find("#list").text)
    user.wait(lambda: user.find("#play").is_displayed() and user.find("#play").is_enabled())

    # Play, switch at the same position: the file has nothing up there, both are equally loud below.
    user.press(" ")
    user.wait(lambda: user.find("#play").text == "Pause")
    restored = user.sounding()
    user.press("f")
    file = user.sounding()
    assert file["high"] < restored["high"] - 20
    # One loudness: with more treble there is less of the rest, as much as white noise needs.
    assert -1 < file["low"] - restored["low"] < 12
    # The controls are heard at once: without an amount nothing is added.
    user.press("r")
    amount = user.find("#amount")
    amount.send_keys(Keys.HOME)
    assert user.find("output[for=amount]").text == "off"
    user.wait(lambda: user.sounding()["high"] < restored["high"] - 20)
    user.find("#reset").click()
    user.press(" ")
    user.wait(lambda: user.find("#play").text == "Play")

    # The line moves by keys and by dragging, and back.
    line = user.find("#cutoff")
    line.send_keys(Keys.ARROW_DOWN)
    assert "Restore from 5.65 kHz on" in user.find("#redo").text
    height = user.find("#spectrogram").size["height"]
    drag = webdriver.ActionChains(driver).click_and_hold(line).move_by_offset(0, -round(height / 4))
    drag.release().perform()
    hertz = float(user.find("#restore").text.split()[2]) * 1000
    assert abs(hertz - (5720 + RATE / 8)) < 300
    user.find("#keep").click()
    assert not user.find("#redo").is_displayed()

    # A file is cancelled, tried again, and goes on over a reload in the middle.
    user.drop(write_song(tmp_path / "long.wav", 60))
    user.wait(lambda: "restoring" in user.find("#list").text)
    user.button("Cancel").click()
    user.wait(lambda: "cancelled" in user.find("#list").text)
    user.button("Try again").click()
    user.wait(lambda: "restoring" in user.find("#list").text)

    driver.refresh()
    user.wait(lambda: user.find("#list").text.count("treble added above 5.7 kHz") == 2)
    # Another tab has none of it.
    driver.switch_to.new_window("tab")
    driver.get(server.address)
    user.wait(lambda: user.find("#choose").is_displayed())
    time.sleep(0.5)
    assert not user.find("#list-section").is_displayed()
    driver.close()
    driver.switch_to.window(driver.window_handles[0])

    # Saved by a key, and equal to the command's.
    user.wait(lambda: user.find("#save").is_displayed() and user.find("#save").is_enabled())
    user.press("s")
    saved = tmp_path / "song.restored.flac"
    user.wait(saved.exists)
    restore_file(song, tmp_path / "command.flac")
    mine, theirs = (soundfile.read(path)[0] for path in (saved, tmp_path / "command.flac"))
    assert 10 * np.log10(np.mean((mine - theirs) ** 2) / np.mean(theirs**2) + 1e-30) < -90
    user.find("#save-all").click()
    user.wait((tmp_path / "restored.zip").exists)
    with zipfile.ZipFile(tmp_path / "restored.zip") as archive:
        assert archive.namelist() == ["song.restored.flac", "long.restored.flac"]
        assert archive.read("song.restored.flac") == saved.read_bytes()
    user.find("#picture").click()
    user.wait((tmp_path / "song.png").exists)
    assert (tmp_path / "song.png").read_bytes().startswith(b"\x89PNG")

    # A phone: nothing is wider than the screen. And each control has a name for a screen reader.
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True},
    )
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 360
    for element in driver.find_elements(By.CSS_SELECTOR, "button, input, select, [role=slider], progress"):
        if element.is_displayed():
            assert element.accessible_name, element.get_attribute("outerHTML")
    assert driver.get_log("browser") == []

    # Its end cleans up, and says so.
    server.send_signal(signal.SIGTERM)
    said = server.stdout.read()
    assert server.wait(timeout=20) == 143
    assert "removed" in said
    assert list((tmp_path / "work").iterdir()) == []
