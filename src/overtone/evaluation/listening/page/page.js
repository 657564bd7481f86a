// The page: introduction, trials, break, end. It knows clips by meaningless names only.
import { Player } from "./player.js";
import { Saving, newListener } from "./saving.js";

const WORDS = ["Bad", "Poor", "Fair", "Good", "Excellent"];
const LAST = "overtone-listening/last";
const $ = (id) => document.getElementById(id);
const player = new Player();
let test, saving, trials = [], index = 0, trial = null, rows = [];

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

const complete = (which) => which.clips.every((clip) => saving.rating(clip) !== undefined);

// The address names the listener, so two of them can share a browser, and one can change browsers.
async function begin(listener) {
  history.replaceState(null, "", `#${listener}`);
  try { localStorage.setItem(LAST, listener); } catch { /* private mode: the address does it */ }
  saving = new Saving(test, listener, notify);
  trials = await saving.begin();
  const first = trials.findIndex((which) => !complete(which));
  index = first < 0 ? trials.length : Math.min(saving.state.trial ?? first, first);
  if (saving.memoryOnly) notify("This browser keeps nothing: do not close the page before you are done.");
  document.body.dataset.saving = test.saving;
  for (const element of document.querySelectorAll(".file, .save, .here")) {
    element.hidden = saving.toServer;
  }
  $("length").textContent = `${trials.length} pages`;
  $("start").textContent = saving.count ? "Go on" : "Start";
  $("fresh").hidden = !saving.count;
  show("intro");
}

async function open(number) {
  index = number;
  saving.state.trial = index;
  saving.keep();
  if (index >= trials.length) return finish();
  trial = trials[index];
  const opinion = trial.part === "opinion";
  $("progress").textContent = `Page ${index + 1} of ${trials.length}`;
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
  // What comes next is fetched while this is heard.
  const next = trials[index + 1];
  if (next) for (const clip of [...next.clips, next.reference ?? next.clips[0]]) player.fetch(clip).catch(() => {});
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
  // What is being moved is what is heard.
  for (const event of ["pointerdown", "input"]) {
    slider.addEventListener(event, () => player.current === clip || select(row, false));
  }
  slider.addEventListener("input", () => { output.textContent = slider.value; });
  // A key or the end of a drag; a click on the very place of the handle counts too, and changes nothing.
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

function refresh() {
  for (const { clip, button, choices, slider, output, element } of rows) {
    const value = saving.rating(clip);
    const current = clip === player.current;
    button.setAttribute("aria-pressed", current);
    element.classList.toggle("heard-now", current);
    element.classList.toggle("unrated", value === undefined);
    choices?.forEach((choice, at) => choice.setAttribute("aria-pressed", value === at + 1));
    if (slider) output.textContent = value ?? "–";
  }
  $("next").disabled = !complete(trial);
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

setInterval(() => {
  if (!trial || $("trial").hidden || !player.duration) return;
  const at = player.position;
  if (document.activeElement !== $("position")) $("position").value = at / player.duration * 1000;
  $("time").textContent = `0:${String(Math.floor(at)).padStart(2, "0")}`;
}, 100);

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
