// The page: takes photos and the camera's frames, asks the worker, and shows what it found.

const MAX_SHOWN = 1600; // pixels on the longer side; downloads have the photo's own size
const MAX_PIXELS = 50e6;

const element = (id) => document.getElementById(id);
const photoCanvas = element("photo"), maskCanvas = element("mask"), video = element("video"), cameraButton = element("camera");

const worker = new Worker("worker.js", { type: "module" });
const waiting = new Map();
let asked = 0;
worker.addEventListener("message", ({ data: { id, result, error } }) => {
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error) reject(new Error(error));
  else resolve(result);
});
worker.addEventListener("error", () => say("The model can't be loaded: this browser doesn't run module workers, or a file is missing. If this page was opened as a file, serve its folder instead: python -m http.server", true));

function ask(task, values = {}, transfer = []) {
  return new Promise((resolve, reject) => {
    waiting.set(++asked, { resolve, reject });
    worker.postMessage({ id: asked, task, ...values }, transfer);
  });
}

function say(text, isError = false) {
  element("status").textContent = text;
  element("status").classList.toggle("error", isError);
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

let classes = [], name = "", stream = null; // classes: names with their colors, in order
let cameraRequest = 0; // counts starts and stops, since the browser may take its time to ask for permission

/** Show a photo and its mask. */
async function segment(photo, started) {
  if (photo.width * photo.height > MAX_PIXELS) throw new Error(`it has ${(photo.width * photo.height / 1e6).toFixed(1)} megapixels, but must have at most ${MAX_PIXELS / 1e6}`);
  const { width, height } = photo;
  const scale = Math.min(1, MAX_SHOWN / Math.max(width, height));
  const shown = { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
  const preview = new OffscreenCanvas(shown.width, shown.height);
  preview.getContext("2d").drawImage(photo, 0, 0, shown.width, shown.height);
  const { mask, counts, milliseconds } = await ask("segment", { photo }, [photo]);
  for (const canvas of [photoCanvas, maskCanvas]) if (canvas.width !== shown.width || canvas.height !== shown.height) Object.assign(canvas, shown);
  photoCanvas.getContext("2d").drawImage(preview, 0, 0);
  maskCanvas.getContext("2d").putImageData(colored(mask, width, height, shown), 0, 0);
  const shares = counts.map((count) => count / mask.length);
  showShares(shares);
  photoCanvas.setAttribute("aria-label", `${name}: ${classes.map(([key], index) => `${key} ${percent(shares[index])}`).join(", ")}`);
  element("caption").textContent = `${name}, ${width} × ${height}: ${Math.round(performance.now() - started)} ms, of which the network ${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
  element("result").hidden = false;
}

/** The mask in the classes' colors at the size shown; background is transparent. */
function colored(mask, width, height, shown) {
  const palette = classes.map(([key, [red, green, blue]]) => (key === "background" ? 0 : (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0));
  const image = new ImageData(shown.width, shown.height), pixels = new Uint32Array(image.data.buffer);
  const columns = Array.from({ length: shown.width }, (_, x) => Math.floor(((x + 0.5) * width) / shown.width));
  for (let y = 0, at = 0; y < shown.height; y++) {
    const row = Math.floor(((y + 0.5) * height) / shown.height) * width;
    for (const column of columns) pixels[at++] = palette[mask[row + column]];
  }
  return image;
}

function showShares(shares) {
  [...element("legend").tBodies[0].rows].forEach((row, index) => (row.cells[1].textContent = percent(shares[index])));
}

function showLegend() {
  for (const [key, color] of classes) {
    const row = element("legend").tBodies[0].insertRow();
    const head = document.createElement("th"), swatch = document.createElement("span");
    head.scope = "row";
    swatch.className = "swatch";
    swatch.style.background = `rgb(${color})`;
    head.append(swatch, key);
    row.append(head);
    row.insertCell();
  }
}

async function segmentFile(file) {
  stopCamera();
  say(`Segmenting ${file.name} …`);
  const started = performance.now();
  let photo;
  try {
    // As petseg reads it: upright, and with the file's own values, whatever color profile it has.
    photo = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    return say(`${file.name} can't be read as an image by this browser.`, true);
  }
  try {
    name = file.name;
    await segment(photo, started);
    say("");
  } catch (error) {
    say(`${file.name} can't be segmented: ${error.message}.`, true);
  }
}

async function startCamera() {
  if (!navigator.mediaDevices) return say("The camera needs a page from https:// or from localhost.", true);
  const request = ++cameraRequest;
  let started;
  try {
    started = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 640 } } });
  } catch (error) {
    if (request !== cameraRequest) return;
    return say(`The camera can't be used (${error.message}); allow it for this page, or plug one in.`, true);
  }
  if (request !== cameraRequest) return stopTracks(started); // another click or a photo came while the browser asked
  stream = started;
  cameraButton.textContent = "Stop camera";
  cameraButton.setAttribute("aria-pressed", "true");
  say("");
  name = "camera";
  video.srcObject = stream;
  try {
    await video.play();
    while (request === cameraRequest) {
      await segment(await createImageBitmap(video), performance.now());
      await new Promise(requestAnimationFrame); // none while the page is hidden
    }
  } catch (error) {
    if (request !== cameraRequest) return;
    stopCamera();
    say(`The camera's frame can't be segmented: ${error.message}.`, true);
  }
}

function stopTracks(camera) {
  camera?.getTracks().forEach((track) => track.stop());
}

function stopCamera() {
  cameraRequest++;
  stopTracks(stream);
  stream = video.srcObject = null;
  cameraButton.textContent = "Start camera";
  cameraButton.setAttribute("aria-pressed", "false");
}

async function save(task) {
  try {
    const url = URL.createObjectURL(await ask(task));
    const link = Object.assign(document.createElement("a"), { href: url, download: `${name.replace(/\.[^.]*$/, "")}_${task}.png` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) {
    say(`The ${task} can't be written: ${error.message}.`, true);
  }
}

element("file").addEventListener("change", ({ target }) => {
  if (target.files.length) segmentFile(target.files[0]);
  target.value = ""; // so that the same photo can be chosen again
});
cameraButton.addEventListener("click", () => (stream ? stopCamera() : startCamera()));
element("opacity").addEventListener("input", ({ target }) => (maskCanvas.style.opacity = target.value / 100));
element("save-mask").addEventListener("click", () => save("mask"));
element("save-cutout").addEventListener("click", () => save("cutout"));

addEventListener("dragover", (event) => {
  event.preventDefault();
  element("drop").classList.add("over");
});
addEventListener("dragleave", () => element("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  element("drop").classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) segmentFile(file);
});

try {
  const { site } = await ask("load");
  classes = site.classes;
  showLegend();
  element("save-cutout").hidden = !classes.some(([key]) => key === "background");
  element("about").textContent = `Model ${site.model.sha256.slice(0, 12)}, made with petseg. Runs on ${site.runtime}, © Microsoft, MIT License.`;
  say("Ready.");
} catch (error) {
  say(`The model can't be loaded: ${error.message}.`, true);
}
