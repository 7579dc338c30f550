// A card for each face: its head in 3D, its values, and its expression scores.

const SCORE_OF_NOTHING = "_neutral";
const DRAG_SPEED = 0.01; // radians for each pixel

export class FaceCards {
  /** @param heads draws heads; null where the browser cannot. */
  constructor(section, template, blendshapes, heads) {
    this.section = section;
    this.template = template;
    this.blendshapes = blendshapes;
    this.heads = heads;
    this.cards = new Map();
    // Rotation of all heads relative to the camera's viewpoint.
    this.turn = { yaw: 0, pitch: 0 };
  }

  show(frame, options) {
    const faces = frame.faces ?? [];
    const shown = new Set();
    this.frame = frame;
    this.options = options;
    faces.forEach((face, order) => {
      const key = face.id ? `id ${face.id}` : `face ${order + 1}`;
      shown.add(key);
      if (!this.cards.has(key)) this.cards.set(key, this.makeCard(key));
      this.cards.get(key).show(face);
    });
    for (const [key, card] of this.cards) {
      if (shown.has(key)) continue;
      card.element.remove();
      this.cards.delete(key);
    }
    this.section.classList.toggle("empty", faces.length === 0);
    this.drawHeads();
  }

  drawHeads() {
    if (!this.heads || !this.cards.size) return;
    this.heads.begin(this.frame, this.options);
    for (const card of this.cards.values()) this.heads.draw(card.face, this.turn, card.canvas);
  }

  makeCard(key) {
    const card = new FaceCard(key, this.template, this.blendshapes);
    card.canvas.hidden = this.heads === null;
    card.canvas.width = card.canvas.height = this.heads?.size ?? 0;
    this.followPointer(card.canvas);
    this.section.append(card.element);
    return card;
  }

  followPointer(canvas) {
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (!canvas.hasPointerCapture(event.pointerId)) return;
      this.turn.yaw += event.movementX * DRAG_SPEED;
      this.turn.pitch += event.movementY * DRAG_SPEED;
      this.drawHeads();
    });
    canvas.addEventListener("dblclick", () => {
      this.turn.yaw = this.turn.pitch = 0;
      this.drawHeads();
    });
  }
}

class FaceCard {
  constructor(key, template, blendshapes) {
    this.element = template.content.firstElementChild.cloneNode(true);
    this.element.dataset.face = key;
    this.element.querySelector("h2").textContent = key;
    this.canvas = this.element.querySelector(".head");
    this.noScores = this.element.querySelector(".no-scores");
    this.facts = {};
    for (const item of this.element.querySelectorAll("[data-fact]")) {
      this.facts[item.dataset.fact] = item;
    }
    const list = this.element.querySelector(".scores");
    this.bars = blendshapes.map((name) => (name === SCORE_OF_NOTHING ? null : makeBar(list, name)));
  }

  show(face) {
    this.face = face;
    const { head, gaze } = face;
    setText(this.facts.score, number(face.score, 2));
    setText(this.facts.landmarks, number(face.landmarks_score, 2));
    setText(this.facts.distance, head ? `${number(head.distance, 2)} m` : "no pose");
    setText(this.facts.size, head?.scale ? `${number(head.scale, 2)}, ${head.scale_source}` : "–");
    for (const angle of ["yaw", "pitch", "roll"]) {
      setText(this.facts[angle], degrees(head?.[angle]));
    }
    setText(this.facts.attention, face.attention?.join(", ") || "–");
    setText(
      this.facts.gaze,
      gaze ? `${sided(gaze.yaw, "right", "left")}, ${sided(gaze.pitch, "up", "down")}` : "–",
    );
    this.showScores(face.blendshapes);
  }

  showScores(scores) {
    this.noScores.hidden = scores !== undefined;
    this.element.classList.toggle("has-scores", scores !== undefined);
    this.bars.forEach((bar, index) => {
      if (!bar || !scores) return;
      bar.style.setProperty("--score", scores[index].toFixed(3));
      bar.dataset.score = scores[index].toFixed(2);
    });
  }
}

function makeBar(list, name) {
  const bar = document.createElement("li");
  bar.textContent = name;
  bar.dataset.name = name;
  list.append(bar);
  return bar;
}

/** Only a text that changes costs the browser anything. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function number(value, digits) {
  return value === null ? "–" : value.toFixed(digits);
}

function degrees(value) {
  if (value === undefined || value === null) return "–";
  const rounded = Math.round(value);
  return `${rounded > 0 ? "+" : ""}${rounded}°`;
}

/** Such as "12° left". */
function sided(value, positive, negative) {
  if (value === null) return "–";
  return `${Math.abs(Math.round(value))}° ${value >= 0 ? positive : negative}`;
}
