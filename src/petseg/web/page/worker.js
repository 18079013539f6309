// Segments photos in a thread of its own, so that the page answers while the network runs.

import { Segmenter, cutOut, maskPng } from "./segment.js";

const site = fetch("site.json").then((response) => response.json());
const segmenter = site.then(Segmenter.load);
let last; // the last photo and what was found in it, for downloads

const answers = {
  load: async () => ({ site: await site, loaded: Boolean(await segmenter) }),
  segment: async ({ photo }) => {
    const loaded = await segmenter;
    const found = await loaded.segment(photo);
    last?.photo.close();
    last = { photo, ...found };
    return { mask: found.mask, counts: found.counts, milliseconds: found.milliseconds };
  },
  mask: async () => maskPng(last.mask, last.photo.width, last.photo.height, (await site).classes.map(([, color]) => color)),
  cutout: () => cutOut(last.photo, last.alpha),
};

let queue = Promise.resolve(); // one after the other
addEventListener("message", ({ data }) => {
  queue = queue.then(async () => {
    try {
      postMessage({ id: data.id, result: await answers[data.task](data) });
    } catch (error) {
      postMessage({ id: data.id, error: String(error?.message ?? error) });
    }
  });
});
