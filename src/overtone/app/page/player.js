// Play the input and the added band of a file in step, piece by piece. The browser mixes them:
//
//   input ──────────────┬─────────────► "file"
//                       └──────► + ──► "restored"
//   added ─► convolver ───────────┘
//
// The convolver holds the impulse response that the server computes and saves with. Its delay is made up for
// by starting the input later.
import { Switch } from "./switch.js";

const PIECE = 4; // seconds fetched at once
const AHEAD = 9; // seconds scheduled in advance
const START = 0.1; // seconds from a seek to its sound
const FADE = 0.06; // seconds between two impulse responses: longer than the shorter one's ringing

export class StreamPlayer extends Switch {
  constructor(failed) {
    super();
    this.failed = failed;
    this.file = null;
    this.levels = { file: 1, restored: 1 };
    this.current = "restored";
    this.nodes = new Set();
    this.run = 0; // counts seeks: what an earlier one has fetched is dropped
    this.began = 0; // the context's time at which sample 0 is, or would have been, played
    this.next = 0; // the next sample to fetch
    this.fetching = false;
    setInterval(() => this.fill(), 250);
  }

  // Show another file, or another restoration of the same; paused at a position in seconds.
  async load(address, file, position = 0) {
    this.stop();
    if (this.context && this.context.sampleRate !== file.rate) {
      await this.context.close();
      this.context = null;
      this.clear();
    }
    Object.assign(this, { address, file });
    this.startAt = position;
    this.taps = null;
  }

  get loaded() { return Boolean(this.file); }
  get duration() { return this.file ? this.file.length / this.file.rate : 0; }
  get playing() { return this.running && this.loaded; }

  get position() {
    if (!this.file) return 0;
    if (!this.context || !this.nodes.size) return this.startAt;
    return Math.min(this.duration, Math.max(this.startAt, this.context.currentTime - this.began));
  }

  // Called from a click or key, since only those may start sound.
  async play() {
    const fresh = !this.context;
    if (fresh) {
      await this.open({ sampleRate: this.file.rate });
      this.build();
    }
    if (fresh || !this.nodes.size) {
      this.apply();
      this.seek(this.startAt >= this.duration - 0.05 ? 0 : this.startAt);
    }
    await super.play();
    this.fill();
  }

  build() {
    this.input = this.context.createGain();
    this.addedInput = this.context.createGain();
    this.input.connect(this.add("file"));
    this.sum = this.add("restored");
    this.input.connect(this.sum);
    this.convolver = null;
  }

  // Use an impulse response and gains; at once, with a short crossfade.
  set(taps, levels) {
    this.taps = taps;
    this.levels = levels;
    if (this.context) this.apply();
  }

  apply() {
    if (this.taps && this.taps !== this.applied) this.exchange();
    this.select(this.current);
  }

  exchange() {
    const { context } = this;
    const buffer = context.createBuffer(1, this.taps.length, this.file.rate);
    buffer.copyToChannel(Float32Array.from(this.taps), 0);
    const node = new ConvolverNode(context, { buffer, disableNormalization: true });
    const gain = context.createGain();
    this.addedInput.connect(node).connect(gain).connect(this.sum);
    const before = this.convolver;
    const now = context.currentTime;
    if (before) {
      gain.gain.setValueAtTime(0, now + FADE);
      gain.gain.value = 0;
      gain.gain.linearRampToValueAtTime(1, now + 2 * FADE);
      before.gain.gain.setValueAtTime(1, now + FADE);
      before.gain.gain.linearRampToValueAtTime(0, now + 2 * FADE);
      setTimeout(() => {
        this.addedInput.disconnect(before.node);
        before.gain.disconnect();
      }, 4000 * FADE);
    }
    this.convolver = { node, gain };
    this.applied = this.taps;
  }

  get half() { return this.taps ? (this.taps.length - 1) / 2 : 0; }

  select(name) {
    this.current = name;
    if (this.context) super.select(name, (version) => this.levels[version]);
  }

  stop() {
    this.run += 1;
    for (const node of this.nodes) {
      node.stop();
      node.disconnect();
    }
    this.nodes.clear();
  }

  seek(position) {
    this.startAt = Math.max(0, Math.min(position, this.duration));
    if (!this.context) return;
    this.stop();
    this.next = Math.round(this.startAt * this.file.rate);
    this.began = this.context.currentTime + START - this.next / this.file.rate;
    this.fetching = false;
    this.fill();
  }

  async fill() {
    if (!this.context || !this.file || this.fetching) return;
    const { rate, length } = this.file;
    const now = this.context.currentTime;
    if (this.next >= length) {
      if (this.playing && now > this.began + this.duration + 0.2) this.end();
      return;
    }
    if (this.began + this.next / rate > now + AHEAD) return;
    const { run } = this;
    this.fetching = true;
    try {
      const count = Math.min(PIECE * rate, length - this.next);
      const start = this.next;
      const answer = await fetch(`${this.address}/sound?start=${start}&count=${count}`);
      if (!answer.ok) throw new Error(await answer.text());
      const samples = new Int16Array(await answer.arrayBuffer());
      if (run !== this.run) return;
      this.schedule(samples, start, count);
      this.next = start + count;
    } catch (error) {
      if (run === this.run) this.failed(error);
    } finally {
      if (run === this.run) this.fetching = false;
    }
  }

  schedule(samples, start, count) {
    const { rate } = this.file;
    const channels = samples.length / count / 2;
    const late = this.context.currentTime + 0.02 - (this.began + start / rate);
    if (late > 0) this.began += late; // the network was too slow: go on from here
    const time = this.began + start / rate;
    for (const [first, bus, delay] of [[0, this.input, this.half / rate], [channels, this.addedInput, 0]]) {
      const buffer = this.context.createBuffer(channels, count, rate);
      for (let channel = 0; channel < channels; channel++) {
        const data = buffer.getChannelData(channel);
        for (let at = 0, from = first + channel; at < count; at++, from += 2 * channels) data[at] = samples[from] / 32767;
      }
      const node = this.context.createBufferSource();
      node.buffer = buffer;
      node.connect(bus);
      node.start(time + delay);
      node.onended = () => this.nodes.delete(node);
      this.nodes.add(node);
    }
  }

  end() {
    this.pause();
    this.stop();
    this.startAt = 0;
  }
}
