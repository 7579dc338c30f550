// Frames from the server: browser/frame_packet.py describes their layout.

export const LANDMARKS = 478;

/** The landmarks in the middle of the right and of the left iris. */
export const IRISES = [468, 473];

/** Take a frame apart; its arrays are views of the buffer. */
export function parseFrame(buffer) {
  const headerLength = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, headerLength)));
  let at = 4 + headerLength;
  for (const face of header.faces ?? []) {
    for (const [name, count] of Object.entries(face.arrays)) {
      face[name] = new Float32Array(buffer, at, count);
      at += count * Float32Array.BYTES_PER_ELEMENT;
    }
    face.landmarks = landmarksOf(face);
  }
  return { ...header, jpeg: new Uint8Array(buffer, at) };
}

/**
 * All 478 landmarks of a face: x, y, z in pixels of the image, z towards the camera, three numbers
 * each. Missing landmarks are NaN, and so is a missing z.
 */
function landmarksOf(face) {
  const landmarks = new Float32Array(3 * LANDMARKS).fill(NaN);
  const count = (face.points?.length ?? 0) / 2;
  for (let i = 0; i < count; i++) {
    const at = 3 * (face.indices ? face.indices[i] : i);
    landmarks[at] = face.points[2 * i];
    landmarks[at + 1] = face.points[2 * i + 1];
    landmarks[at + 2] = face.points_z?.[i] ?? NaN;
  }
  return landmarks;
}

/** Whether a landmark was given. */
export function isThere(landmarks, index) {
  return !Number.isNaN(landmarks[3 * index]);
}

/** Of a flat list of mesh indices, `size` to a group, keep the groups of which all are there. */
export function groupsThere(landmarks, indices, size) {
  const kept = [];
  for (let i = 0; i < indices.length; i += size) {
    const group = indices.slice(i, i + size);
    if (group.every((index) => isThere(landmarks, index))) kept.push(...group);
  }
  return kept;
}

