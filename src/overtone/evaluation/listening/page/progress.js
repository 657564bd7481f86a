// Pages and minutes left, at the listener's own pace.

const GUESS = 12; // seconds per version, until the listener's own pace is known
const WEIGHT = 4; // versions that the guess counts as

export class Progress {
  constructor(trials) {
    this.sizes = trials.map(({ clips, reference }) => clips.length + (reference ? 1 : 0));
    this.spent = trials.map(() => 0); // seconds on each page
    this.done = new Set();
  }

  count(index, seconds) { this.spent[index] += seconds; }

  finish(index) { this.done.add(index); }

  // Seconds per version: of the finished pages, and of the guess.
  get pace() {
    const total = (of) => [...this.done].reduce((sum, index) => sum + of[index], 0);
    return (GUESS * WEIGHT + total(this.spent)) / (WEIGHT + total(this.sizes));
  }

  text(index) {
    const count = this.sizes.length;
    if (index >= count) return "All pages are done";
    const versions = this.sizes.slice(index).reduce((sum, size) => sum + size, 0);
    const minutes = Math.max(1, Math.ceil(versions * this.pace / 60));
    const after = count - index - 1;
    return `Page ${index + 1} of ${count}, ${after || "none"} after it; about ${minutes} min left`;
  }
}
