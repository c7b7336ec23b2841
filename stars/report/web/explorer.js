// The explorer: linked map, clip, nearest clips and confusion matrix of one run at a time.

const MOST_CLIPS = 12; // of a confusion cell beside each other
const KINDS = [["tsne", "t-SNE"], ["pca", "PCA"]];
const COLOUR_BY = [["action", "Action"], ["subject", "Subject"], ["camera", "Camera"], ["result", "Result"]];

class Explorer {
  constructor() {
    this.map = new Scatter(byId("map"));
    this.player = new Player(byId("player"));
    this.matrix = new Confusion(byId("confusion"), (row, column) => this.say(row, column), (row, column) => this.watch(row, column));
    this.finder = new Finder(byId("find"), byId("found"), this);
    this.minis = [];
    this.last = 0;
    this.player.listen();
    this.player.moved = () => this.clock();
    this.listen();
  }

  open(run) {
    Object.assign(this, { run, method: run.methods[run.shown], kind: "tsne", by: "action", chosen: -1 });
    this.player.clips = new Clips(run.clips);
    this.map.goal = [];
    this.finder.clear();
    for (const place of document.querySelectorAll(".k")) place.textContent = run.k;
    byId("play").disabled = !run.clips.frames.length;
    segments(byId("kinds"), KINDS.map(([, title]) => [title]), 0, (index) => this.move(this.method, KINDS[index][0]));
    segments(byId("colours"), COLOUR_BY.map(([, title]) => [title]), 0, (index) => this.colour(COLOUR_BY[index][0]));
    segments(byId("methods"), run.methods.map((one) => [one.title, `${one.top1.toFixed(1)} %`]), run.shown, (index) => this.move(run.methods[index], this.kind));
    this.choose(this.first(), true);
    this.map.kept = false;
    this.wake();
  }

  /** The clip to begin with: a wrongly classified one, if possible with a neighbour of the predicted action among those shown. */
  first() {
    const { run, method } = this;
    const wrong = run.action.flatMap((action, index) => (action !== method.predicted[index] && run.clip[index] >= 0 ? [index] : []));
    const seen = wrong.find((index) => method.neighbours[index].some((other) => run.action[other] === method.predicted[index]));
    return seen ?? wrong[0] ?? 0;
  }

  /** Switch method or projection; points glide to their new places. */
  move(method, kind) {
    Object.assign(this, { method, kind });
    this.map.place(method[kind]);
    tellMethod(this.run, method);
    this.matrix.set(this.run.classes, method.confusion);
    this.pairs();
    this.colour(this.by);
    if (this.chosen >= 0) this.choose(this.chosen, this.map.kept);
  }

  colour(by) {
    const { run } = this;
    this.by = by;
    const values = by === "result" ? run.action.map((action, index) => (action === this.method.predicted[index] ? 0 : 3)) : run[by];
    const kinds = by === "result" ? [0, 3] : by === "action" ? run.classes.map((_, label) => label) : [...new Set(values)].sort((a, b) => a - b);
    const titles = by === "result" ? ["correct", "wrong"] : by === "action" ? run.classes : kinds.map((value) => `${by} ${value}`);
    this.map.groups = values.map((value) => (by === "subject" || by === "camera" ? kinds.indexOf(value) : value));
    this.map.alone = null;
    this.legend(kinds.map((value, index) => [by === "subject" || by === "camera" ? index : value, titles[index]]));
    this.wake();
  }

  legend(entries) {
    byId("legend").replaceChildren(...entries.map(([group, title]) => {
      const button = make("button", { type: "button", "aria-pressed": false, "data-group": group }, glyph(group), title);
      button.addEventListener("click", () => {
        this.finder.clear();
        this.map.marked = null;
        this.alone(this.map.alone === group ? null : group);
      });
      return button;
    }));
  }

  /** Show only one group and press its button in the legend; null: all. */
  alone(group) {
    this.map.alone = group;
    for (const button of byId("legend").children) button.setAttribute("aria-pressed", button.dataset.group === String(group));
    this.wake();
  }

  /** Show a clip with its facts and nearest clips; cell: it belongs to a confusion cell, whose clips stay shown. */
  choose(index, keep, cell = false) {
    Object.assign(this, { chosen: index });
    Object.assign(this.map, { focus: index, kept: keep, near: cell ? [] : this.method.neighbours[index] });
    if (!cell) this.map.marked = null;
    this.player.show(this.run.clip[index], !STILL.matches);
    tellClip(this.run, this.method, index);
    if (!cell) {
      byId("strip-title").textContent = `Nearest test clips, by ${this.method.title}`;
      this.strip(this.method.neighbours[index], (place) => `${this.method.cosines[index][place].toFixed(3)}`);
    }
    this.wake();
  }

  /** Small players of some clips; a click shows a clip in the large player. */
  strip(indices, note, cell = false) {
    this.minis = [];
    byId("strip").replaceChildren(...indices.map((index, place) => {
      const { run } = this;
      const stored = run.clip[index] >= 0; // at most report.clips can be played
      const picture = stored ? make("canvas", {}) : make("span", { className: "unplayed" }, "not playable");
      const button = make("button", { type: "button", title: run.names[index] }, picture, make("span", {}, run.classes[run.action[index]]), make("small", {}, note(place)));
      button.addEventListener("click", () => this.choose(index, true, cell));
      if (stored) {
        const mini = new Player(picture, this.player.clips);
        Object.assign(mini, { clip: run.clip[index], playing: !STILL.matches });
        this.minis.push(mini);
      }
      return button;
    }));
  }

  /** The clips of a confusion cell that are on the map. */
  watch(row, column) {
    const { run, method } = this;
    const found = run.action.flatMap((action, index) => (action === row && method.predicted[index] === column ? [index] : []));
    if (!found.length) {
      this.say(row, column);
      if (this.matrix.count(row, column)) byId("cell").textContent += "; none is on the map";
      return;
    }
    this.finder.clear();
    this.stand(found, `${found.length} of “${run.classes[row]}” predicted as “${run.classes[column]}”`);
    byId("map").scrollIntoView({ block: "center", behavior: STILL.matches ? "auto" : "smooth" });
  }

  /** Highlight clips on the map and play them beside it; playable ones first. */
  stand(found, title) {
    const first = [...found].sort((a, b) => (this.run.clip[b] >= 0) - (this.run.clip[a] >= 0)).slice(0, MOST_CLIPS);
    this.alone(null);
    this.map.marked = new Set(found);
    byId("strip-title").textContent = title;
    this.strip(first, (place) => `${place + 1} of ${found.length}`, true);
    this.choose(first[0], true, true);
  }

  say(row, column) {
    const { run } = this;
    const [count, all] = [this.matrix.count(row, column), this.matrix.sums[row]];
    const share = all ? ` (${((100 * count) / all).toFixed(0)} %)` : "";
    byId("cell").textContent = row === column
      ? `${run.classes[row]}: ${count} of ${all}${share} correct` : `${run.classes[row]}: ${count} of ${all}${share} predicted as ${run.classes[column]}`;
  }

  pairs() {
    byId("pairs").replaceChildren(...this.matrix.worst(8).map(([row, column, count]) => {
      const { classes } = this.run;
      const button = make("button", { type: "button" }, `${classes[row]} → ${classes[column]}`, make("small", {}, ` ${count}`));
      button.addEventListener("click", () => {
        this.matrix.go(row, column);
        this.watch(row, column);
      });
      return make("li", {}, button);
    }));
  }

  /** Release the kept clip and show all groups. */
  release() {
    this.finder.clear();
    this.all();
  }

  /** End the highlighting, and show the selected clip's nearest clips beside the map. */
  all() {
    Object.assign(this.map, { kept: false, marked: null });
    this.alone(null);
    if (this.chosen >= 0) this.choose(this.chosen, false);
  }

  listen() {
    const { canvas } = this.map;
    const under = (event) => this.map.hit(event.offsetX, event.offsetY);
    canvas.addEventListener("pointermove", (event) => {
      const index = event.pointerType === "mouse" ? under(event) : -1;
      canvas.classList.toggle("over", index >= 0);
      if (index >= 0 && index !== this.chosen && !this.map.kept) this.choose(index, false, this.map.marked !== null);
    });
    canvas.addEventListener("click", (event) => {
      const index = under(event);
      if (index < 0) this.release();
      else this.choose(index, true, this.map.marked !== null);
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
    byId("play").addEventListener("click", () => this.play(!this.player.playing));
    byId("frame").addEventListener("input", (event) => {
      this.play(false);
      this.player.time = event.target.value * this.player.clips.seconds(this.player.clip);
      this.player.draw();
    });
    for (const query of [DARK, STILL]) query.addEventListener("change", () => this.restyle());
    new ResizeObserver(() => this.restyle()).observe(canvas.parentElement);
    new IntersectionObserver(([entry]) => { this.away = !entry.isIntersecting; this.wake(); }).observe(byId("explorer"));
  }

  key(event) {
    const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    const index = way ? this.map.next(...way) : -1;
    if (index >= 0) this.choose(index, this.map.kept, this.map.marked !== null);
    else if (event.key === "Enter" && this.chosen >= 0) this.choose(this.chosen, true, this.map.marked !== null);
    else if (event.key === "Escape") this.release();
    else if (event.key === " ") this.play(!this.player.playing);
    else if (!way) return;
    event.preventDefault();
  }

  play(playing) {
    for (const one of [this.player, ...this.minis]) one.playing = playing && one.clip >= 0;
    this.clock();
    this.wake();
  }

  clock() {
    const { clip, time, playing, clips } = this.player;
    const length = clip < 0 ? 0 : clips.seconds(clip);
    byId("play").textContent = playing ? "Pause" : "Play";
    byId("play").setAttribute("aria-pressed", playing);
    byId("frame").value = length ? Math.min(time / length, 1) : 0;
    byId("time").textContent = `${Math.min(time, length).toFixed(1)} s`;
  }

  restyle() {
    readColours();
    if (!this.run) return;
    const { alone } = this.map;
    this.colour(this.by);
    this.alone(alone);
    this.matrix.draw();
    for (const one of [this.player, ...this.minis]) one.draw();
  }

  /** Draw now, and continue while anything moves and is in sight. */
  wake() {
    this.dirty = true;
    if (!this.waiting) this.waiting = requestAnimationFrame((now) => this.step(now));
  }

  step(now) {
    this.waiting = null;
    const seconds = Math.min((now - this.last) / 1000, 0.1);
    this.last = now;
    const glides = this.map.glide(now);
    if (glides || this.dirty) this.map.draw();
    const players = [this.player, ...this.minis];
    for (const one of players) {
      if (one.playing) one.advance(seconds);
      else if (this.dirty) one.draw();
    }
    this.dirty = false;
    if (!this.away && (glides || players.some((one) => one.playing))) this.waiting = requestAnimationFrame((later) => this.step(later));
  }
}
