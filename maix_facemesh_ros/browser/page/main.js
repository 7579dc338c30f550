// The page: passes frames and states from the connection to the views.

import { Connection } from "./connection.js";
import { FaceCards } from "./face_cards.js";
import { parseFrame } from "./frame.js";
import { HeadView } from "./head_view.js";
import { ImageView } from "./image_view.js";
import { TopicTable } from "./topic_table.js";

const HEAD_SIZE = 210; // CSS pixels
const RATE_WINDOW = 2000; // milliseconds
const RETRY_AFTER = 1000; // milliseconds

const CONNECTION_WORDS = {
  open: "live",
  lost: "no connection to facemesh_view, reconnecting",
  paused: "paused",
};

const element = (id) => document.getElementById(id);

async function start() {
  const mesh = await fetchMesh();
  const image = new ImageView(element("image"), element("overlay"), mesh);
  const heads = makeHeads(mesh);
  const cards = new FaceCards(element("faces"), element("face-card"), mesh.blendshapes, heads);
  const table = new TopicTable(element("topics"), element("trouble"));
  const rate = new Rate();
  const options = followOptions((changed) => {
    image.change(changed);
    if (image.frame) cards.show(image.frame, changed);
  });

  async function onFrame(bytes) {
    const frame = parseFrame(bytes);
    await image.show(frame);
    cards.show(frame, options());
    rate.count();
    sayAboutFrame(frame, rate.value());
    await nextPaint();
  }

  function onState(state) {
    table.show(state);
    sayRate("image-rate", state.topics?.images);
    sayRate("face-rate", state.topics?.faces);
    element("view").classList.toggle("silent", Boolean(state.topics?.images?.silent));
  }

  function onChange(state) {
    element("connection").textContent = CONNECTION_WORDS[state];
    element("connection").dataset.state = state;
    document.body.classList.toggle("disconnected", state !== "open");
  }

  new Connection({ onFrame, onState, onChange });
}

async function fetchMesh() {
  for (;;) {
    const answer = await fetch("mesh.json").catch(() => null);
    if (answer?.ok) return answer.json();
    await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER));
  }
}

function makeHeads(mesh) {
  try {
    return new HeadView(element("image"), mesh, Math.round(HEAD_SIZE * devicePixelRatio));
  } catch (error) {
    console.warn("heads cannot be drawn:", error.message);
    return null;
  }
}

/** Tell of changes, and give the function that says what is chosen. */
function followOptions(onChange) {
  const form = element("options");
  const chosen = () =>
    Object.fromEntries(
      [...form.elements].filter((item) => item.name).map((item) => [item.name, item.checked]),
    );
  form.addEventListener("change", () => onChange(chosen()));
  onChange(chosen());
  return chosen;
}

function sayAboutFrame(frame, rate) {
  element("shown-rate").textContent = `${rate.toFixed(0)} Hz`;
  element("delay").textContent =
    frame.delay === null ? "–" : `${Math.round(frame.delay * 1000)} ms`;
  element("stage-note").textContent = noteOn(frame);
  element("no-faces").textContent = frame.faces ? "no face in view" : "no faces from the node";
  element("frame-facts").textContent = `${frame.width}×${frame.height}, stamp ${frame.stamp}`;
  element("stage").dataset.stamp = frame.stamp;
}

function noteOn(frame) {
  if (frame.hasImage) return "";
  return frame.jpeg.length ? "a damaged image" : "no image";
}

function sayRate(id, topic) {
  element(id).textContent = topic ? `${topic.rate.toFixed(0)} Hz` : "–";
}

/** Where it takes the browser long to draw, the next frame is asked for later. */
function nextPaint() {
  return new Promise((resolve) => requestAnimationFrame(resolve));
}

class Rate {
  constructor() {
    this.times = [];
  }

  count() {
    const now = performance.now();
    this.times.push(now);
    while (this.times[0] < now - RATE_WINDOW) this.times.shift();
  }

  value() {
    const span = this.times.at(-1) - this.times[0];
    return span > 0 ? ((this.times.length - 1) * 1000) / span : 0;
  }
}

start();
