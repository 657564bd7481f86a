// The page: the list of files, and a panel for the chosen one. Names of files are set as text, never as HTML.
import { StreamPlayer } from "./player.js";
import { clock } from "./picture.js";
import { address, ask, askJson, download, droppedFiles, fileAddress, upload } from "./tab.js";
import { Panel } from "./panel.js";

const $ = (id) => document.getElementById(id);
const BUSY = 400; // milliseconds between two looks at the progress
const IDLE = 3000;
let about, files = [], uploads = [], chosen = null, timer = 0;

function notify(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

const player = new StreamPlayer((error) => notify(`The sound could not be loaded: ${error.message}`));
const panel = new Panel(player, notify, update);

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// ---- adding files

async function add(list) {
  notify("");
  const isSound = ({ name, type }) => !name.startsWith(".") && (/^(audio|video)\//.test(type)
    || about.suffixes.some((suffix) => name.toLowerCase().endsWith(suffix)));
  const sounds = [...list].filter(isSound);
  const left = list.length - sounds.length;
  if (left) notify(`${left} ${left === 1 ? "file is" : "files are"} neither sound nor film, and left out.`);
  for (const file of sounds) uploads.push({ file, name: file.name, share: 0 });
  if (uploads.length && !uploads[0].running) await next();
}

// Upload one file after the other.
async function next() {
  while (uploads.length) {
    const [waiting] = uploads;
    try {
      if (waiting.file.size > about.limit) throw new Error(`it is larger than ${about.limit / 1e9} GB`);
      waiting.running = upload(waiting.file, (share) => {
        waiting.share = share;
        list();
      });
      list();
      const item = await waiting.running;
      chosen ??= item.key;
    } catch (error) {
      if (!waiting.removed) notify(`${waiting.name}: ${error.message}`);
    }
    uploads = uploads.filter((one) => one !== waiting);
    await update();
  }
}

// An upload cannot go on after a reload: the browser asks before.
window.addEventListener("beforeunload", (event) => uploads.length && event.preventDefault());

for (const [button, input] of [["choose", "files"], ["choose-folder", "folder"]]) {
  $(button).addEventListener("click", () => $(input).click());
  $(input).addEventListener("change", () => {
    add([...$(input).files]);
    $(input).value = "";
  });
}
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  const onControls = Boolean(event.target.closest?.("#controls"));
  $("drop").classList.toggle("over", !onControls);
  $("controls").classList.toggle("over", onControls);
});
const leave = () => ["drop", "controls"].forEach((id) => $(id).classList.remove("over"));
document.addEventListener("dragleave", (event) => event.relatedTarget || leave());
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  leave();
  const dropped = await droppedFiles(event.dataTransfer);
  // On the controls, a file is a reference.
  if (event.target.closest?.("#controls") && dropped.length) await panel.sendReference(dropped[0]);
  else await add(dropped);
});

// ---- the list

function describe(file) {
  if (file.state === "waiting") return "waiting";
  if (file.state === "running") {
    const left = file.left === null ? "" : `, about ${clock(Math.ceil(file.left))} left`;
    return `restoring, ${Math.round(file.share * 100)} %${left}`;
  }
  if (file.state === "failed") return file.message;
  if (file.state === "cancelled") return "cancelled";
  return `${clock(file.length / file.rate)}, ${outcome(file)}`;
}

function outcome(file) {
  const kilohertz = `${(file.cutoff / 1000).toFixed(1)} kHz`;
  if (file.added) return `treble added above ${kilohertz}`;
  if (file.kind === "silence") return "silent, left as it is";
  return file.kind === "full band" ? `full band up to ${kilohertz}, left as it is` : "no clear cutoff, left as it is";
}

const rows = new Map(); // key -> elements

function row(key, choose, remove, restore) {
  if (rows.has(key)) return rows.get(key);
  const [name, text, progress] = [make("b"), make("span"), make("progress", { max: 1 })];
  const open = make("button", { className: "open" }, name, text);
  const [again, action] = [make("button", { textContent: "Try again", hidden: true }), make("button")];
  open.addEventListener("click", choose);
  again.addEventListener("click", restore);
  action.addEventListener("click", remove);
  const actions = make("span", { className: "group" }, again, action);
  const made = { name, text, progress, open, again, action, element: make("li", {}, open, actions, progress) };
  rows.set(key, made);
  return made;
}

function fill(elements, name, text, busy, share, current) {
  elements.name.textContent = name;
  if (elements.text.textContent !== text) elements.text.textContent = text;
  elements.progress.hidden = !busy;
  elements.progress.value = share;
  elements.progress.setAttribute("aria-label", `Progress of ${name}`);
  elements.action.textContent = busy ? "Cancel" : "Remove";
  elements.action.setAttribute("aria-label", `${busy ? "Cancel" : "Remove"} ${name}`);
  elements.open.setAttribute("aria-current", current);
  elements.element.classList.toggle("chosen", current);
  return elements.element;
}

const isBusy = ({ state }) => state === "waiting" || state === "running";

function list() {
  const shown = files.map((file) => {
    const elements = row(file.key, () => choose(file.key), () => act(file.key), () => tryAgain(file.key));
    elements.again.hidden = file.state !== "cancelled" && file.state !== "failed";
    elements.again.setAttribute("aria-label", `Try again to restore ${file.name}`);
    return fill(elements, file.name, describe(file), isBusy(file), file.share, file.key === chosen);
  });
  for (const waiting of uploads) {
    waiting.id ??= Symbol(waiting.name);
    const text = waiting.running ? `adding, ${Math.round(waiting.share * 100)} %` : "to be added";
    shown.push(fill(row(waiting.id, () => {}, () => drop(waiting)), waiting.name, text, true, waiting.share, false));
  }
  const present = [...$("list").children];
  if (shown.length !== present.length || shown.some((element, at) => element !== present[at])) $("list").replaceChildren(...shown);
  $("list-section").hidden = !shown.length;
  $("save-all").disabled = !files.some((file) => "added" in file) || files.some(isBusy);
}

function drop(waiting) {
  waiting.removed = true;
  waiting.running?.cancel();
  uploads = uploads.filter((one) => one !== waiting);
  list();
}

async function act(key) {
  const file = files.find((one) => one.key === key);
  if (isBusy(file)) await ask(`${fileAddress(key)}/cancel`, "POST", {});
  else {
    await ask(fileAddress(key), "DELETE");
    panel.forget(key);
    rows.delete(key);
    if (chosen === key) chosen = null;
  }
  await update();
}

async function tryAgain(key) {
  await ask(`${fileAddress(key)}/restore`, "POST", { cutoff: null });
  await update();
}

async function choose(key) {
  chosen = key;
  list();
  await panel.show(files.find((file) => file.key === key) ?? null);
}

// ---- the server's state

async function update() {
  clearTimeout(timer);
  let wait = IDLE;
  try {
    const before = files.length;
    ({ files } = await askJson(address));
    if (before && !files.length && chosen) notify("The server has removed this page's files, since it was closed for a while or restarted.");
    if (!files.some(({ key }) => key === chosen)) chosen = files[0]?.key ?? null;
    list();
    await panel.show(files.find((file) => file.key === chosen) ?? null);
    if (files.some((file) => isBusy(file) || file.reference?.strength === null)) wait = BUSY;
    if ($("notice").dataset.away) notify("");
    delete $("notice").dataset.away;
  } catch (error) {
    notify("The server does not answer. Is overtone app still running?");
    $("notice").dataset.away = "yes";
  }
  clearTimeout(timer);
  timer = setTimeout(update, wait);
}

// ---- saving

async function whileSaving(button, work) {
  const text = button.textContent;
  button.disabled = true;
  button.textContent = "Saving …";
  try {
    await work();
  } catch (error) {
    notify(error.message);
  }
  button.textContent = text;
  button.disabled = false;
}

const warn = (clipped) => notify(clipped ? `${clipped} samples were louder than the format holds, and were clipped.` : "");

$("save").addEventListener("click", () => whileSaving($("save"), async () => {
  const [path, format] = [fileAddress(chosen), $("format").value];
  const { name, clipped } = await askJson(`${path}/save`, "POST", { format, controls: panel.controls(chosen) });
  download(`${path}/saved?format=${format}`, name);
  warn(clipped);
}));
$("save-all").addEventListener("click", () => whileSaving($("save-all"), async () => {
  const ready = files.filter((file) => "added" in file);
  const settings = Object.fromEntries(ready.map(({ key }) => [key, panel.controls(key)]));
  const { name, clipped } = await askJson(`${address}/save`, "POST", { format: $("format").value, files: settings });
  download(`${address}/saved.zip`, name);
  warn(clipped);
}));

document.addEventListener("keydown", (event) => {
  if ($("panel").hidden || event.ctrlKey || event.altKey || event.metaKey || event.target.matches("select")) return;
  const key = event.key.toLowerCase();
  if (key === " ") {
    event.preventDefault(); // not a click of the button that has the focus
    if (!event.repeat) $("play").click();
  }
  if (event.repeat) return;
  if (key === "f" || key === "r") $(key === "f" ? "file" : "restored").click();
  if (key === "s" && !$("save").disabled) $("save").click();
  if (key === "," || key === ".") panel.skip(key === "," ? -5 : 5);
});
// Buttons click on the release of Space; here Space plays and pauses.
document.addEventListener("keyup", (event) => event.key === " " && !event.target.matches("select") && event.preventDefault());

try {
  about = await askJson("about.json");
  $("format").replaceChildren(...about.formats.map((format) => make("option", { value: format, textContent: format.toUpperCase() })));
  await update();
} catch {
  notify("The page could not be loaded. Reload it to try again.");
}
