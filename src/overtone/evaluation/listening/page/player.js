// All versions of a sample play at once, all but one of them muted: switching is a change of gains, so
// the music goes on at the same place, without a gap.

const FADE = 0.01; // seconds; long enough not to click

export class Player {
  constructor() {
    this.context = null;
    this.sources = new Map(); // name -> {buffer, node, gain}
    this.current = null;
    this.began = 0; // the context's time at which position 0 was, or would have been, played
    this.duration = 0;
    this.fetched = new Map(); // name -> a promise of the file's bytes
  }

  // Browsers let sound begin in a click or a key press only, so this is called from one.
  async open() {
    this.context ??= new AudioContext();
    await this.context.suspend();
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
    await this.context.suspend();
    names.forEach((name, index) => {
      const gain = this.context.createGain();
      gain.gain.value = 0;
      gain.connect(this.context.destination);
      this.sources.set(name, { buffer: buffers[index], node: null, gain });
    });
    this.duration = Math.min(...buffers.map((buffer) => buffer.duration));
    this.seek(0);
  }

  unload() {
    for (const source of this.sources.values()) {
      source.node?.stop();
      source.gain.disconnect();
    }
    this.sources.clear();
    this.current = null;
    this.duration = 0;
  }

  seek(position) {
    // All start at one instant a little ahead, so that they stay together to the sample.
    const when = this.context.currentTime + 0.02;
    for (const source of this.sources.values()) {
      source.node?.stop();
      source.node?.disconnect();
      source.node = this.context.createBufferSource();
      source.node.buffer = source.buffer;
      source.node.loop = true;
      source.node.loopEnd = this.duration;
      source.node.connect(source.gain);
      source.node.start(when, position);
    }
    this.began = when - position;
  }

  select(name) {
    const now = this.context.currentTime;
    for (const [other, { gain }] of this.sources) {
      gain.gain.cancelScheduledValues(now);
      gain.gain.setValueAtTime(gain.gain.value, now);
      gain.gain.linearRampToValueAtTime(other === name ? 1 : 0, now + FADE);
    }
    this.current = name;
  }

  get playing() {
    return this.context?.state === "running" && this.duration > 0;
  }

  get position() {
    if (!this.duration) return 0;
    return Math.max(0, this.context.currentTime - this.began) % this.duration;
  }

  // Stopping the context's clock pauses all versions at the same sample.
  play() { return this.context.resume(); }
  pause() { return this.context.suspend(); }
}
