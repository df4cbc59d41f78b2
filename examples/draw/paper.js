"use strict";

const UNDO_STEPS = 30;
// instance ids: those of samples are below FIRST_CLASS, an area of a class that is no object has FIRST_CLASS + class
const FIRST_CLASS = 1 << 19;
const FIRST_OBJECT = 1 << 20;

/**
 * The picture that a user draws: RGBA pixels and, for label maps, class ids and instance ids.
 *
 * It has the size of the generator's input, and strokes are not smoothed, as in label maps and in thinned edges.
 */
class Paper {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {object} model - see page.js
   * @param {function} onChange - called after every change
   */
  constructor(canvas, model, onChange) {
    [this.canvas, this.width, this.height, this.onChange] = [canvas, model.width, model.height, onChange];
    [canvas.width, canvas.height] = [model.width, model.height];
    this.context = canvas.getContext("2d", {willReadFrequently: true});
    this.image = new ImageData(model.width, model.height);
    this.pixels = this.image.data;
    this.words = new Uint32Array(this.pixels.buffer);
    this.labels = model.kind === "paint" ? new Uint8Array(this.words.length) : null;
    this.instances = model.instances ? new Int32Array(this.words.length) : null;
    this.undone = [];
    this.background = {color: [255, 255, 255], label: 0};
    this.pen = {tool: "pen", color: [0, 0, 0], label: 0, size: 1, ownObject: false};
    this.nextInstance = FIRST_OBJECT;
    this.canDraw = model.kind !== "photo";
    if (this.canDraw) this.listen();
  }

  listen() {
    const {canvas} = this;
    let last = null;
    const position = (event) => {
      const box = canvas.getBoundingClientRect();
      return [Math.floor((event.clientX - box.left) / box.width * this.width),
        Math.floor((event.clientY - box.top) / box.height * this.height)];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || last) return;
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      this.remember();
      this.startStroke();
      if (this.pen.tool === "fill") {
        this.fill(...position(event));
      } else {
        last = {id: event.pointerId, at: position(event)};
        this.line(last.at, last.at);
      }
      this.changed();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last || event.pointerId !== last.id) return;
      const events = event.getCoalescedEvents?.() ?? [];
      for (const part of events.length ? events : [event]) {
        const to = position(part);
        this.line(last.at, to);
        last.at = to;
      }
      this.changed();
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(name, (event) => { if (last?.id === event.pointerId) last = null; });
    }
  }

  /** Choose what the next stroke writes: the value of the pen, or of the empty paper for the eraser. */
  startStroke() {
    const {color, label} = this.pen.tool === "eraser" ? this.background : this.pen;
    this.value = {word: toWord(color), label, instance: this.pen.ownObject ? this.nextInstance++ : FIRST_CLASS + label};
  }

  set(i) {
    this.words[i] = this.value.word;
    if (this.labels) this.labels[i] = this.value.label;
    if (this.instances) this.instances[i] = this.value.instance;
  }

  stamp(x, y) {
    const {size} = this.pen;
    for (let j = 0; j < size; j++) {
      for (let i = 0; i < size; i++) {
        const [dx, dy] = [i - (size - 1) / 2, j - (size - 1) / 2];
        if (dx * dx + dy * dy > size * size / 4 - (size > 2 ? 0.3 : 0)) continue;
        const [px, py] = [x + i - (size >> 1), y + j - (size >> 1)];
        if (px >= 0 && py >= 0 && px < this.width && py < this.height) this.set(py * this.width + px);
      }
    }
  }

  /** Draw a straight line with the tip of the pen (Bresenham). */
  line([x, y], [endX, endY]) {
    const [dx, dy] = [Math.abs(endX - x), -Math.abs(endY - y)];
    const [stepX, stepY] = [Math.sign(endX - x), Math.sign(endY - y)];
    let error = dx + dy;
    for (;;) {
      this.stamp(x, y);
      if (x === endX && y === endY) return;
      const twice = 2 * error;
      if (twice >= dy) { error += dy; x += stepX; }
      if (twice <= dx) { error += dx; y += stepY; }
    }
  }

  /** Fill the connected area of equal color and object around a pixel. */
  fill(x, y) {
    const same = (i, j) => this.words[i] === this.words[j] && (!this.instances || this.instances[i] === this.instances[j]);
    const area = new Uint8Array(this.words.length);
    const start = y * this.width + x;
    const found = [start];
    area[start] = 1;
    for (let n = 0; n < found.length; n++) {
      const i = found[n];
      const column = i % this.width;
      for (const j of [column ? i - 1 : -1, column + 1 < this.width ? i + 1 : -1, i - this.width, i + this.width]) {
        if (j < 0 || j >= area.length || area[j] || !same(j, start)) continue;
        area[j] = 1;
        found.push(j);
      }
    }
    for (const i of found) this.set(i);
  }

  remember() {
    this.undone.push([this.pixels.slice(), this.labels?.slice(), this.instances?.slice()]);
    if (this.undone.length > UNDO_STEPS) this.undone.shift();
  }

  undo() {
    const state = this.undone.pop();
    if (!state) return;
    [this.pixels, this.labels, this.instances].forEach((array, i) => array?.set(state[i]));
    this.changed();
  }

  clear() {
    this.remember();
    this.reset();
    this.changed();
  }

  /** Empty the paper. */
  reset() {
    this.words.fill(toWord(this.background.color));
    this.labels?.fill(this.background.label);
    this.instances?.fill(FIRST_CLASS + this.background.label);
  }

  /** Show an image or a frame of a video, cropped around its center to the shape of the paper. */
  show(source, sourceWidth, sourceHeight) {
    const scale = Math.max(this.width / sourceWidth, this.height / sourceHeight);
    const [width, height] = [sourceWidth * scale, sourceHeight * scale];
    this.context.imageSmoothingQuality = "high";
    this.context.fillStyle = "white";
    this.context.fillRect(0, 0, this.width, this.height);
    this.context.drawImage(source, (this.width - width) / 2, (this.height - height) / 2, width, height);
    this.pixels.set(this.context.getImageData(0, 0, this.width, this.height).data);
    this.changed();
  }

  /** Load a sample: its pixels or, for label maps, class ids in red and instance ids in green and blue. */
  load(data, classes) {
    this.remember();
    if (this.labels) {
      for (let i = 0; i < this.words.length; i++) {
        this.labels[i] = data[4 * i];
        if (this.instances) this.instances[i] = data[4 * i + 1] + 256 * data[4 * i + 2];
        this.words[i] = toWord(classes[data[4 * i]].color);
      }
    } else {
      this.pixels.set(data);
    }
    this.changed();
  }

  changed() {
    this.context.putImageData(this.image, 0, 0);
    this.onChange();
  }
}

/** Return an opaque color as the four bytes of a pixel. */
function toWord([r, g, b]) {
  return new Uint32Array(new Uint8Array([r, g, b, 255]).buffer)[0];
}
