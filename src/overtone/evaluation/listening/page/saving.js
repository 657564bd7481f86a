// Ratings go at once into this browser's storage, and from there to the server if there is one; they are sent
// again until they arrive. Each rating has a storage key of its own, so tabs never write over each other's, and
// of two ratings of one item the later counts, here as on the server.

const RETRY = 1500; // milliseconds
const ALL = "overtone-listening";

export function newListener() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const isLater = (one, other) => !other || one.at > other.at || (one.at === other.at && one.value > other.value);

export class Saving {
  constructor(test, listener, notify, changed) {
    Object.assign(this, { test, listener, notify });
    this.toServer = test.saving === "server";
    this.prefix = `${ALL}/${test.test}/${listener}/`;
    this.ratings = new Map(); // clip -> {value, at}
    this.played = new Set(); // clips
    this.received = new Map(); // clip -> time of the rating that the server has
    this.memoryOnly = false;
    this.sending = false;
    this.closed = new AbortController();
    this.readAll();
    window.addEventListener("storage", ({ key, newValue }) => {
      if (!key?.startsWith(this.prefix) || newValue === null) return;
      this.read(key, newValue);
      this.send();
      changed();
    }, { signal: this.closed.signal });
  }

  close() { this.closed.abort(); }

  readAll() {
    try {
      for (const key of Object.keys(localStorage)) {
        if (key.startsWith(this.prefix)) this.read(key, localStorage.getItem(key));
      }
    } catch { this.memoryOnly = true; }
  }

  read(key, text) {
    const [kind, clip] = key.slice(this.prefix.length).split("/");
    if (kind === "played") this.played.add(clip);
    if (kind === "rating") this.merge(clip, JSON.parse(text));
  }

  merge(clip, rating) {
    if (isLater(rating, this.ratings.get(clip))) this.ratings.set(clip, rating);
  }

  // What another tab stored for the same item meanwhile is merged first.
  keep(kind, clip, value) {
    const key = `${this.prefix}${kind}/${clip}`;
    try {
      if (kind === "rating") {
        const stored = localStorage.getItem(key);
        if (stored) this.merge(clip, JSON.parse(stored));
        value = this.ratings.get(clip);
      }
      localStorage.setItem(key, JSON.stringify(value));
    } catch { this.memoryOnly = true; }
  }

  // The listener's trials; the server's earlier ratings are merged with this browser's.
  async begin() {
    if (!this.toServer) {
      // The listener's name is random, so it draws an order, the same one in every tab.
      return this.test.orders[parseInt(this.listener.slice(0, 8), 16) % this.test.orders.length];
    }
    const answer = await fetch(`session/${this.listener}`);
    if (!answer.ok) throw new Error(`session ${answer.status}`);
    const { trials, ratings } = await answer.json();
    for (const { clip, value, at } of ratings) {
      this.received.set(clip, at);
      this.merge(clip, { value, at });
      this.keep("rating", clip);
    }
    this.send();
    return trials;
  }

  rating(clip) { return this.ratings.get(clip)?.value; }

  get count() { return this.ratings.size; }

  rate(clip, value) {
    const before = this.ratings.get(clip);
    if (before?.value === value) return;
    // Later than the rating before even if the clock was set back: the later one counts.
    this.ratings.set(clip, { value, at: Math.max(Date.now(), (before?.at ?? 0) + 1) });
    this.keep("rating", clip);
    this.send();
  }

  play(clip) {
    if (this.played.has(clip)) return;
    this.played.add(clip);
    this.keep("played", clip, true);
  }

  get list() { return [...this.ratings].map(([clip, { value, at }]) => ({ clip, value, at })); }

  get pending() { return this.list.filter(({ clip, at }) => this.received.get(clip) !== at); }

  async send() {
    if (!this.toServer || this.sending || this.closed.signal.aborted || !this.pending.length) return;
    this.sending = true;
    const ratings = this.pending;
    let wait = 0;
    try {
      const answer = await fetch("ratings", {
        method: "POST", keepalive: true, headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ listener: this.listener, ratings }),
      });
      if (!answer.ok) throw new Error(await answer.text());
      for (const { clip, at } of ratings) this.received.set(clip, at);
      this.notify("");
    } catch {
      this.notify("The server does not answer. Your ratings are kept in this browser and sent when it is back.");
      wait = RETRY;
    }
    this.sending = false;
    setTimeout(() => this.send(), wait);
  }

  // The file that a listener sends back, with the ratings of all tabs.
  download() {
    this.readAll();
    const content = { format: this.test.format, test: this.test.test, listener: this.listener, ratings: this.list };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
    link.download = `ratings-${this.listener.slice(0, 8)}.json`;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
}
