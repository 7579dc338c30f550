// Heads in 3D: the landmarks with their depth, textured with the image, drawn with three.js.

import {
  AmbientLight,
  BufferAttribute,
  BufferGeometry,
  CanvasTexture,
  Color,
  DirectionalLight,
  DoubleSide,
  Group,
  LineBasicMaterial,
  LineSegments,
  Mesh,
  MeshBasicMaterial,
  MeshLambertMaterial,
  PerspectiveCamera,
  Points,
  PointsMaterial,
  SRGBColorSpace,
  Scene,
  WebGLRenderer,
} from "./three/three.module.min.js";
import { IRISES, LANDMARKS, groupsThere, isThere } from "./frame.js";

const FIELD_OF_VIEW = 26; // degrees
const DISTANCE = 2.7; // in sizes of a head
const GAZE_LENGTH = 0.6; // likewise
const AXIS_LENGTH = 0.35; // likewise

const SELLION = 168; // the landmark where the head's own frame has its origin
const AXIS_COLORS = [0xff4040, 0x40e060, 0x5080ff]; // x, y, z, as in RViz

export class HeadView {
  /**
   * @param image the canvas with the image.
   * @throws Error if the browser has no WebGL.
   */
  constructor(image, mesh, size) {
    this.mesh = mesh;
    this.size = size;
    this.renderer = new WebGLRenderer({ alpha: true, antialias: true });
    this.renderer.setSize(size, size, false);
    this.camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, 0.1, 10);
    this.camera.position.z = DISTANCE;

    this.image = image;
    this.texture = null;
    const positions = new BufferAttribute(new Float32Array(3 * LANDMARKS), 3);
    const corners = new BufferAttribute(new Float32Array(2 * LANDMARKS), 2);
    const geometry = () => {
      const made = new BufferGeometry();
      made.setAttribute("position", positions);
      made.setAttribute("uv", corners);
      return made;
    };
    this.positions = positions;
    this.corners = corners;
    // Slightly behind the lines on it.
    const behind = { polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1 };
    this.skin = new MeshBasicMaterial({ side: DoubleSide, ...behind });
    this.clay = new MeshLambertMaterial({ color: 0x9fb4c7, side: DoubleSide, ...behind });
    this.surface = new Mesh(geometry(), this.skin);
    this.lines = new LineSegments(
      geometry(),
      new LineBasicMaterial({ color: 0x5adcff, transparent: true, opacity: 0.3 }),
    );
    this.dots = new Points(geometry(), new PointsMaterial({ color: 0x5adcff, size: 0.025 }));
    this.gaze = makeArrows([0xffd84d, 0xffd84d]);
    this.axes = makeArrows(AXIS_COLORS);
    this.head = new Group();
    this.head.add(this.surface, this.lines, this.dots, this.gaze, this.axes);
    // Their positions change with each face: three.js must not cache them.
    for (const part of this.head.children) part.frustumCulled = false;
    this.scene = new Scene();
    const light = new DirectionalLight(new Color(0xffffff), 2.2);
    light.position.set(0.4, 0.6, 1);
    this.scene.add(this.head, new AmbientLight(0xffffff, 0.7), light);
    this.indexed = null;
  }

  /** Take over the image of a frame, for all its faces. */
  begin(frame, options) {
    const { width, height } = this.image;
    if (this.texture?.userData.width !== width || this.texture?.userData.height !== height) {
      this.texture?.dispose();
      this.texture = new CanvasTexture(this.image);
      this.texture.colorSpace = SRGBColorSpace;
      this.texture.generateMipmaps = false;
      this.texture.userData = { width, height };
      this.skin.map = this.texture;
      this.skin.needsUpdate = true;
    }
    const hasSkin = options.skin && frame.hasImage;
    this.texture.needsUpdate = hasSkin;
    this.surface.material = hasSkin ? this.skin : this.clay;
    this.lines.visible = options.mesh || !hasSkin;
    this.options = options;
    this.frame = frame;
  }

  /** Draw one face into a canvas, turned by angles in radians beyond how the camera sees it. */
  draw(face, turn, canvas) {
    this.place(face.landmarks);
    this.join(face.landmarks);
    this.pointGaze(face);
    this.pointAxes(face);
    this.head.rotation.set(turn.pitch, turn.yaw, 0);
    this.renderer.render(this.scene, this.camera);
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(this.renderer.domElement, 0, 0, canvas.width, canvas.height);
  }

  /** Put the landmarks around the origin, a head of size 1, y up and z towards the camera. */
  place(landmarks) {
    const low = [Infinity, Infinity, Infinity];
    const high = [-Infinity, -Infinity, -Infinity];
    for (let i = 0; i < landmarks.length; i++) {
      const axis = i % 3;
      if (landmarks[i] < low[axis]) low[axis] = landmarks[i];
      if (landmarks[i] > high[axis]) high[axis] = landmarks[i];
    }
    const middle = low.map((value, axis) => (value + high[axis]) / 2);
    const size = Math.hypot(...low.map((value, axis) => high[axis] - value)) / 1.45 || 1;
    const { positions, corners, frame } = this;
    for (let i = 0; i < LANDMARKS; i++) {
      if (!isThere(landmarks, i)) continue; // nothing is joined to it
      const [x, y, z] = landmarks.subarray(3 * i, 3 * i + 3);
      positions.setXYZ(
        i,
        (x - middle[0]) / size,
        (middle[1] - y) / size,
        Number.isFinite(middle[2]) ? (z - middle[2]) / size : 0,
      );
      corners.setXY(i, x / frame.width, 1 - y / frame.height);
    }
    positions.needsUpdate = corners.needsUpdate = true;
  }

  /** Join those landmarks that are there; the same ones stay joined from frame to frame. */
  join(landmarks) {
    const there = [];
    for (let i = 0; i < LANDMARKS; i++) if (isThere(landmarks, i)) there.push(i);
    const key = there.join();
    if (key !== this.indexed) {
      this.indexed = key;
      const triangles = groupsThere(landmarks, this.mesh.triangles, 3);
      this.surface.geometry.setIndex(triangles);
      this.lines.geometry.setIndex(groupsThere(landmarks, this.mesh.lines.mesh, 2));
      this.dots.geometry.setIndex(there);
      this.dots.visible = triangles.length === 0;
      this.surface.visible = triangles.length > 0;
    }
    if (this.surface.material === this.clay) this.surface.geometry.computeVertexNormals();
  }

  /** Where the eyes look, from the middle of each iris. */
  pointGaze({ gaze, landmarks }) {
    this.gaze.visible =
      this.options.gaze && gaze !== null && IRISES.every((index) => isThere(landmarks, index));
    if (!this.gaze.visible) return;
    IRISES.forEach((index, eye) => this.point(this.gaze, eye, index, gaze.direction, GAZE_LENGTH));
  }

  /** The head's own axes: x out of the face, y to the person's left, z up. */
  pointAxes({ head, landmarks }) {
    this.axes.visible = this.options.axes && head !== null && isThere(landmarks, SELLION);
    if (!this.axes.visible) return;
    for (let axis = 0; axis < 3; axis++) {
      const direction = head.axes.slice(3 * axis, 3 * axis + 3);
      this.point(this.axes, axis, SELLION, direction, AXIS_LENGTH);
    }
  }

  /** Let one of the arrows go from a landmark into a direction of the camera's optical frame. */
  point(arrows, which, landmark, [right, down, away], length) {
    const { positions } = this;
    const start = [positions.getX(landmark), positions.getY(landmark), positions.getZ(landmark)];
    const ends = arrows.geometry.getAttribute("position");
    ends.setXYZ(2 * which, ...start);
    ends.setXYZ(
      2 * which + 1,
      start[0] + length * right,
      start[1] - length * down,
      start[2] - length * away,
    );
    ends.needsUpdate = true;
  }
}

function makeArrows(colors) {
  const geometry = new BufferGeometry();
  const [ends, shades] = [0, 1].map(() => new Float32Array(6 * colors.length));
  colors.forEach((color, i) => {
    for (const end of [0, 1]) new Color(color).toArray(shades, 3 * (2 * i + end));
  });
  geometry.setAttribute("position", new BufferAttribute(ends, 3));
  geometry.setAttribute("color", new BufferAttribute(shades, 3));
  return new LineSegments(geometry, new LineBasicMaterial({ vertexColors: true }));
}
