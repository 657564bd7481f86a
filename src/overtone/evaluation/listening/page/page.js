// The page: introduction, trials, break, end. It has clips by meaningless names only.
import { Player } from "./player.js";
import { Saving, newListener } from "./saving.js";
import { Progress } from "./progress.js";

const WORDS = ["Bad", "Poor", "Fair", "Good", "Excellent"];
const LAST = "overtone-listening/last";
const $ = (id) => document.getElementById(id);
const player = new Player();
const PLAYED = 0.5; // seconds after which a version counts as played
const TICK = 100; // milliseconds
let test, saving, progress, trials = [], index = 0, trial = null, rows = [];
let sounded = { clip: null, seconds: 0 };

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function notify(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

function show(section) {
  for (const id of ["intro", "trial", "rest", "end"]) $(id).hidden = id !== section;
  if (section !== "trial") player.context && player.pause();
  window.scrollTo(0, 0);
}

const rated = ({ clips }) => clips.every((clip) => saving.rating(clip) !== undefined);
// The open reference is played like any version.
const sounds = ({ clips, reference }) => (reference ? [...clips, reference] : clips);
const played = (one) => sounds(one).every((clip) => saving.played.has(clip));
const complete = (one) => rated(one) && played(one);

// The address names the listener, so two of them can share a browser, and one can change browsers.
async function begin(listener) {
  history.replaceState(null, "", `#${listener}`);
  try { localStorage.setItem(LAST, listener); } catch { /* private mode: the address does it */ }
  saving?.close();
  saving = new Saving(test, listener, notify, () => trial && refresh());
  trials = await saving.begin();
  // Pages before the last one with a rating were finished, perhaps on another device.
  const reached = trials.findLastIndex(({ clips }) => clips.some((clip) => saving.rating(clip) !== undefined));
  for (const one of trials.slice(0, Math.max(reached, 0))) sounds(one).forEach((clip) => saving.play(clip));
  progress = new Progress(trials);
  const first = trials.findIndex((one) => !complete(one));
  index = first < 0 ? trials.length : first;
  if (saving.memoryOnly) notify("This browser keeps nothing: do not close the page before you are done.");
  document.body.dataset.saving = test.saving;
  for (const element of document.querySelectorAll(".file, .save, .here")) {
    element.hidden = saving.toServer;
  }
  $("length").textContent = progress.text(index);
  $("start").textContent = saving.count ? "Go on" : "Start";
  $("fresh").hidden = !saving.count;
  show("intro");
}

async function open(number) {
  index = number;
  if (index >= trials.length) return finish();
  trial = trials[index];
  const opinion = trial.part === "opinion";
  $("question").textContent = opinion
    ? "How good does each version sound?"
    : "How close is each version to the reference?";
  $("help").textContent = opinion
    ? "Give each version a score by itself; equal scores are fine."
    : "100 is no difference that you hear. One of the versions is the reference itself.";
  const last = String.fromCharCode(64 + trial.clips.length);
  const keys = [["Space", "play, pause"], [`A to ${last}`, "switch"]];
  if (!opinion) keys.splice(1, 0, ["R", "reference"]);
  keys.push(opinion ? ["1 to 5", "score of what you hear"] : ["← →", "its slider, Page keys by ten"], ["Enter", "next"]);
  $("keys").replaceChildren(...keys.flatMap(([key, does]) => [make("kbd", { textContent: key }), ` ${does}   `]));
  rows = trial.clips.map((clip, at) => (opinion ? opinionRow : sliderRow)(clip, String.fromCharCode(65 + at)));
  if (!opinion) rows.unshift(referenceRow(trial.reference));
  $("clips").replaceChildren(...rows.map((row) => row.element));
  sounded = { clip: null, seconds: 0 };
  $("back").disabled = index === 0;
  show("trial");
  refresh();
  await load();
}

async function load() {
  const asked = trial;
  $("play").disabled = true;
  $("play").textContent = "Loading";
  try {
    await player.load(rows.map((row) => row.clip));
  } catch {
    if (asked !== trial) return;
    $("play").disabled = false;
    $("play").textContent = "Try again";
    return notify("The sounds could not be loaded.");
  }
  if (asked !== trial) return;
  select(rows[0], false);
  $("play").disabled = false;
  refresh();
  // The next page's sounds are fetched meanwhile.
  const next = trials[index + 1];
  if (next) sounds(next).forEach((clip) => player.fetch(clip).catch(() => {}));
}

function switcher(clip, label, spoken) {
  const button = make("button", { className: "switch", textContent: label });
  button.setAttribute("aria-label", spoken);
  button.addEventListener("click", () => select(rows.find((row) => row.clip === clip)));
  return button;
}

function referenceRow(clip) {
  const button = switcher(clip, "Reference", "Reference");
  return { clip, button, element: make("div", { className: "clip reference" }, button), focus: button };
}

function opinionRow(clip, letter) {
  const button = switcher(clip, letter, `Version ${letter}`);
  const choices = WORDS.map((word, at) => {
    const choice = make("button", {}, make("b", { textContent: at + 1 }), word);
    choice.addEventListener("click", () => rate(clip, at + 1));
    return choice;
  });
  const scale = make("div", { className: "scale", role: "group" }, ...choices);
  scale.setAttribute("aria-label", `Score of version ${letter}`);
  return { clip, letter, button, choices, element: make("div", { className: "clip" }, button, scale), focus: button };
}

function sliderRow(clip, letter) {
  const button = switcher(clip, letter, `Version ${letter}`);
  const slider = make("input", { type: "range", min: 0, max: 100, step: 1, value: saving.rating(clip) ?? 50 });
  slider.setAttribute("aria-label", `Version ${letter}, 0 to 100`);
  const output = make("output");
  const row = { clip, letter, button, slider, output, focus: slider };
  // Moving a slider plays its version.
  for (const event of ["pointerdown", "input"]) {
    slider.addEventListener(event, () => player.current === clip || select(row, false));
  }
  slider.addEventListener("input", () => { output.textContent = slider.value; });
  // A key or the end of a drag; a click on the handle counts as well.
  for (const event of ["change", "click"]) slider.addEventListener(event, () => rate(clip, Number(slider.value)));
  const words = make("div", { className: "words" }, ...WORDS.map((word) => make("span", { textContent: word })));
  words.ariaHidden = "true";
  row.element = make("div", { className: "clip" }, button, make("div", { className: "slider" }, slider, words), output);
  return row;
}

function select(row, focus = true) {
  if (!row || !player.duration) return;
  player.select(row.clip);
  if (focus) row.focus.focus({ preventScroll: false });
  refresh();
}

function rate(clip, value) {
  saving.rate(clip, value);
  refresh();
}

// The versions for which a condition does not hold yet, by their letters: "A, C".
const missing = (holds) => rows.filter((row) => !holds(row)).map((row) => row.letter ?? "the reference").join(", ");

// Why the next page is not open yet; empty if it is.
function reason() {
  const unplayed = missing(({ clip }) => saving.played.has(clip));
  const unrated = missing(({ clip, letter }) => !letter || saving.rating(clip) !== undefined);
  const steps = [unplayed && `play ${unplayed}`, unrated && `rate ${unrated}`].filter(Boolean);
  return steps.length ? `Before the next page: ${steps.join("; ")}.` : "";
}

function refresh() {
  for (const { clip, button, choices, slider, output, element } of rows) {
    const value = saving.rating(clip);
    const current = clip === player.current;
    button.setAttribute("aria-pressed", current);
    element.classList.toggle("current", current);
    element.classList.toggle("unrated", value === undefined);
    element.classList.toggle("played", saving.played.has(clip));
    choices?.forEach((choice, at) => choice.setAttribute("aria-pressed", value === at + 1));
    if (slider) {
      output.textContent = value ?? "–";
      if (value !== undefined && slider !== document.activeElement) slider.value = value;
    }
  }
  const why = reason();
  $("next").disabled = Boolean(why);
  if ($("why").textContent !== why) $("why").textContent = why;
  $("progress").textContent = progress.text(index);
  $("next").textContent = index + 1 < trials.length ? "Next" : "Finish";
  if (!$("play").disabled && player.duration) $("play").textContent = player.playing ? "Pause" : "Play";
}

async function toggle() {
  if ($("play").disabled) return;
  if (!player.duration) {
    notify("");
    return load();
  }
  await (player.playing ? player.pause() : player.play());
  refresh();
}

async function advance() {
  if ($("next").disabled) return;
  progress.finish(index);
  await open(index + 1);
}

function finish() {
  trial = null;
  player.context && player.unload();
  const left = saving.toServer ? saving.pending.length : 0;
  $("saved").textContent = saving.toServer
    ? left ? `${left} of your ${saving.count} ratings are still on their way; leave the page open.`
      : `All ${saving.count} ratings are saved. You can close the page.`
    : `You gave ${saving.count} ratings.`;
  if (left) setTimeout(() => $("end").hidden || finish(), 500);
  show("end");
}

$("start").addEventListener("click", async () => {
  await player.open();
  await open(index);
});
$("play").addEventListener("click", toggle);
$("next").addEventListener("click", advance);
$("back").addEventListener("click", () => open(index - 1));
$("review").addEventListener("click", async () => {
  await player.open();
  await open(0);
});
$("break").addEventListener("click", () => {
  $("address").textContent = $("address").href = location.href;
  show("rest");
});
$("continue").addEventListener("click", () => {
  show("trial");
  refresh();
});
for (const id of ["fresh", "another"]) $(id).addEventListener("click", () => begin(newListener()));
for (const button of document.querySelectorAll(".save")) button.addEventListener("click", () => saving.download());
$("position").addEventListener("input", () => {
  if (player.duration) player.seek(Math.min($("position").value / 1000 * player.duration, player.duration - 0.01));
});
// A link to another listener's session, opened in this tab.
window.addEventListener("hashchange", () => location.reload());

document.addEventListener("keydown", (event) => {
  if ($("trial").hidden || event.ctrlKey || event.altKey || event.metaKey) return;
  const key = event.key.toUpperCase();
  const pressed = event.target.matches?.("button") ? event.target : null;
  if (key === " ") {
    event.preventDefault(); // not a click of the button that has the focus
    if (!event.repeat) toggle();
  } else if (key === "ENTER" && !(pressed && pressed.closest("header, nav, .player, .scale"))) {
    event.preventDefault();
    if (!event.repeat) advance();
  } else if (key === "R" && trial.reference) {
    select(rows[0]);
  } else if (/^[A-Z]$/.test(key)) {
    select(rows.find((row) => row.letter === key));
  } else if (/^[1-5]$/.test(key) && trial.part === "opinion") {
    if (player.current) rate(player.current, Number(key));
  }
});
// Buttons click on the release of Space; here Space plays and pauses.
document.addEventListener("keyup", (event) => {
  if (event.key === " " && !$("trial").hidden) event.preventDefault();
});

// A version has been played once it was on for long enough without a switch.
function count() {
  if (!player.playing) return;
  if (sounded.clip !== player.current) sounded = { clip: player.current, seconds: 0 };
  sounded.seconds += TICK / 1000;
  if (sounded.seconds < PLAYED || saving.played.has(sounded.clip)) return;
  saving.play(sounded.clip);
  refresh();
}

setInterval(() => {
  if (!trial || $("trial").hidden || !player.duration) return;
  if (!document.hidden) progress.count(index, TICK / 1000);
  count();
  const at = player.position;
  if (document.activeElement !== $("position")) $("position").value = at / player.duration * 1000;
  $("time").textContent = `0:${String(Math.floor(at)).padStart(2, "0")}`;
}, TICK);

(async () => {
  try {
    test = await (await fetch("test.json")).json();
    const known = location.hash.slice(1);
    let last = null;
    try { last = localStorage.getItem(LAST); } catch { /* private mode */ }
    await begin([known, last].find((id) => /^[0-9a-f]{32}$/.test(id ?? "")) ?? newListener());
  } catch {
    notify("The test could not be loaded. Reload the page to try again.");
  }
})();
