// Segment one photo as petseg.load(...).predict does in Python: the same window or windows, Pillow's
// bilinear filter with its rounding, and the same merging of what the network outputs.

import * as ort from "./ort/ort.wasm.bundle.min.js";

const PADDING_GRAY = 128;
const MAX_LENGTH = 16; // of a scaled photo, in windows
const STRIP_PIXELS = 2 ** 22; // of a photo that are read at a time

/** How each of `to` pixels is made of `from` pixels: the first one and the weights from there on. */
function bilinearTaps(from, to) {
  const scale = from / to, support = Math.max(scale, 1);
  return Array.from({ length: to }, (_, index) => {
    const center = (index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(from, Math.trunc(center + support + 0.5));
    const weights = new Float64Array(end - first);
    for (let k = 0; k < weights.length; k++) weights[k] = Math.max(0, 1 - Math.abs((first + k - center + 0.5) / support));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** The same for bytes: in Pillow's fixed point, multiples of 2^-22. */
const byteTaps = (from, to) => bilinearTaps(from, to).map(({ first, weights }) => ({ first, weights: Int32Array.from(weights, (weight) => weight * 2 ** 22 + 0.5) }));

// Two functions for one sum: JavaScript engines are ten times as fast where each array always has one type.

/** Resize the middle axis of (outer, from, inner) bytes to one pixel per tap. */
function resampleBytes(source, outer, from, inner, taps, result = new Uint8Array(outer * taps.length * inner)) {
  let position = 0;
  for (let o = 0; o < outer; o++) {
    for (const { first, weights } of taps) {
      const start = (o * from + first) * inner;
      for (let i = 0; i < inner; i++) {
        let sum = 2 ** 21;
        for (let k = 0, at = start + i; k < weights.length; k++, at += inner) sum += Math.imul(source[at], weights[k]);
        result[position++] = sum >> 22;
      }
    }
  }
  return result;
}

/** The same for float32. */
function resampleFloats(source, outer, from, inner, taps, result = new Float32Array(outer * taps.length * inner)) {
  let position = 0;
  for (let o = 0; o < outer; o++) {
    for (const { first, weights } of taps) {
      const start = (o * from + first) * inner;
      for (let i = 0; i < inner; i++) {
        let sum = 0;
        for (let k = 0, at = start + i; k < weights.length; k++, at += inner) sum += source[at] * weights[k];
        result[position++] = sum;
      }
    }
  }
  return result;
}

/** Resize bytes (height, width, channels) to (newHeight, newWidth, channels). */
function resizeBytes(source, height, width, channels, newHeight, newWidth) {
  const wide = resampleBytes(source, height, width, channels, byteTaps(width, newWidth));
  return resampleBytes(wide, 1, height, newWidth * channels, byteTaps(height, newHeight));
}

/** Read a photo at another size, RGBA, a strip of it at a time: a canvas may not be as large as a photo. */
function readScaled(photo, height, width) {
  const rows = Math.max(1, Math.min(photo.height, Math.floor(STRIP_PIXELS / photo.width)));
  const context = new OffscreenCanvas(photo.width, rows).getContext("2d", { willReadFrequently: true });
  const taps = byteTaps(photo.width, width);
  const wide = new Uint8Array(photo.height * width * 4);
  for (let top = 0; top < photo.height; top += rows) {
    const count = Math.min(rows, photo.height - top);
    context.clearRect(0, 0, photo.width, rows); // a transparent photo would keep the last strip
    context.drawImage(photo, 0, -top);
    const strip = new Uint8Array(context.getImageData(0, 0, photo.width, count).data.buffer);
    resampleBytes(strip, count, photo.width, 4, taps, wide.subarray(top * width * 4, (top + count) * width * 4));
  }
  return resampleBytes(wide, 1, photo.height, width * 4, byteTaps(photo.height, height));
}

/** length * to / of, rounded to the nearest whole number of at least 1. */
const scaled = (length, to, of) => Math.max(1, Math.floor((2 * length * to + of) / (2 * of)));

/** The photo's size at the network's scale, and the part of the network's input that a window of it fills. */
function place(height, width, size, resize) {
  let target = { top: 0, left: 0, height: size.height, width: size.width };
  let source = { height, width };
  if (resize === "letterbox") {
    target.height = Math.min(size.height, scaled(height, size.width, width));
    target.width = Math.min(size.width, scaled(width, size.height, height));
    target.top = Math.floor((size.height - target.height) / 2);
    target.left = Math.floor((size.width - target.width) / 2);
  } else if (resize === "crop") {
    source = { height: Math.min(height, scaled(size.height, width, size.width)), width: Math.min(width, scaled(size.width, height, size.height)) };
  }
  const whole = {
    height: Math.min(MAX_LENGTH * target.height, scaled(height, target.height, source.height)),
    width: Math.min(MAX_LENGTH * target.width, scaled(width, target.width, source.width)),
  };
  return { target, whole };
}

/** Where as few windows as possible begin that overlap by at least `overlap`. */
function spread(length, size, overlap) {
  const slack = length - size;
  if (slack <= 0) return [0];
  const gaps = Math.ceil(slack / (size - overlap));
  return Array.from({ length: gaps + 1 }, (_, number) => Math.floor((number * slack + Math.floor(gaps / 2)) / gaps));
}

/** Each window's share of every pixel (index in the window), by its distance to the window's nearer edge. */
function shares(starts, length, size) {
  const weight = (index) => Math.min(index + 1, size - index);
  const total = new Float64Array(length);
  for (const start of starts) for (let i = 0; i < size; i++) total[start + i] += weight(i);
  return starts.map((start) => Float64Array.from({ length: size }, (_, i) => weight(i) / total[start + i]));
}

/** The alpha of the cutout, by the probabilities: 255 where certainly no background. A trimap's border is neither side. */
export function alphaOf(probabilities, numPixels, names) {
  const background = names.indexOf("background"), border = names.length === 3 ? names.indexOf("border") : -1;
  if (background < 0) return null;
  return Uint8Array.from({ length: numPixels }, (_, pixel) => {
    const at = pixel * names.length, back = probabilities[at + background];
    const front = Math.min(1, Math.max(1e-7, 1 - back - (border < 0 ? 0 : probabilities[at + border])));
    return Math.round((255 * front) / (front + back));
  });
}

export class Segmenter {
  /** Load the model that site.json describes. */
  static async load(site) {
    const content = await fetch("unet.onnx");
    if (!content.ok) throw new Error(`unet.onnx is missing (${content.status})`);
    const session = await ort.InferenceSession.create(await content.arrayBuffer());
    return new Segmenter(session, site.model, site.classes);
  }

  /** `classes` are the names with their colors, in the order of the network's outputs. */
  constructor(session, { image_size: size, resize = "stretch" }, classes) {
    const [height, width] = Array.isArray(size) ? size : [size, size];
    Object.assign(this, { session, size: { height, width }, resize, names: classes.map(([key]) => key) });
  }

  /** Segment an ImageBitmap. Returns its mask, the pixels per class, the alpha, and the network's time. */
  async segment(photo) {
    const { target, whole } = place(photo.height, photo.width, this.size, this.resize);
    const pixels = readScaled(photo, whole.height, whole.width);
    const overlap = Math.floor(Math.min(target.height, target.width) / 4);
    const tops = spread(whole.height, target.height, overlap), lefts = spread(whole.width, target.width, overlap);
    const rowShares = shares(tops, whole.height, target.height), columnShares = shares(lefts, whole.width, target.width);
    const numClasses = this.names.length;
    const merged = new Float32Array(whole.height * whole.width * numClasses);
    let milliseconds = 0;
    for (const [row, top] of tops.entries()) {
      for (const [column, left] of lefts.entries()) {
        const input = this.#window(pixels, whole.width, top, left, target);
        const start = performance.now();
        const probabilities = await this.#run(input);
        milliseconds += performance.now() - start;
        for (let y = 0; y < target.height; y++) {
          for (let x = 0; x < target.width; x++) {
            const share = rowShares[row][y] * columnShares[column][x];
            const from = ((target.top + y) * this.size.width + target.left + x) * numClasses;
            const to = ((top + y) * whole.width + left + x) * numClasses;
            for (let c = 0; c < numClasses; c++) merged[to + c] += probabilities[from + c] * share;
          }
        }
      }
    }
    const { mask, counts } = this.#mask(merged, whole, photo);
    const alpha = alphaOf(merged, whole.height * whole.width, this.names);
    return { mask, counts, alpha: alpha && { ...whole, values: alpha }, milliseconds };
  }

  /** One window as the network sees it: RGB, with gray around a smaller photo. */
  #window(pixels, rowLength, top, left, target) {
    const input = new Float32Array(this.size.height * this.size.width * 3).fill(PADDING_GRAY);
    for (let y = 0; y < target.height; y++) {
      let from = ((top + y) * rowLength + left) * 4, to = ((target.top + y) * this.size.width + target.left) * 3;
      for (let x = 0; x < target.width; x++, from++) for (let c = 0; c < 3; c++) input[to++] = pixels[from++];
    }
    return input;
  }

  async #run(input) {
    const image = new ort.Tensor("float32", input, [1, this.size.height, this.size.width, 3]);
    const { probabilities } = await this.session.run({ image });
    return probabilities.data;
  }

  /** The most probable class of each of the photo's pixels: the first one of equals. */
  #mask(probabilities, whole, photo) {
    const numClasses = this.names.length, counts = new Array(numClasses).fill(0);
    const wide = resampleFloats(probabilities, whole.height, whole.width, numClasses, bilinearTaps(whole.width, photo.width));
    const row = new Float32Array(photo.width * numClasses);
    const mask = new Uint8Array(photo.height * photo.width);
    let pixel = 0;
    for (const tap of bilinearTaps(whole.height, photo.height)) {
      resampleFloats(wide, 1, whole.height, row.length, [tap], row);
      for (let at = 0; at < row.length; at += numClasses) {
        let best = 0;
        for (let c = 1; c < numClasses; c++) if (row[at + c] > row[at + best]) best = c;
        mask[pixel++] = best;
        counts[best]++;
      }
    }
    return { mask, counts };
  }
}

/** The photo with a transparent background, as a PNG. */
export async function cutOut(photo, alpha) {
  const canvas = new OffscreenCanvas(photo.width, photo.height), context = canvas.getContext("2d");
  context.drawImage(photo, 0, 0);
  const image = context.getImageData(0, 0, photo.width, photo.height);
  const values = resizeBytes(alpha.values, alpha.height, alpha.width, 1, photo.height, photo.width);
  for (let pixel = 0; pixel < values.length; pixel++) image.data[4 * pixel + 3] = values[pixel];
  context.putImageData(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/** The mask as petseg predict writes it: class indices as pixel values, with the colors as the palette. */
export async function maskPng(mask, width, height, colors) {
  const lines = new Uint8Array(height * (width + 1)); // each begins with its filter: 0, none
  for (let y = 0; y < height; y++) lines.set(mask.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const zlib = new Blob([lines]).stream().pipeThrough(new CompressionStream("deflate"));
  const header = new Uint8Array([...bigEndian(width), ...bigEndian(height), 8, 3, 0, 0, 0]); // 8 bits, a palette
  const signature = new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]);
  const parts = [["IHDR", header], ["PLTE", new Uint8Array(colors.flat())], ["IDAT", new Uint8Array(await new Response(zlib).arrayBuffer())], ["IEND", new Uint8Array()]];
  return new Blob([signature, ...parts.map(([name, data]) => pngChunk(name, data))], { type: "image/png" });
}

const bigEndian = (number) => [24, 16, 8, 0].map((shift) => (number >>> shift) & 255);

function pngChunk(name, data) {
  const checked = new Uint8Array(4 + data.length);
  checked.set(new TextEncoder().encode(name));
  checked.set(data, 4);
  let crc = -1;
  for (const byte of checked) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return new Blob([new Uint8Array(bigEndian(data.length)), checked, new Uint8Array(bigEndian(~crc))]);
}
