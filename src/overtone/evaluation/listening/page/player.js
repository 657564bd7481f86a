// Play all versions of a sample in a loop, in step.
import { Switch } from "./switch.js";

export class Player extends Switch {
  constructor() {
    super();
    this.sources = new Map(); // version -> {buffer, node}
    this.began = 0; // the context's time at which position 0 was, or would have been, played
    this.duration = 0;
    this.fetched = new Map(); // version -> a promise of the file's bytes
  }

  fetch(name) {
    if (!this.fetched.has(name)) {
      const bytes = fetch(`audio/${name}.wav`).then((answer) => {
        if (!answer.ok) throw new Error(`sound ${answer.status}`);
        return answer.arrayBuffer();
      });
      bytes.catch(() => this.fetched.delete(name));
      this.fetched.set(name, bytes);
    }
    return this.fetched.get(name);
  }

  // Replace what is loaded; silent and paused at the start.
  async load(names) {
    this.unload();
    const buffers = await Promise.all(names.map(async (name) =>
      // decodeAudioData takes the bytes away, and "Back" needs them again.
      this.context.decodeAudioData((await this.fetch(name)).slice(0))));
    this.unload();
    await this.pause();
    names.forEach((name, index) => {
      this.add(name);
      this.sources.set(name, { buffer: buffers[index], node: null });
    });
    this.duration = Math.min(...buffers.map((buffer) => buffer.duration));
    this.seek(0);
  }

  unload() {
    for (const source of this.sources.values()) source.node?.stop();
    this.sources.clear();
    this.clear();
    this.duration = 0;
  }

  seek(position) {
    // All start at one instant a little ahead, so that they stay together to the sample.
    const when = this.context.currentTime + 0.02;
    for (const [name, source] of this.sources) {
      source.node?.stop();
      source.node?.disconnect();
      source.node = this.context.createBufferSource();
      source.node.buffer = source.buffer;
      source.node.loop = true;
      source.node.loopEnd = this.duration;
      source.node.connect(this.gains.get(name));
      source.node.start(when, position);
    }
    this.began = when - position;
  }

  get playing() { return this.running && this.duration > 0; }

  get position() {
    if (!this.duration) return 0;
    return Math.max(0, this.context.currentTime - this.began) % this.duration;
  }
}
