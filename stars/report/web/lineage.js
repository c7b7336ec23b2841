// Lineage: a click on a number opens the chain of files back to the raw ones, each with its record.

const { files: FILES, records: RECORDS } = DATA.lineage;

/** Open the chain of the files whose numbers a button has. */
function showLineage(button) {
  const starts = button.dataset.from.split(" ").filter(Boolean).map(Number);
  const value = button.closest("td, dd") ? `: ${button.textContent.trim()}` : "";
  byId("lineage-title").textContent = button.dataset.title + value;
  byId("lineage-seeds").textContent = button.dataset.seeds || "";
  const seen = new Set();
  byId("lineage-chain").replaceChildren(...starts.flatMap((file) => chain(file, 0, seen)));
  const makers = new Set(starts.map((file) => RECORDS[FILES[file][2]]).filter(Boolean));
  byId("lineage-command").textContent = [...makers].map(({ command }) => ["stars", ...command.slice(1)].map(quoted).join(" ")).join("\n\n") || "part of the source, not made by a command";
  byId("lineage").showModal();
}

/** List items of a file and, nested, of all its inputs; each file once. */
function chain(file, depth, seen) {
  if (seen.has(file)) return [];
  seen.add(file);
  const [path, digest, at] = FILES[file];
  const record = RECORDS[at];
  const item = make("li", { className: `depth${Math.min(depth, 7)}` },
    make("code", {}, path), " ", make("span", { className: "digest", title: `sha256 ${digest}` }, digest.slice(0, 12)),
    record ? details(record) : make("p", { className: "quiet" }, "input, not made here"));
  return [item, ...(record ? record.inputs.flatMap((input) => chain(input, depth + 1, seen)) : [])];
}

function made(record) {
  const { code, seed, hardware } = record;
  const version = code.commit ? `commit ${code.commit.slice(0, 9)}${code.dirty ? " + changes" : ""}` : `source ${code.digest.slice(0, 9)}`;
  const where = [hardware.host, hardware.gpu, record.slurm_job && `Slurm job ${record.slurm_job}`].filter(Boolean).join(", ");
  const energy = record.energy_joules === null ? "" : `${(record.energy_joules / 3600).toPrecision(3)} Wh`;
  return [record.stage, seed === null ? "" : `seed ${seed}`, version, where, record.started.replace("T", " "),
    `${record.wall_seconds.toFixed(1)} s`, `${Math.round(record.peak_memory_mb)} MB`, energy].filter(Boolean).join(" · ");
}

/** How a file was made; when opened, with settings and versions. */
function details(record) {
  const box = make("details", {}, make("summary", {}, made(record)));
  box.addEventListener("toggle", () => {
    if (box.children.length > 1) return;
    const { settings, versions, path } = record;
    box.append(make("pre", {}, JSON.stringify({ record: path, settings, versions }, null, 1)));
  }, { once: true });
  return box;
}

/** A word, quoted for a shell. */
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}
