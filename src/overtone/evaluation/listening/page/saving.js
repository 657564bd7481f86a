// Where ratings go: at once into this browser's storage, and from there to the server if there is one.
// What has not reached it yet is sent again until it has.

const RETRY = 1500; // milliseconds

export function newListener() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Merge what two tabs know: of two ratings of a clip the later one counts, and nothing is forgotten.
function merge(state, other) {
  for (const [clip, rating] of Object.entries(other.ratings ?? {})) {
    if (!(state.ratings[clip]?.at >= rating.at)) state.ratings[clip] = rating;
  }
  for (const [clip, at] of Object.entries(other.sent ?? {})) {
    if (!(state.sent[clip] >= at)) state.sent[clip] = at;
  }
  for (const clip of other.played ?? []) if (!state.played.includes(clip)) state.played.push(clip);
  state.order ??= other.order;
}

export class Saving {
  // `changed` is called when another tab of this listener has written.
  constructor(test, listener, notify, changed) {
    Object.assign(this, { test, listener, notify });
    this.toServer = test.saving === "server";
    this.place = `overtone-listening/${test.test}/${listener}`;
    this.state = { ratings: {}, sent: {}, played: [] };
    this.memoryOnly = false;
    this.read();
    this.sending = false;
    // Another tab of this listener has written: its ratings count here too, and are sent if it is closed.
    this.follow = (event) => {
      if (event.key !== this.place) return;
      this.read();
      this.send();
      changed();
    };
    window.addEventListener("storage", this.follow);
  }

  close() { window.removeEventListener("storage", this.follow); }

  read() {
    try {
      merge(this.state, JSON.parse(localStorage.getItem(this.place) ?? "{}"));
    } catch { this.memoryOnly = true; }
  }

  // The listener's trials; what the server knows of earlier is merged with what this browser knows.
  async begin() {
    if (!this.toServer) {
      this.state.order ??= crypto.getRandomValues(new Uint32Array(1))[0] % this.test.orders.length;
      this.keep();
      return this.test.orders[this.state.order];
    }
    const answer = await fetch(`session/${this.listener}`);
    if (!answer.ok) throw new Error(`session ${answer.status}`);
    const { trials, ratings } = await answer.json();
    for (const { clip, value, at } of ratings) {
      if (!(this.state.ratings[clip]?.at > at)) this.state.ratings[clip] = { value, at };
      this.state.sent[clip] = at;
    }
    this.keep();
    this.send();
    return trials;
  }

  // Other tabs write the same item: what they have written since is read before it is replaced.
  keep() {
    this.read();
    try {
      localStorage.setItem(this.place, JSON.stringify(this.state));
    } catch { this.memoryOnly = true; }
  }

  rating(clip) { return this.state.ratings[clip]?.value; }

  get played() { return new Set(this.state.played); }

  play(clip) {
    if (this.state.played.includes(clip)) return;
    this.state.played.push(clip);
    this.keep();
  }

  get count() { return Object.keys(this.state.ratings).length; }

  rate(clip, value) {
    const before = this.state.ratings[clip];
    if (before?.value === value) return;
    // Later than the rating before even if the clock was set back: the later one counts.
    this.state.ratings[clip] = { value, at: Math.max(Date.now(), (before?.at ?? 0) + 1) };
    this.keep();
    this.send();
  }

  get pending() {
    return Object.entries(this.state.ratings)
      .filter(([clip, { at }]) => this.state.sent[clip] !== at)
      .map(([clip, { value, at }]) => ({ clip, value, at }));
  }

  async send() {
    if (!this.toServer || this.sending || !this.pending.length) return;
    this.sending = true;
    const ratings = this.pending;
    let wait = 0;
    try {
      const answer = await fetch("ratings", {
        method: "POST", keepalive: true, headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ listener: this.listener, ratings }),
      });
      if (!answer.ok) throw new Error(await answer.text());
      for (const { clip, at } of ratings) this.state.sent[clip] = at;
      this.keep();
      this.notify("");
    } catch {
      this.notify("The server does not answer. Your ratings are kept in this browser and sent when it is back.");
      wait = RETRY;
    }
    this.sending = false;
    setTimeout(() => this.send(), wait);
  }

  // The file that a listener sends back.
  download() {
    const ratings = Object.entries(this.state.ratings).map(([clip, { value, at }]) => ({ clip, value, at }));
    const content = { format: this.test.format, test: this.test.test, listener: this.listener, ratings };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
    link.download = `ratings-${this.listener.slice(0, 8)}.json`;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
}
