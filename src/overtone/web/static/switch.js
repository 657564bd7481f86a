// Several versions of a sound play in step, all but one of them muted. Switching changes gains only, so the
// music goes on at the same position without a gap.

const FADE = 0.01; // seconds; long enough not to click

export class Switch {
  constructor() {
    this.context = null;
    this.gains = new Map(); // version -> GainNode
    this.current = null;
  }

  // Browsers start sound in a click or a key press only: call this from one.
  async open(options = {}) {
    this.context ??= new AudioContext(options);
    await this.context.suspend();
  }

  // Add a muted version; returns the node to connect its sound to.
  add(name) {
    const gain = this.context.createGain();
    gain.gain.value = 0;
    gain.connect(this.context.destination);
    this.gains.set(name, gain);
    return gain;
  }

  clear() {
    for (const gain of this.gains.values()) gain.disconnect();
    this.gains.clear();
    this.current = null;
  }

  // Unmute one version at a level and mute the others.
  select(name, level = () => 1) {
    const now = this.context.currentTime;
    for (const [other, { gain }] of this.gains) {
      gain.cancelScheduledValues(now);
      gain.setValueAtTime(gain.value, now);
      gain.linearRampToValueAtTime(other === name ? level(name) : 0, now + FADE);
    }
    this.current = name;
  }

  // A stopped clock pauses all versions at the same sample.
  play() { return this.context.resume(); }
  pause() { return this.context?.suspend(); }
  get running() { return this.context?.state === "running"; }
}
