// The explorer's texts about a method and a clip.

/** A method's accuracy, with its lineage. */
function tellMethod(run, method) {
  const from = (text, files, title) => make("button", { type: "button", className: "from", "data-from": files, "data-title": `${run.title}, ${method.title}: ${title}` }, text);
  const shown = run.names.length < run.tested ? `; ${run.names.length} are shown` : "";
  byId("score").replaceChildren(
    from(`${method.top1.toFixed(1)} %`, method.from, `KNN, K = ${run.k}`), ` of ${run.tested} test clips are classified correctly by their ${run.k} nearest training clips${shown}. `,
    from("Predictions", method.guessed, "predictions"), ", ", from("map", method.mapped, "map"), ".", ...clustering(method, from));
}

/** How a method's test features cluster. */
function clustering(method, from) {
  const { clusters } = method;
  if (!("silhouette" in clusters)) return [];
  const two = (value) => value.toFixed(2).replace("-", "−");
  const words = `silhouette ${two(clusters.silhouette)}, NMI ${two(clusters.nmi)}, ARI ${two(clusters.ari)}, distance between / within actions ${two(clusters.between_within)}`;
  const shared = [["camera", "camera"], ["subject", "person"], ["bodies", "number of people"]].filter(([name]) => clusters[`chance_${name}`] < 100)
    .map(([name, title]) => `${title} ${clusters[`same_${name}`].toFixed(0)} % (chance ${clusters[`chance_${name}`].toFixed(0)} %)`);
  return [" ", from("Clusters", method.from, "clusters of the test features"), `: ${words}`, shared.length ? `; nearest clip of the same ${shared.join(", ")}.` : "."];
}

/** A clip's true and predicted action, and how it was recorded. */
function tellClip(run, method, index) {
  const right = run.action[index] === method.predicted[index];
  const predicted = run.classes[method.predicted[index]];
  byId("said").textContent = run.classes[run.action[index]] + (right ? "" : `, predicted ${predicted}`);
  const facts = [["subject", run.subject], ["camera", run.camera], ["setup", run.setup]].map(([name, values]) => `${name} ${values[index]}`);
  byId("facts").replaceChildren(
    make("dt", {}, method.title), make("dd", { className: right ? "right" : "wrong" }, `${right ? "✓" : "✗"} ${predicted}`),
    make("dt", {}, "clip"), make("dd", {}, run.names[index]),
    make("dt", {}, "recorded"), make("dd", {}, `${facts.join(", ")}; ${(run.frames[index] / run.fps).toFixed(1)} s`));
  byId("play").disabled = byId("frame").disabled = run.clip[index] < 0;
  byId("player").classList.toggle("empty", run.clip[index] < 0);
}
