"use strict";
// Pixels to the inputs of a generator and its outputs back to pixels. These functions compute what
// compression/runtime/images.py, encoding.py, and lab.py compute; tensors are (channels, height, width).

/** Convert RGBA pixels to an RGB or gray image in [-1, 1]. */
function encodeImage(pixels, channels) {
  const count = pixels.length / 4;
  const tensor = new Float32Array(channels * count);
  for (let i = 0; i < count; i++) {
    const [r, g, b] = [pixels[4 * i], pixels[4 * i + 1], pixels[4 * i + 2]];
    if (channels === 1) {
      tensor[i] = ((19595 * r + 38470 * g + 7471 * b + 32768) >> 16) / 127.5 - 1;
    } else {
      tensor[i] = r / 127.5 - 1;
      tensor[count + i] = g / 127.5 - 1;
      tensor[2 * count + i] = b / 127.5 - 1;
    }
  }
  return tensor;
}

/** Encode class ids one-hot and, with `instances`, the edges of instances in a last channel. */
function encodeLabels(labels, instances, classes, width) {
  const count = labels.length;
  const tensor = new Float32Array((classes + (instances ? 1 : 0)) * count);
  for (let i = 0; i < count; i++) tensor[labels[i] * count + i] = 1;
  if (!instances) return tensor;
  const edges = tensor.subarray(classes * count);
  for (let i = 0; i < count; i++) {
    const neighbors = [];
    if ((i + 1) % width) neighbors.push(i + 1);
    if (i + width < count) neighbors.push(i + width);
    for (const j of neighbors) if (instances[i] !== instances[j]) edges[i] = edges[j] = 1;
  }
  return tensor;
}

const linear = (value) => value > 0.04045 ? ((value + 0.055) / 1.055) ** 2.4 : value / 12.92;
const root = (t) => t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116;
const cube = (f) => f > Math.cbrt(0.008856) ? f ** 3 : (f - 16 / 116) / 7.787;
const gamma = (value) => value > 0.0031308 ? 1.055 * value ** (1 / 2.4) - 0.055 : 12.92 * value;

/** Convert RGBA pixels to the lightness of CIE Lab, L / 50 - 1. */
function encodeLightness(pixels) {
  const tensor = new Float32Array(pixels.length / 4);
  for (let i = 0; i < tensor.length; i++) {
    const [r, g, b] = [0, 1, 2].map((c) => linear(pixels[4 * i + c] / 255));
    tensor[i] = (116 * root(0.212671 * r + 0.71516 * g + 0.072169 * b) - 16) / 50 - 1;
  }
  return tensor;
}

/** Convert lightness and the colors (a, b) / 110 to RGBA pixels. */
function decodeLab(lightness, colors) {
  const count = lightness.length;
  const pixels = new Uint8ClampedArray(4 * count);
  for (let i = 0; i < count; i++) {
    const fy = ((lightness[i] + 1) * 50 + 16) / 116;
    const x = 0.95047 * cube(fy + colors[i] * 110 / 500);
    const y = cube(fy);
    const z = 1.08883 * cube(fy - colors[count + i] * 110 / 200);
    pixels[4 * i] = 255 * gamma(3.240481 * x - 1.537152 * y - 0.498536 * z);
    pixels[4 * i + 1] = 255 * gamma(-0.969255 * x + 1.87599 * y + 0.041556 * z);
    pixels[4 * i + 2] = 255 * gamma(0.055647 * x - 0.204041 * y + 1.057311 * z);
    pixels[4 * i + 3] = 255;
  }
  return pixels;
}

/** Convert an image in [-1, 1], gray or RGB, to RGBA pixels. */
function decodeImage(tensor, channels) {
  const count = tensor.length / channels;
  const pixels = new Uint8ClampedArray(4 * count); // rounds and clips
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < 3; c++) pixels[4 * i + c] = (tensor[(channels === 1 ? 0 : c) * count + i] + 1) * 127.5;
    pixels[4 * i + 3] = 255;
  }
  return pixels;
}

/** Return the input of the generator for what is on a Paper. */
function encodeInput(model, paper) {
  if (model.kind === "paint") return encodeLabels(paper.labels, paper.instances, model.classes.length, paper.width);
  return model.lab ? encodeLightness(paper.pixels) : encodeImage(paper.pixels, model.input_nc);
}

/** Return the RGBA pixels of the generator's output. */
function decodeOutput(model, input, output) {
  return model.lab ? decodeLab(input, output) : decodeImage(output, model.output_nc);
}

/** Decode base64 of gzip to bytes. */
async function unpack(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
