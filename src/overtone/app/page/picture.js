// Draw a file's spectrogram, before or after, from the levels of its input and added band.

const RANGE = 120; // dB that a byte's 255 steps cover, from full scale down
const SHOWN = 95; // dB from the loudest point down to black
// Black, purple, orange, white: rising in lightness alone, so that it reads without colours as well.
const STOPS = [[0, 0, 4], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];

const COLOURS = Array.from({ length: 256 }, (_, value) => {
  const at = value / 255 * (STOPS.length - 1);
  const low = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[low].map((part, index) => Math.round(part + (STOPS[low + 1][index] - part) * (at - low)));
});

export class Picture {
  constructor(bytes, columns, rows) {
    Object.assign(this, { columns, rows });
    this.input = bytes.subarray(0, columns * rows);
    this.added = bytes.length > columns * rows ? bytes.subarray(columns * rows) : null;
    let loudest = 0;
    for (const byte of this.input) loudest = Math.max(loudest, byte);
    this.loudest = loudest / 255 * RANGE - RANGE;
  }

  // The gains in dB per row are those of the controls' curve; null draws the input alone.
  image(gains) {
    const { columns, rows, input, added } = this;
    const image = new ImageData(columns, rows);
    for (let row = 0; row < rows; row++) {
      const gain = gains ? gains[row] / RANGE * 255 : null;
      for (let column = 0; column < columns; column++) {
        const from = row * columns + column;
        const byte = added && gain !== null ? Math.max(input[from], added[from] && added[from] + gain) : input[from];
        const level = byte / 255 * RANGE - RANGE - this.loudest;
        const colour = COLOURS[Math.max(0, Math.min(255, Math.round((level / SHOWN + 1) * 255)))];
        image.data.set([...colour, 255], ((rows - 1 - row) * columns + column) * 4);
      }
    }
    return image;
  }

  draw(canvas, gains) {
    canvas.width = this.columns;
    canvas.height = this.rows;
    canvas.getContext("2d").putImageData(this.image(gains), 0, 0);
  }

  // Both versions one below the other, with axes, as a PNG blob.
  async png(file, gains) {
    const [width, height, left, head] = [1000, 300, 70, 60];
    const canvas = document.createElement("canvas");
    canvas.width = left + width + 20;
    canvas.height = head + 2 * (height + 50);
    const paint = canvas.getContext("2d");
    paint.fillStyle = "#fff";
    paint.fillRect(0, 0, canvas.width, canvas.height);
    paint.fillStyle = "#111";
    paint.font = "20px sans-serif";
    paint.fillText(file.name, left, 30, width);
    paint.font = "14px sans-serif";
    for (const [index, [title, curve]] of [["file", null], ["restored", gains]].entries()) {
      const y = head + index * (height + 50);
      const bitmap = await createImageBitmap(this.image(curve));
      paint.drawImage(bitmap, left, y, width, height);
      paint.fillText(title, left, y - 6);
      const nyquist = file.rate / 2;
      paint.textAlign = "right";
      for (let hertz = 0; hertz <= nyquist; hertz += 5000) {
        paint.fillText(`${hertz / 1000} kHz`, left - 6, y + height - hertz / nyquist * height + 5);
      }
      paint.textAlign = "left";
      paint.fillText("0:00", left, y + height + 18);
      paint.textAlign = "right";
      paint.fillText(clock(file.length / file.rate), left + width, y + height + 18);
      paint.textAlign = "left";
      paint.strokeStyle = "#fff";
      paint.setLineDash([8, 6]);
      paint.beginPath();
      paint.moveTo(left, y + height - file.cutoff / nyquist * height);
      paint.lineTo(left + width, y + height - file.cutoff / nyquist * height);
      paint.stroke();
    }
    return new Promise((done) => { canvas.toBlob(done, "image/png"); });
  }
}

export function clock(seconds) {
  const whole = Math.floor(seconds);
  const tail = `${String(Math.floor(whole / 60) % 60).padStart(whole >= 3600 ? 2 : 1, "0")}:${String(whole % 60).padStart(2, "0")}`;
  return whole >= 3600 ? `${Math.floor(whole / 3600)}:${tail}` : tail;
}
