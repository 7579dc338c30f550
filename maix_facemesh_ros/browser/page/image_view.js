// The image with its mesh, box, label and gaze.

import { IRISES, isThere } from "./frame.js";

// Colors of the lines; the mesh itself is shaded by depth, near = bright.
const LINE_COLORS = {
  oval: "#e0f0ff",
  brows: "#ffc857",
  eyes: "#78ffaa",
  irises: "#5adcff",
  lips: "#ff6e82",
};
const BOX_COLOR = "#50faa0";
const GAZE_COLOR = "#ffd84d";
const MAIN_COLOR = "#ffe24d";
const LABEL_COLOR = "#0a2819";
const SHADES = 8;
const MESH_OPACITY = 0.55;

// Lengths of a gaze's arrow and of its head, in widths of the face's box.
const GAZE_LENGTH = 0.7;
const ARROW_HEAD = 0.08;

export class ImageView {
  constructor(image, overlay, mesh) {
    // Drawn by the CPU, also with a graphics card: the mesh is many short lines, which are slow on
    // a computer that emulates a graphics card.
    this.image = image.getContext("2d", { willReadFrequently: true });
    this.overlay = overlay.getContext("2d", { willReadFrequently: true });
    this.mesh = mesh;
    this.frame = null;
    this.options = {};
    new ResizeObserver(() => this.drawOverlay()).observe(overlay);
  }

  /** Show a frame: its image and its faces at the same time. Notes in it if there is an image. */
  async show(frame) {
    const bitmap = frame.jpeg.length ? await decode(frame.jpeg) : null;
    frame.hasImage = bitmap !== null;
    const { canvas } = this.image;
    const [width, height] = bitmap ? [bitmap.width, bitmap.height] : [frame.width, frame.height];
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
      canvas.parentElement.style.setProperty("--aspect", width / height);
    }
    if (bitmap) {
      this.image.drawImage(bitmap, 0, 0);
      bitmap.close();
    } else {
      this.image.clearRect(0, 0, width, height);
    }
    this.frame = frame;
    this.drawOverlay();
  }

  change(options) {
    this.options = options;
    this.drawOverlay();
  }

  drawOverlay() {
    const { canvas } = this.overlay;
    canvas.width = Math.round(canvas.clientWidth * devicePixelRatio);
    canvas.height = Math.round(canvas.clientHeight * devicePixelRatio);
    if (!this.frame) return;
    // The following is in pixels of the image; lines have the same width on every screen.
    this.scale = canvas.width / this.frame.width;
    this.overlay.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    this.thin = devicePixelRatio / this.scale;
    for (const face of this.frame.faces ?? []) this.drawFace(face);
  }

  drawFace(face) {
    if (!this.frame.drawn) {
      if (this.options.mesh) this.drawMesh(face);
      if (this.options.box) this.drawBox(face);
    }
    if (this.options.gaze && face.gaze) this.drawGaze(face);
  }

  drawMesh({ landmarks, indices }) {
    // A subset of the landmarks has few connections.
    if (indices) this.drawPoints(landmarks);
    const shades = this.shadesOf(landmarks);
    this.overlay.globalAlpha = MESH_OPACITY;
    shades.forEach((lines, shade) => {
      const lightness = 25 + (65 * shade) / (SHADES - 1);
      this.strokeLines(landmarks, lines, `hsl(195 90% ${lightness}%)`, 0.8 * this.thin);
    });
    this.overlay.globalAlpha = 1;
    for (const [name, color] of Object.entries(LINE_COLORS)) {
      this.strokeLines(landmarks, this.mesh.lines[name], color, 1.4 * this.thin);
    }
  }

  /** The lines of the mesh by the depth of their ends, from far to near. */
  shadesOf(landmarks) {
    let [far, near] = [Infinity, -Infinity];
    for (let at = 2; at < landmarks.length; at += 3) {
      if (landmarks[at] < far) far = landmarks[at];
      if (landmarks[at] > near) near = landmarks[at];
    }
    const shades = Array.from({ length: SHADES }, () => []);
    const { mesh } = this.mesh.lines;
    for (let i = 0; i < mesh.length; i += 2) {
      const depth = (landmarks[3 * mesh[i] + 2] + landmarks[3 * mesh[i + 1] + 2]) / 2;
      const nearness = near > far ? (depth - far) / (near - far) : 1;
      const shade = Math.round(nearness * (SHADES - 1));
      (shades[shade] ?? shades[SHADES - 1]).push(mesh[i], mesh[i + 1]);
    }
    return shades;
  }

  /** Lines of which one end is missing are left out. */
  strokeLines(landmarks, lines, color, width) {
    const { overlay } = this;
    overlay.beginPath();
    for (let i = 0; i < lines.length; i += 2) {
      const [start, end] = [3 * lines[i], 3 * lines[i + 1]];
      if (Number.isNaN(landmarks[start] + landmarks[end])) continue;
      overlay.moveTo(landmarks[start], landmarks[start + 1]);
      overlay.lineTo(landmarks[end], landmarks[end + 1]);
    }
    overlay.strokeStyle = color;
    overlay.lineWidth = width;
    overlay.stroke();
  }

  drawPoints(landmarks) {
    const size = 3 * this.thin;
    this.overlay.fillStyle = LINE_COLORS.oval;
    for (let at = 0; at < landmarks.length; at += 3) {
      this.overlay.fillRect(landmarks[at] - size / 2, landmarks[at + 1] - size / 2, size, size);
    }
  }

  drawBox(face) {
    const { overlay, thin } = this;
    const [x, y, width, height] = face.box;
    overlay.strokeStyle = overlay.fillStyle = face.is_main ? MAIN_COLOR : BOX_COLOR;
    overlay.lineWidth = (face.is_main ? 2.5 : 1.5) * thin;
    overlay.strokeRect(x, y, width, height);

    const text = [
      face.id ? `id ${face.id}` : null,
      face.score?.toFixed(2),
      ...(face.attention ?? []),
    ]
      .filter(Boolean)
      .join("  ");
    overlay.font = `600 ${13 * thin}px system-ui, sans-serif`;
    const lineHeight = 19 * thin;
    const top = y >= lineHeight ? y - lineHeight : y;
    overlay.fillRect(x - 0.75 * thin, top, overlay.measureText(text).width + 12 * thin, lineHeight);
    overlay.fillStyle = LABEL_COLOR;
    overlay.fillText(text, x + 6 * thin, top + 14 * thin);
  }

  /** An arrow from between the eyes, along the direction as the camera sees it from afar. */
  drawGaze(face) {
    const { landmarks, gaze, box } = face;
    if (!IRISES.every((index) => isThere(landmarks, index))) return;
    const [startX, startY] = [0, 1].map(
      (axis) => (landmarks[3 * IRISES[0] + axis] + landmarks[3 * IRISES[1] + axis]) / 2,
    );
    const length = GAZE_LENGTH * box[2];
    const [endX, endY] = [startX + length * gaze.direction[0], startY + length * gaze.direction[1]];
    const angle = Math.atan2(endY - startY, endX - startX);
    const { overlay } = this;
    overlay.beginPath();
    overlay.moveTo(startX, startY);
    overlay.lineTo(endX, endY);
    for (const side of [-2.6, 2.6]) {
      overlay.moveTo(endX, endY);
      overlay.lineTo(
        endX + ARROW_HEAD * box[2] * Math.cos(angle + side),
        endY + ARROW_HEAD * box[2] * Math.sin(angle + side),
      );
    }
    overlay.strokeStyle = GAZE_COLOR;
    overlay.lineWidth = 2 * this.thin;
    overlay.stroke();
  }
}

/**
 * Return the pixels; null if they are damaged. A camera's orientation tag is ignored: landmarks are
 * positions in the image as sent.
 */
function decode(jpeg) {
  const file = new Blob([jpeg], { type: "image/jpeg" });
  return createImageBitmap(file, { imageOrientation: "none" }).catch(() => null);
}
