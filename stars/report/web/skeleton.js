// A clip that plays on a canvas, turned by dragging. Joints are stored as bytes (see stars/report/clips.py).

class Clips {
  constructor(packed) {
    Object.assign(this, packed);
    this.levels = bytes(packed.joints);
    this.count = packed.sides.length;
    const parents = new Set(packed.bones.map(([from]) => from));
    this.heads = packed.sides.flatMap((side, joint) => (side === 0 && !parents.has(joint) ? [joint] : [])); // where the spine ends
    this.starts = [0];
    packed.frames.forEach((frames, clip) => this.starts.push(this.starts[clip] + frames * packed.bodies[clip] * this.count * 3));
  }

  seconds(clip) {
    return Math.max(this.frames[clip] - 1, 1) / this.rate;
  }

  /** Joints of a body at a time between two frames: [x, y, z, …] in metres; null if it is absent. */
  pose(clip, body, time) {
    const last = this.frames[clip] - 1;
    const at = Math.min(Math.max(time * this.rate, 0), last);
    const [before, after] = [Math.floor(at), Math.min(Math.floor(at) + 1, last)].map((frame) => this.offset(clip, frame, body));
    if (this.levels[before] === 255) return null;
    const share = this.levels[after] === 255 ? 0 : at % 1;
    return Float32Array.from({ length: this.count * 3 }, (_, index) => {
      const level = this.levels[before + index] * (1 - share) + this.levels[after + index] * share;
      return this.low[clip][index % 3] + this.step[clip][index % 3] * level;
    });
  }

  offset(clip, frame, body) {
    return this.starts[clip] + (frame * this.bodies[clip] + body) * this.count * 3;
  }
}

class Player {
  constructor(canvas, clips) {
    Object.assign(this, { canvas, clips, clip: -1, time: 0, turn: 0, playing: false, moved: () => {} });
  }

  /** Show a clip from its beginning; −1: none. */
  show(clip, playing = !STILL.matches) {
    Object.assign(this, { clip, time: 0, playing: playing && clip >= 0 });
    this.draw();
  }

  /** Advance by some seconds; a clip restarts half a second after its end. */
  advance(seconds) {
    if (!this.playing || this.clip < 0) return;
    const length = this.clips.seconds(this.clip);
    this.time += seconds;
    if (this.time > length + 0.5) this.time = 0;
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const draw = context(this.canvas, width, height);
    if (this.clip < 0) return;
    const frame = this.frame(width, height);
    this.floor(draw, frame);
    for (let body = 0; body < this.clips.bodies[this.clip]; body++) {
      const pose = this.clips.pose(this.clip, body, this.time);
      if (pose) this.body(draw, pose, frame, body, height);
    }
    this.moved(this);
  }

  /** Scale and centre with which the whole clip fits in any orientation. */
  frame(width, height) {
    const { low, step } = this.clips;
    const size = step[this.clip].map((one) => one * 254);
    const centre = low[this.clip].map((one, axis) => one + size[axis] / 2);
    const scale = Math.min((0.86 * width) / Math.max(Math.hypot(size[0], size[2]), 0.5), (0.84 * height) / Math.max(size[1], 0.5));
    return { centre, scale, x: width / 2, y: height / 2, half: size[1] / 2, radius: Math.hypot(size[0], size[2]) / 2 };
  }

  place(frame, x, y, z) {
    const [dx, dz] = [x - frame.centre[0], z - frame.centre[2]];
    const across = dx * Math.cos(this.turn) + dz * Math.sin(this.turn);
    return [frame.x + frame.scale * across, frame.y - frame.scale * (y - frame.centre[1])];
  }

  floor(draw, frame) {
    draw.strokeStyle = COLOURS.line;
    draw.lineWidth = 1;
    draw.beginPath();
    draw.ellipse(frame.x, frame.y + frame.scale * frame.half, frame.scale * Math.max(frame.radius, 0.3), frame.scale * Math.max(frame.radius, 0.3) * 0.12, 0, 0, 7);
    draw.stroke();
  }

  body(draw, pose, frame, body, height) {
    const points = this.clips.sides.map((_, joint) => this.place(frame, pose[3 * joint], pose[3 * joint + 1], pose[3 * joint + 2]));
    draw.lineCap = "round";
    draw.lineWidth = Math.max(1.4, height / (body ? 130 : 80));
    [COLOURS.centre, COLOURS.right, COLOURS.left].forEach((colour, order) => {
      const side = [0, 2, 1][order];
      draw.strokeStyle = colour;
      draw.beginPath();
      for (const [from, to] of this.clips.bones) {
        if (this.clips.sides[to] !== side) continue;
        draw.moveTo(...points[from]);
        draw.lineTo(...points[to]);
      }
      draw.stroke();
    });
    draw.fillStyle = COLOURS.centre;
    for (const head of this.clips.heads) {
      draw.beginPath();
      draw.arc(...points[head], 0.085 * frame.scale, 0, 7);
      draw.fill();
    }
  }

  /** Dragging, or the arrow keys, turn the body. */
  listen() {
    let from = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      from = event.clientX;
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (from === null) return;
      this.turn += (event.clientX - from) / 90;
      from = event.clientX;
      this.draw();
    });
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => (from = null));
    this.canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.2, ArrowRight: 0.2 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.turn += step;
      this.draw();
    });
  }
}
