// The chosen file: picture, cutoff line, player, controls.
import { Picture, clock } from "./picture.js";
import { ask, askJson, download, fileAddress, send } from "./tab.js";

const $ = (id) => document.getElementById(id);
const NEUTRAL = { brightness: 0, amount: 0, top: null, strength: null };
const LOWEST = 500; // Hz
const STEP = 50; // Hz by an arrow key
const SETTINGS = "overtone-app/controls";

export class Panel {
  constructor(player, notify, update) {
    Object.assign(this, { player, notify, update });
    this.file = null;
    this.picture = null;
    this.gains = null;
    this.dragged = null; // Hz, until it is restored or put back
    this.settings = {}; // key -> controls
    try { this.settings = JSON.parse(sessionStorage.getItem(SETTINGS) ?? "{}"); } catch { /* private mode */ }
    this.asked = 0;
    this.listen();
    setInterval(() => this.tick(), 100);
  }

  controls(key) { return { ...NEUTRAL, ...this.settings[key] }; }

  keep(key, values) {
    this.settings[key] = values;
    try { sessionStorage.setItem(SETTINGS, JSON.stringify(this.settings)); } catch { /* private mode */ }
  }

  forget(key) {
    if (this.file?.key === key) this.show(null);
    delete this.settings[key];
  }

  get path() { return fileAddress(this.file.key); }
  get restored() { return this.file && "added" in this.file; }

  async show(file) {
    const before = this.file;
    this.file = file;
    $("panel").hidden = !file || !file.version;
    if (!file) return this.player.stop();
    if (before?.key !== file.key) {
      this.player.pause();
      this.dragged = this.picture = null;
      $("spectrogram").width += 0; // cleared: it is the other file's
    }
    const same = before?.key === file.key && before.version === file.version;
    $("name").textContent = file.name;
    $("remark").textContent = this.remark();
    for (const id of ["sound", "save", "picture", "cutoff", "keys"]) $(id).hidden = !this.restored;
    if (!same && file.version) await this.load(before?.key === file.key);
    this.line();
    if (same && this.restored) this.showReference(this.read().strength);
  }

  remark() {
    const { file } = this;
    if (file.state === "failed" && !this.restored) return file.message;
    if (!this.restored) return file.state === "cancelled" ? "Restoring was cancelled." : "The file is being restored.";
    const notes = [...file.notes, file.message].map((note) => (note ? ` Note: ${note}.` : "")).join("");
    const stands = `${(file.cutoff / 1000).toFixed(1)} kHz`;
    if (file.kind === "given") return `Restored from ${stands} on, as you set it.${notes}`;
    if (file.added) return `The cutoff was found at ${stands} (${file.kind}). Drag the line to move it.${notes}`;
    return `Nothing was added. Drag the line to where the treble stops, and restore from there.${notes}`;
  }

  async load(again) {
    const { file } = this;
    const position = again ? this.player.position : 0;
    $("play").disabled = true;
    const answer = await ask(`${this.path}/picture`);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    if (file !== this.file) return;
    this.picture = new Picture(bytes, Number(answer.headers.get("X-Columns")), Number(answer.headers.get("X-Rows")));
    if (!again) this.gains = null;
    this.axis();
    this.draw();
    if (!this.restored) return;
    await this.player.load(this.path, file, position);
    this.sliders();
    await this.curve();
  }

  // Ask for the controls' impulse response; the latest request counts.
  async curve() {
    const [asked, { key }] = [++this.asked, this.file];
    try {
      const { taps, gains, file, restored } = await askJson(`${this.path}/curve`, "POST", this.controls(key));
      if (asked !== this.asked) return;
      this.gains = gains;
      this.player.set(taps, { file, restored });
      $("play").disabled = false;
      this.draw();
      this.notify("");
    } catch (error) {
      if (asked === this.asked) this.notify(error.message);
    }
  }

  // Until the curve has come, the added band is shown as it is.
  get shownGains() { return this.gains ?? (this.restored ? new Array(this.picture.rows).fill(0) : null); }

  draw() {
    if (!this.picture) return;
    const version = this.player.current;
    this.picture.draw($("spectrogram"), version === "file" ? null : this.shownGains);
    const text = version === "file" ? "the file" : "the restored file";
    $("spectrogram").setAttribute("aria-label", `Spectrogram of ${text}, 0 to ${this.file.rate / 2000} kHz`);
    for (const name of ["file", "restored"]) $(name).setAttribute("aria-pressed", version === name);
  }

  axis() {
    const nyquist = this.file.rate / 2;
    const marks = [];
    for (let hertz = 0; hertz <= nyquist; hertz += 5000) {
      const mark = document.createElement("span");
      mark.textContent = `${hertz / 1000} kHz`;
      mark.style.top = `${100 - hertz / nyquist * 100}%`;
      marks.push(mark);
    }
    $("axis").replaceChildren(...marks);
  }

  // The line of the cutoff, and what can be done about it.
  line() {
    if (!this.restored) return void ($("redo").hidden = true);
    const hertz = this.dragged ?? this.file.cutoff;
    const nyquist = this.file.rate / 2;
    const text = `${(hertz / 1000).toFixed(2)} kHz`;
    $("cutoff").style.top = `${100 - hertz / nyquist * 100}%`;
    $("cutoff").firstElementChild.textContent = text;
    for (const [name, value] of [["min", LOWEST], ["max", nyquist], ["now", Math.round(hertz)], ["text", text]]) {
      $("cutoff").setAttribute(`aria-value${name}`, value);
    }
    const busy = this.file.state === "running" || this.file.state === "waiting";
    $("redo").hidden = busy || (this.dragged === null && this.file.kind !== "given" && this.file.state !== "cancelled");
    $("restore").hidden = this.dragged === null;
    $("restore").textContent = `Restore from ${text} on`;
  }

  move(hertz) {
    this.dragged = Math.round(Math.max(LOWEST, Math.min(hertz, this.file.rate / 2 - STEP)) / 10) * 10;
    this.line();
  }

  async restore(cutoff) {
    try {
      await ask(`${this.path}/restore`, "POST", { cutoff });
      this.dragged = null;
    } catch (error) {
      this.notify(error.message);
    }
    await this.update();
  }

  sliders() {
    const controls = this.controls(this.file.key);
    const nyquist = this.file.rate / 2;
    const lowest = Math.min(Math.ceil((this.file.cutoff + 300) / 100) * 100, nyquist);
    Object.assign($("top"), { min: lowest, max: Math.ceil(nyquist / 100) * 100 });
    $("brightness").value = controls.brightness;
    $("amount").value = controls.amount ?? $("amount").min;
    $("top").value = controls.top ?? $("top").max;
    const { reference } = this.file;
    const measured = reference?.strength ?? null;
    $("strength").disabled = measured === null;
    $("strength").value = controls.strength ?? measured ?? 0;
    this.outputs();
  }

  outputs() {
    const { brightness, amount, top, strength } = this.read();
    const decibels = (value) => `${value > 0 ? "+" : ""}${value.toFixed(1)} dB`;
    const texts = {
      brightness: `${decibels(brightness)}`,
      amount: amount === null ? "off" : decibels(amount),
      top: top === null ? "no limit" : `${(top / 1000).toFixed(1)} kHz`,
      strength: strength === null ? "" : `${Math.round(strength * 100)} %`,
    };
    this.showReference(strength);
    for (const [id, text] of Object.entries(texts)) {
      document.querySelector(`output[for=${id}]`).textContent = text;
      $(id).setAttribute("aria-valuetext", id === "brightness" ? `${text} at one octave above the cutoff` : text);
    }
  }

  showReference(strength) {
    const { reference } = this.file;
    const waits = reference && reference.strength === null;
    $("choose-reference").disabled = Boolean(waits);
    $("remove-reference").hidden = !reference || waits;
    const name = reference ? `${reference.name}${waits ? ", being measured" : ""}` : "";
    if ($("reference-name").textContent !== name) $("reference-name").textContent = name;
    const changes = (reference?.decibels ?? []).map((value) => value * (strength ?? 0));
    const round = (value) => `${value > 0 ? "+" : ""}${value.toFixed(0)}`;
    $("reference-change").textContent = changes.length ? `${round(Math.min(...changes))} to ${round(Math.max(...changes))} dB` : "";
  }

  async sendReference(file) {
    const { path } = this;
    $("reference-name").textContent = `adding ${file.name}`;
    this.keep(this.file.key, { ...this.controls(this.file.key), strength: null });
    try {
      await send(file, `${path}/reference?name=${encodeURIComponent(file.name)}`);
    } catch (error) {
      this.notify(`${file.name}: ${error.message}`);
    }
    await this.update();
  }

  read() {
    const [amount, top] = [Number($("amount").value), Number($("top").value)];
    return {
      brightness: Number($("brightness").value),
      amount: amount <= Number($("amount").min) ? null : amount,
      top: top >= Number($("top").max) ? null : top,
      strength: $("strength").disabled ? null : Number($("strength").value),
    };
  }

  skip(seconds) {
    if (this.restored) this.player.seek(this.player.position + seconds);
  }

  tick() {
    if (!this.restored) return;
    const { position, duration, playing } = this.player;
    if (document.activeElement !== $("position")) $("position").value = position / duration * 1000;
    $("position").setAttribute("aria-valuetext", clock(position));
    $("time").textContent = `${clock(position)} / ${clock(duration)}`;
    $("cursor").style.left = `${position / duration * 100}%`;
    $("play").textContent = playing ? "Pause" : "Play";
  }

  listen() {
    $("play").addEventListener("click", async () => {
      if (this.player.playing) await this.player.pause();
      else await this.player.play();
      this.tick();
    });
    for (const name of ["file", "restored"]) {
      $(name).addEventListener("click", () => {
        this.player.select(name);
        this.draw();
      });
    }
    $("position").addEventListener("input", () => this.player.seek($("position").value / 1000 * this.player.duration));
    for (const id of ["brightness", "amount", "top", "strength"]) {
      $(id).addEventListener("input", () => {
        this.keep(this.file.key, this.read());
        this.outputs();
        this.player.select("restored");
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.curve(), 60);
      });
    }
    $("reset").addEventListener("click", () => {
      this.keep(this.file.key, { ...NEUTRAL });
      this.sliders();
      this.curve();
    });
    $("choose-reference").addEventListener("click", () => $("reference-file").click());
    $("reference-file").addEventListener("change", () => {
      this.sendReference($("reference-file").files[0]);
      $("reference-file").value = "";
    });
    $("remove-reference").addEventListener("click", async () => {
      await ask(`${this.path}/reference`, "DELETE");
      await this.update();
    });
    $("restore").addEventListener("click", () => this.restore(this.dragged));
    $("keep").addEventListener("click", () => {
      const measured = this.dragged !== null && this.file.kind !== "given" && this.file.state !== "cancelled";
      this.dragged = null;
      if (measured) this.line();
      else this.restore(null);
    });
    $("picture").addEventListener("click", async () => {
      const url = URL.createObjectURL(await this.picture.png(this.file, this.shownGains));
      download(url, `${this.file.name.replace(/\.[^.]*$/, "")}.png`);
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    });
    this.listenToLine();
  }

  listenToLine() {
    const line = $("cutoff");
    const at = (event) => {
      const { top, height } = $("spectrogram").getBoundingClientRect();
      return (1 - (event.clientY - top) / height) * this.file.rate / 2;
    };
    line.addEventListener("pointerdown", (event) => line.setPointerCapture(event.pointerId));
    line.addEventListener("pointermove", (event) => line.hasPointerCapture(event.pointerId) && this.move(at(event)));
    line.addEventListener("keydown", (event) => {
      const steps = { ArrowUp: STEP, ArrowRight: STEP, ArrowDown: -STEP, ArrowLeft: -STEP, PageUp: 10 * STEP, PageDown: -10 * STEP };
      if (!(event.key in steps)) return;
      event.preventDefault();
      this.move((this.dragged ?? this.file.cutoff) + steps[event.key]);
    });
  }
}
