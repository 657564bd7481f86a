"""The listening test in a headless Chromium, by clicks and keys, with the sound that comes out measured."""

import functools
import http.server
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from overtone.evaluation.listening import examples, exchange, session
from overtone.evaluation.listening.store import Store
from tests.helpers import ROOT, browser, listening_examples

pytest.importorskip("selenium", reason="selenium is not installed: pip install selenium")
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = browser.needed

START = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r});"
COMMAND = [sys.executable, "-c", f"{START} from overtone.cli.main import main; sys.exit(main())", "listen"]
SYSTEMS = ("degraded", "restored", "original")
# Runs before the page: everything that reaches the loudspeaker also reaches an analyser. heard() gives the
# tone that tells the version, and the position in the music by the pitch of the glide.
TAP = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to === this.context.destination) {
    window.tap ??= Object.assign(this.context.createAnalyser(), {fftSize: 8192, smoothingTimeConstant: 0});
    connect.call(this, window.tap);
  }
  return connect.call(this, to, ...rest);
};
window.heard = () => {
  if (!window.tap) return null;
  const bins = new Float32Array(tap.frequencyBinCount);
  tap.getFloatFrequencyData(bins);
  const hertz = tap.context.sampleRate / tap.fftSize;
  const loudest = (low, high) => {
    let best = Math.round(low / hertz);
    for (let bin = best; bin * hertz < high; bin++) if (bins[bin] > bins[best]) best = bin;
    return best;
  };
  const tone = loudest(2500, 13000);
  return {
    level: bins[tone], tone: Math.round(tone * hertz / 1000) * 1000,
    position: (loudest(300, 1800) * hertz - 400) / 400, at: tap.context.currentTime,
  };
};
"""


class Listener:
    """A person at a browser of his own."""

    def __init__(self, downloads):
        self.driver = browser.start(downloads)
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": TAP})

    def wait(self, holds, seconds=40):
        return WebDriverWait(self.driver, seconds, 0.03).until(lambda _: holds())

    def find(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def shown(self, text):
        return text in self.driver.find_element(By.TAG_NAME, "main").text

    def click(self, label):
        """Click the button that a person sees with this label."""

        def button():
            there = [one for one in self.find("button") if one.is_displayed() and one.is_enabled()]
            return next((one for one in there if one.text.split("\n")[0] == label), None)

        self.wait(button).click()

    def press(self, *keys):
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def loaded(self, page):
        self.wait(lambda: self.shown(f"Page {page} of"))
        self.wait(lambda: [one for one in self.find("#play") if one.text == "Play" and one.is_enabled()])

    def play_all(self, versions):
        """Play versions by keys, each until it counts as played."""
        if self.find("#play")[0].text == "Play":
            self.press(" ")
        for key in versions:
            self.press(key)
            self.wait(lambda: self.find(".clip.current.played"))

    def why(self):
        return self.find("#why")[0].text

    def played(self):
        """What sounds now, once it does."""

        def sound():
            now = self.driver.execute_script("return heard()")
            return now if now and now["level"] is not None and now["level"] > -70 else None

        return self.wait(sound)

    def version(self):
        """The system that is heard, by its tone; waits for a switch to have gone through the analyser."""
        time.sleep(0.25)
        tone = self.played()["tone"]
        return next((name for name, own in listening_examples.TONES.items() if own == tone), tone)


@pytest.fixture
def listener(tmp_path):
    made = Listener(tmp_path)
    yield made
    made.driver.quit()


class Server:
    """`overtone listen` as a process that can be killed."""

    def __init__(self, folder, port=0):
        self.process = subprocess.Popen(
            [*COMMAND, "--port", str(port)], cwd=folder, stdout=subprocess.PIPE, text=True
        )
        self.address = self.process.stdout.readline().split()[-1]
        self.port = int(self.address.rstrip("/").rsplit(":", 1)[1])

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


def test_a_session_by_clicks_and_keys_survives_a_reload_and_a_killed_server(tmp_path, listener):
    listening_examples.write(tmp_path / "data/examples", 2, SYSTEMS)
    server = Server(tmp_path)
    store = Store(tmp_path / "data/listening.sqlite")
    found = examples.load(tmp_path / "data/examples")
    names = session.clips(found, store.secret)
    driver = listener.driver
    try:
        driver.get(server.address)
        listener.click("Start")
        me = driver.current_url.split("#")[1]
        order = session.order(names, me, store.secret)

        def stored():
            return {rating["clip"]: rating["value"] for rating in store.rated(me, found.test)}

        # Opinions, by keys: switch, hear the other version at the same place, rate what is heard.
        listener.loaded(1)
        first, second = order[0]["clips"]
        listener.press(" ")
        assert listener.version() == names[first].system
        before = listener.played()
        listener.press("b")
        assert listener.version() == names[second].system
        after = listener.played()
        went_on = after["position"] - before["position"] - (after["at"] - before["at"])
        loop = listening_examples.SECONDS
        # The analyser looks at 0.19 s at once, in which the music may start again.
        assert abs((went_on + loop / 2) % loop - loop / 2) < 0.2
        listener.press("2", "a", "4")
        listener.wait(lambda: stored() == {first: 4, second: 2})
        listener.play_all("ab")
        listener.press(" ")  # pause: the music's clock stands still
        listener.wait(lambda: listener.find("#play")[0].text == "Play")
        clock = "return document.querySelector('#position').value"
        time.sleep(0.15)
        assert (stands := driver.execute_script(clock)) != "0"
        time.sleep(0.2)
        assert driver.execute_script(clock) == stands
        listener.press(Keys.ENTER)  # version B was played and rated, and so was A

        # The page dies in the middle: what was rated is there, and the test goes on where it was.
        listener.loaded(2)
        assert listener.why() == "Before the next page: play A, B; rate A, B."
        listener.click("5")
        listener.wait(lambda: stored().get(order[1]["clips"][0]) == 5)
        listener.play_all("a")
        assert listener.why() == "Before the next page: play B; rate B."
        driver.refresh()
        listener.click("Go on")
        listener.loaded(2)
        assert [one.get_attribute("aria-pressed") for one in listener.find(".scale button")].index(
            "true"
        ) == 4
        assert not listener.find("#next")[0].is_enabled()

        # The server dies in the middle: the page keeps the rating and sends it to the next one.
        server.kill()
        listener.press("b", "1")
        listener.wait(lambda: listener.why() == "Before the next page: play B.")
        listener.wait(lambda: listener.shown("The server does not answer"))
        assert order[1]["clips"][1] not in stored()
        server = Server(tmp_path, server.port)
        listener.wait(lambda: stored().get(order[1]["clips"][1]) == 1)
        assert not listener.find("#next")[0].is_enabled()  # rated, but never played
        listener.play_all("b")
        listener.click("Next")

        # The comparison, with sliders: by keys, and by a click on the slider itself.
        listener.loaded(3)
        listener.press("r", " ")
        assert listener.version() == "original"
        listener.play_all("rabc")
        listener.press("a", Keys.END, "b", Keys.ARROW_LEFT, Keys.ARROW_LEFT)
        assert listener.version() == names[order[2]["clips"][1]].system
        slider = listener.find(".slider input")[2]
        webdriver.ActionChains(driver).move_to_element(slider).click().perform()
        listener.wait(lambda: len(stored()) == 7)
        assert [stored()[clip] for clip in order[2]["clips"]] == [100, 48, 50]
        assert listener.version() == names[order[2]["clips"][2]].system
        listener.click("Next")
        listener.loaded(4)
        assert listener.find("#progress")[0].text.startswith("Page 4 of 4, none after it; about 1 min")
        listener.press("a", Keys.HOME, "b", Keys.PAGE_UP, "c", Keys.END)
        listener.play_all("rabc")
        listener.click("Finish")
        listener.wait(lambda: listener.shown("All 10 ratings are saved"))
        assert [stored()[clip] for clip in order[3]["clips"]] == [0, 60, 100]
        assert len(stored()) == 10

        # The next listener at this browser has ratings of his own.
        listener.click("Start as another listener")
        listener.click("Start")
        listener.loaded(1)
        listener.press("a", "3")
        other = driver.current_url.split("#")[1]
        listener.wait(lambda: len(store.rated(other, found.test)) == 1)
        assert len(stored()) == 10

        # Nothing that the browser got names a system.
        asked = "return performance.getEntriesByType('resource').map((one) => one.name)"
        addresses = driver.execute_script(asked)
        assert any(address.endswith(".wav") for address in addresses)
        texts = [driver.page_source, *addresses]
        for address in addresses:
            if not address.endswith(".wav") and not address.endswith("/ratings"):
                texts.append(urllib.request.urlopen(address).read().decode())
        for system in SYSTEMS:
            assert not [text for text in texts if system in text]
        errors = [entry for entry in driver.get_log("browser") if "Failed to load" not in entry["message"]]
        assert errors == []
    finally:
        server.kill()


def second_tab(driver):
    """Open the same listener's page in another tab."""
    address = driver.current_url
    driver.switch_to.new_window("tab")
    driver.get(address)
    return driver.window_handles


def test_two_tabs_lose_no_rating_while_the_server_is_away(tmp_path, listener):
    listening_examples.write(tmp_path / "data/examples", 1, SYSTEMS)
    server = Server(tmp_path)
    store = Store(tmp_path / "data/listening.sqlite")
    found = examples.load(tmp_path / "data/examples")
    driver = listener.driver
    try:
        driver.get(server.address)
        listener.click("Start")
        listener.loaded(1)
        me = driver.current_url.split("#")[1]
        one, two = second_tab(driver)
        listener.click("Start")
        listener.loaded(1)
        server.kill()
        listener.press("a", "5")
        driver.switch_to.window(one)
        listener.press("b", "2")
        driver.switch_to.window(two)
        driver.close()  # with a rating that the server never got
        driver.switch_to.window(one)
        server = Server(tmp_path, server.port)
        listener.wait(lambda: len(store.rated(me, found.test)) == 2)
        assert sorted(rating["value"] for rating in store.rated(me, found.test)) == [2, 5]
    finally:
        server.kill()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_static_folder_saves_a_file_that_can_be_imported(tmp_path, listener):
    found = examples.load(listening_examples.write(tmp_path / "examples", 1, SYSTEMS))
    store = Store(tmp_path / "ratings.sqlite")
    exchange.export(found, store, tmp_path / "site/test")
    handler = functools.partial(Quiet, directory=tmp_path / "site")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            # A phone's width; and in a folder of the server, not at its top.
            listener.driver.set_window_size(500, 900)
            listener.driver.get(f"http://127.0.0.1:{server.server_port}/test/")
            listener.click("Start")
            listener.loaded(1)
            width = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert listener.driver.execute_script(width) == 0
            listener.press("a", "3", "b", "4")
            listener.play_all("ab")
            listener.press(Keys.ENTER)
            listener.loaded(2)
            # A second tab rates; the first, which was loaded before, rates another version.
            one, _ = second_tab(listener.driver)
            listener.click("Go on")
            listener.loaded(2)
            listener.press("a", Keys.END, "b", Keys.END)
            listener.driver.switch_to.window(one)
            listener.press("c", Keys.END)
            listener.driver.refresh()
            listener.click("Go on")
            listener.loaded(2)
            assert [output.text for output in listener.find(".clip output")] == ["100", "100", "100"]
            listener.play_all("rabc")
            listener.press(Keys.ENTER)
            listener.wait(lambda: listener.shown("You gave 5 ratings"))
            listener.click("Save ratings to a file")
            (file,) = listener.wait(lambda: list(tmp_path.glob("ratings-*.json")))
        finally:
            server.shutdown()
    assert exchange.import_ratings(file, store) == (5, 5)
    assert exchange.import_ratings(file, store) == (5, 0)
    ratings = store.ratings(found.test)
    assert {(rating.part, rating.value) for rating in ratings} == {
        ("opinion", 3),
        ("opinion", 4),
        ("comparison", 100),
    }
    assert {rating.listener for rating in ratings} == {json.loads(file.read_text())["listener"]}
