// What this tab is to the server: its random name, its requests, its uploads.

const NAME = "overtone-app/tab";

const newName = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

// A name is kept over a reload and not shared with other tabs. A duplicated tab copies it with the storage, so
// the others are asked whether one of them has it.
async function tabName() {
  let name = null;
  try { name = sessionStorage.getItem(NAME); } catch { /* private mode: a reload starts again */ }
  const channel = new BroadcastChannel("overtone-app");
  if (name) {
    const taken = new Promise((resolve) => {
      channel.onmessage = ({ data }) => data.has === name && resolve(true);
      setTimeout(() => resolve(false), 150);
    });
    channel.postMessage({ asks: name });
    if (await taken) name = null;
  }
  name ??= newName();
  try { sessionStorage.setItem(NAME, name); } catch { /* as above */ }
  channel.onmessage = ({ data }) => data.asks === name && channel.postMessage({ has: name });
  return name;
}

export const address = `tabs/${await tabName()}`;
export const fileAddress = (key) => `${address}/files/${key}`;

export async function ask(path, method = "GET", body = undefined) {
  const options = { method };
  if (body !== undefined) Object.assign(options, { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
}

export const askJson = async (...request) => (await ask(...request)).json();

// Send a file's bytes; the promise has a cancel function.
export function send(file, path, progress = () => {}) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.open("POST", path);
    request.upload.onprogress = ({ loaded, total }) => progress(total ? loaded / total : 0);
    request.onload = () => (request.status === 201 ? resolve(JSON.parse(request.responseText))
      : reject(new Error(request.responseText || "the upload was refused")));
    request.onerror = () => reject(new Error("the upload broke off"));
    request.onabort = () => reject(new Error("cancelled"));
    request.send(file);
  });
  done.cancel = () => request.abort();
  return done;
}

export const upload = (file, progress) => send(file, `${address}/files?name=${encodeURIComponent(file.name)}`, progress);

export function download(href, name) {
  const link = Object.assign(document.createElement("a"), { href, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

// All files of a drop, those in folders too.
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) return found.push(await new Promise((resolve, reject) => { entry.file(resolve, reject); }));
    const reader = entry.createReader();
    // A reader gives some entries at a time.
    for (let some; (some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); })).length;) {
      for (const inner of some) await walk(inner);
    }
  };
  for (const entry of entries) await walk(entry);
  return found;
}

window.addEventListener("pagehide", () => navigator.sendBeacon(`${address}/leave`));
