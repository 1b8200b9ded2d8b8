// Draws a report. Everything that can be looked at has an address of its own ("#step-12"), so that links, the
// browser's history and the keyboard lead everywhere. Text of the model only ever becomes text nodes.
"use strict";
(() => {
const report = JSON.parse(document.getElementById("report").textContent);
const { layers, steps, units, kernels, buffers, remarks, memory, profile } = report;
const PHASES = ["forward", "backward", "update"];
const byId = (id) => document.getElementById(id);

// ---- elements -------------------------------------------------------------------------------------------------

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== ""));
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const link = (hash, ...text) => el("a", { href: "#" + hash }, ...text);
const key = (phase) => el("i", { class: "key " + phase });
const joined = (items) => items.flatMap((item, i) => (i ? [", ", item] : [item]));

// ---- numbers --------------------------------------------------------------------------------------------------

const digits = (x) => (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2));
function scaled(x, base, names) {
  let unit = 0;
  while (x >= base && unit + 1 < names.length) { x /= base; ++unit; }
  return (unit === 0 ? String(x) : digits(x)) + " " + names[unit];
}
const bytesText = (x) => scaled(x, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
const flopsText = (x) => (x ? scaled(x, 1000, ["", "K", "M", "G", "T", "P"]) : "-");
const countText = (x) => x.toLocaleString("en");
const msText = (x) => (x === undefined ? "-" : x >= 1 ? digits(x) + " ms" : (x * 1000 >= 10 ? (x * 1000).toFixed(0) : (x * 1000).toFixed(1)) + " µs");
const percent = (x) => (100 * x).toFixed(x < 0.0995 ? 1 : 0) + " %";
const sum = (items, value) => items.reduce((total, item) => total + (value(item) || 0), 0);

// ---- what belongs to what -------------------------------------------------------------------------------------

const callers = kernels.map(() => []);  // steps
const writers = buffers.map(() => []);
const readers = buffers.map(() => []);
const remarksOf = steps.map(() => []);
steps.forEach((step, s) => {
  units[step.unit].kernels.forEach(([kernel]) => callers[kernel].push(s));
  step.writes.forEach((b) => writers[b].push(s));
  step.reads.forEach((b) => readers[b].push(s));
});
remarks.forEach((remark) => { remarksOf[remark.first].push(remark); remarksOf[remark.second].push(remark); });
const callsOf = (kernel) =>
  sum(callers[kernel], (s) => units[steps[s].unit].kernels.find(([k]) => k === kernel)[1]);

/// Layers under the blocks that their names say: "decoder_1/attention" in "decoder_1".
const root = { name: "", path: "", children: [], steps: [], open: true, level: 0 };
const places = new Map();  // by path
function placeOf(path) {
  if (places.has(path)) return places.get(path);
  const cut = path.lastIndexOf("/");
  const parent = cut < 0 ? root : placeOf(path.slice(0, cut));
  const place = { name: path.slice(cut + 1), path, children: [], steps: [], parent, level: parent.level + 1 };
  parent.children.push(place);
  places.set(path, place);
  return place;
}
const placeOfLayer = layers.map((layer, i) => {
  let path = layer.name;
  while (places.has(path) && places.get(path).layer !== undefined) path += " ";  // a layer called "loss"
  const place = placeOf(path);
  place.layer = i;
  return place;
});
steps.forEach((step, s) => {
  for (let place = placeOfLayer[step.layers[0]]; place; place = place.parent) place.steps.push(s);
});
const addressOf = (place) =>
  place.layer === undefined ? "block-" + encodeURIComponent(place.path) : "layer-" + place.layer;
const topOf = (place) => (place.parent === root || !place.parent ? place : topOf(place.parent));

const timed = profile !== null;
const weight = (step) => (timed ? step.ms || 0 : step.bytes);
const weightText = (x) => (timed ? msText(x) : bytesText(x));
const most = Math.max(...root.children.map((place) => sum(place.steps, (s) => weight(steps[s]))), 1e-12);

// ---- head -----------------------------------------------------------------------------------------------------

function showHead() {
  byId("title").append(report.model + ": " + report.entry);
  byId("subtitle").append(`batch ${report.batch}, for ${report.target}, by gradc ${report.gradc}`);
  const flops = report.flops, moved = sum(steps, (s) => s.bytes);
  const excess = memory.lower_bound ? memory.arena / memory.lower_bound - 1 : 0;
  const facts = [
    [bytesText(memory.arena), "arena: " + (excess < 0.0005 ? "no more than is alive at once"
      : `${percent(excess)} above what is alive at once`)],
    [bytesText(memory.naive), "the same without reuse" + (memory.recomputed ? "; some values are made again" : "")],
    [bytesText(memory.parameters), `parameters; states ${bytesText(memory.states)}`],
    [`${countText(steps.length)} steps`, `of ${kernels.length} different kernels; ${countText(report.nodes)} ops before fusion`],
    [flopsText(flops) + "FLOP", `in products and convolutions; ${bytesText(moved)} moved`],
  ];
  if (timed) {
    const rate = flops / profile.step_ms / 1e6;
    facts.push([msText(profile.step_ms), `a step, ${profile.threads} thread${profile.threads > 1 ? "s" : ""}: ` +
      `${digits(rate)} GFLOP/s, ${percent(rate / profile.peak_gflops)} of the peak`]);
  }
  byId("facts").append(...facts.map(([big, small]) => el("li", {}, el("b", {}, big), el("span", {}, small))));
}

// ---- layers and blocks ----------------------------------------------------------------------------------------

function bar(ids) {
  const parts = PHASES.map((phase) => [phase, sum(ids, (s) => (steps[s].phase === phase ? weight(steps[s]) : 0))]);
  const text = parts.filter(([, x]) => x > 0).map(([phase, x]) => `${phase} ${weightText(x)}`).join(", ");
  return el("span", { class: "bar", title: text },
    parts.map(([phase, x]) => el("i", { class: phase, style: `width:${(78 * x / most).toFixed(2)}px` })));
}

function rowOf(place) {
  const layer = place.layer === undefined ? undefined : layers[place.layer];
  const inner = place.children.length > 0;
  const ids = place.steps;
  return el("div", {
    class: "row" + (place === chosen.place ? " chosen" : ""), role: "treeitem", "aria-level": place.level,
    "aria-expanded": inner ? String(!!place.open) : undefined, "aria-selected": String(place === chosen.place),
    tabindex: -1, title: layer ? `${layer.name}: ${layer.output}` : place.path,
    onclick: (event) => {
      if (inner && event.target.className === "mark") return toggle(place, !place.open);
      if (inner && place === chosen.place) toggle(place, !place.open);
      else if (inner && !place.open) place.open = true;
      go(addressOf(place));
    },
    onkeydown: (event) => treeKey(event, place),
  },
  el("span", { style: `padding-left:${13 * (place.level - 1)}px` },
    el("i", { class: "mark", style: "font-style:normal" }, inner ? (place.open ? "▾" : "▸") : ""),
    place.name.trim(), el("span", { class: "type" }, !layer ? `${place.children.length} inside` : place.name.startsWith(layer.type) ? "" : layer.type)),
  el("span", {}, ids.length || "-"), el("span", {}, flopsText(sum(ids, (s) => steps[s].flops))),
  el("span", {}, ids.length ? weightText(sum(ids, (s) => weight(steps[s]))) : "-"), bar(ids));
}

let shownPlaces = [];
function showTree(focus) {
  const tree = byId("tree"), top = tree.scrollTop;
  shownPlaces = [];
  const add = (place) => {
    for (const child of place.children) {
      shownPlaces.push(child);
      if (child.open) add(child);
    }
  };
  add(root);
  tree.replaceChildren(...shownPlaces.map(rowOf));
  tree.scrollTop = top;
  const at = Math.max(shownPlaces.indexOf(focus || chosen.place), 0);
  if (!tree.children[at]) return;
  tree.children[at].tabIndex = 0;
  if (focus) tree.children[at].focus();
  else if (chosen.place) tree.children[at].scrollIntoView({ block: "nearest" });
}
function toggle(place, open) { place.open = open; showTree(place); }

function treeKey(event, place) {
  const at = shownPlaces.indexOf(place);
  const moves = {
    ArrowDown: () => showTree(shownPlaces[at + 1] || place), ArrowUp: () => showTree(shownPlaces[at - 1] || place),
    Home: () => showTree(shownPlaces[0]), End: () => showTree(shownPlaces[shownPlaces.length - 1]),
    ArrowRight: () => (place.children.length && !place.open ? toggle(place, true) : showTree(shownPlaces[at + 1] || place)),
    ArrowLeft: () => (place.open ? toggle(place, false) : place.parent !== root && showTree(place.parent)),
    Enter: () => go(addressOf(place)), " ": () => go(addressOf(place)),
  };
  if (!moves[event.key]) return;
  event.preventDefault();
  moves[event.key]();
}

// ---- memory plan ----------------------------------------------------------------------------------------------

const picture = { left: 66, top: 20, bottom: 24, right: 8 };
const columnOf = [];  // by the plan's count of nodes
steps.forEach((step, s) => { while (columnOf.length <= step.at) columnOf.push(s); });
const column = (at) => (at < columnOf.length ? columnOf[at] : steps.length - 1);
/// The step that is there, or of what folded into it the one before.
const columnBefore = (at) => (at < columnOf.length && steps[columnOf[at]].at > at ? Math.max(columnOf[at] - 1, 0) : column(at));
const spans = buffers.map((b) => [columnBefore(b.first), columnBefore(b.last) + 1]);

function liveBytes() {
  const live = new Array(steps.length).fill(0);
  spans.forEach(([first, last], b) => { for (let s = first; s < last; ++s) live[s] += buffers[b].bytes; });
  return live;
}

function showPlan() {
  const box = byId("plan");
  const width = box.clientWidth, height = box.clientHeight;
  const { left, top, bottom, right } = picture;
  const wide = (width - left - right) / Math.max(steps.length, 1), high = (height - top - bottom) / Math.max(memory.arena, 1);
  const x = (s) => left + wide * s, y = (bytes) => height - bottom - high * bytes;
  const parts = [svg("rect", { class: "frame", x: left, y: top, width: width - left - right, height: height - top - bottom })];
  let begin = 0;
  for (let s = 1; s <= steps.length; ++s) {  // one band for each run of steps of a block
    const place = topOf(placeOfLayer[steps[begin].layers[0]]);
    if (s < steps.length && topOf(placeOfLayer[steps[s].layers[0]]) === place) continue;
    const long = wide * (s - begin);
    if (root.children.indexOf(place) % 2) parts.push(svg("rect", { class: "band", x: x(begin), y: top, width: long, height: height - top - bottom }));
    const ends = place.children.length ? [/\d+(_\d+)?$/, /\d+$/].map((end) => (end.exec(place.name) || [""])[0]) : [];
    const label = [place.name, ...ends].find((text) => long > 6.2 * text.length + 4);
    if (label) parts.push(svg("text", { x: x(begin) + 3, y: top - 7 }, label));
    begin = s;
  }
  buffers.forEach((b, i) => {
    const [first, last] = spans[i];
    const writer = steps[first];
    parts.push(svg("rect", {
      class: `buffer ${writer ? writer.phase : "forward"}${high * b.bytes > 3 ? " edged" : ""}`, "data-buffer": i, x: x(first).toFixed(2), y: y(b.offset + b.bytes).toFixed(2),
      width: (wide * (last - first)).toFixed(2), height: Math.max(high * b.bytes, 0.6).toFixed(2),
    }, svg("title", {}, `%${b.name}: ${bytesText(b.bytes)} at ${countText(b.offset)}, steps ${first} to ${last - 1}`)));
    if (wide * (last - first) > 7 * b.name.length + 8 && high * b.bytes > 12)
      parts.push(svg("text", { x: x(first) + 4, y: y(b.offset + b.bytes) + 11, class: "name" }, "%" + b.name));
  });
  const live = liveBytes();
  if (steps.length)
    parts.push(svg("path", { class: "live", d: "M" + live.map((bytes, s) => `${x(s).toFixed(1)},${y(bytes).toFixed(1)}H${x(s + 1).toFixed(1)}`).join("V").replace(/V[\d.]+,/g, "V") }));
  parts.push(svg("line", { class: "bound", x1: left, x2: width - right, y1: y(memory.lower_bound), y2: y(memory.lower_bound) }));
  steps.forEach((step, s) => parts.push(svg("rect", { class: step.phase, x: x(s).toFixed(2), y: height - bottom + 3, width: Math.max(wide, 0.4).toFixed(2), height: 6 })));
  for (const share of [0, 0.5, 1])
    parts.push(svg("text", { x: left - 5, y: y(memory.arena * share) + (share === 1 ? 9 : 2), "text-anchor": "end" }, bytesText(Math.round(memory.arena * share))));
  parts.push(svg("text", { x: left, y: height - 4 }, "step 0"), svg("text", { x: width - right, y: height - 4, "text-anchor": "end" }, `step ${steps.length - 1}`));
  parts.push(svg("rect", { class: "cursor", id: "cursor", y: top, width: Math.max(wide, 2), height: height - top - bottom, x: -99 }));
  const drawn = svg("svg", { role: "img", "aria-label": "Bytes of the arena, upwards, over the steps, to the right",
    onclick: (event) => {
      const buffer = event.target.getAttribute("data-buffer");
      go(buffer ? "buffer-" + buffer : "step-" + Math.min(Math.max(Math.floor((event.offsetX - left) / wide), 0), steps.length - 1));
    } }, parts);
  box.replaceChildren(drawn);
  picture.x = x;
  markPlan();
}

/// What is chosen stands out.
function markPlan() {
  const marked = new Set(chosen.buffers || []);
  byId("plan").classList.toggle("marked", marked.size > 0);
  for (const rect of document.querySelectorAll("#plan .buffer")) {
    const number = Number(rect.dataset.buffer);
    rect.classList.toggle("faint", marked.size > 0 && !marked.has(number));
    rect.classList.toggle("chosen", chosen.kind === "buffer" && chosen.number === number);
  }
  const cursor = byId("cursor");
  if (cursor) cursor.setAttribute("x", chosen.kind === "step" ? picture.x(chosen.number) : -99);
}

function planKey(event) {
  const aliveAt = (s) => buffers.map((b, i) => i).filter((i) => spans[i][0] <= s && s < spans[i][1]).sort((a, b) => buffers[a].offset - buffers[b].offset);
  let step = chosen.kind === "step" ? chosen.number : chosen.kind === "buffer" ? spans[chosen.number][0] : -1;
  if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    step = Math.min(Math.max(step + (event.key === "ArrowRight" ? 1 : -1), 0), steps.length - 1);
    go("step-" + step);
  } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
    const alive = aliveAt(Math.max(step, 0));
    const at = chosen.kind === "buffer" ? alive.indexOf(chosen.number) : event.key === "ArrowUp" ? -1 : alive.length;
    const next = alive[at + (event.key === "ArrowUp" ? 1 : -1)];
    if (next !== undefined) go("buffer-" + next);
  } else if (event.key === "Enter") {
    byId("detail").focus();
  } else {
    return;
  }
  event.preventDefault();
}

function showPlanText() {
  const live = liveBytes();
  const peak = live.indexOf(Math.max(...live, 0));
  byId("plan-text").append("bytes of the arena over the steps;", ...PHASES.map((phase) => [key(phase), phase]).flat());
  byId("plan-status").append(steps.length && buffers.length ? el("span", {}, `Most is alive at step ${peak}, `, stepLink(peak),
    `: ${bytesText(memory.lower_bound)}, dashed. The line is what is alive.`)
    : "No values between the steps: the arena is empty.");
}

// ---- details --------------------------------------------------------------------------------------------------

const stepLink = (s) => link("step-" + s, steps[s].label);
const layerLink = (l) => link("layer-" + l, layers[l].name);
const bufferLink = (b) => link("buffer-" + b, "%" + buffers[b].name);
const kernelLink = (k) => link("kernel-" + k, kernels[k].name);
const work = (step) => [el("td", { class: "number" }, flopsText(step.flops)), el("td", { class: "number" }, bytesText(step.bytes)),
  timed ? el("td", { class: "number" }, msText(step.ms)) : ""];
const workHeads = () => [el("th", { class: "number" }, "FLOP"), el("th", { class: "number" }, "moved"), timed ? el("th", { class: "number" }, "time") : ""];
const heads = (...names) => names.map((name) => el("th", {}, name));
const crumbs = (place) => {
  const way = [];
  for (let at = place; at && at !== root; at = at.parent) way.unshift(link(addressOf(at), at.name.trim()));
  return el("p", { class: "crumbs" }, link("kernels", "all kernels"), way.map((one) => [" / ", one]));
};

function stepTable(ids, first) {
  return el("table", { class: "steps" }, el("tr", {}, heads("step", "kernel", first, "gives, and updates"), workHeads()),
    ids.map((s) => el("tr", { class: "row-link" }, el("td", {}, key(steps[s].phase), link("step-" + s, s)), el("td", {}, stepLink(s)),
      el("td", {}, first === "ops" ? units[steps[s].unit].ops.join(" ") : joined(steps[s].layers.map(layerLink))),
      el("td", { class: "mono" }, joined(steps[s].results.map((r) => r.name)), steps[s].updates.length ? " → " + steps[s].updates.join(", ") : ""),
      work(steps[s]))));
}

function showPlace(place) {
  const layer = place.layer === undefined ? undefined : layers[place.layer];
  const out = [crumbs(place)];
  if (layer && layer.type)
    out.push(el("p", {}, el("b", {}, layer.type), ` gives ${layer.output} for each example`, layer.parameters ? `, ${countText(layer.parameters)} parameters` : "",
      layer.inputs.length ? [", reads ", joined(layer.inputs.map(layerLink))] : "", layer.place ? ["; ", el("code", {}, layer.place), " of the model's file"] : ""));
  const others = place.layer === undefined ? [] : steps.map((step, s) => s).filter((s) => steps[s].layers.slice(1).includes(place.layer));
  if (place.children.length && place.steps.length > 60)
    out.push(el("p", {}, "Inside: ", joined(place.children.map((child) => link(addressOf(child), child.name)))));
  if (place.steps.length) out.push(stepTable(place.steps.slice(0, 400), place.layer === undefined ? "for" : "ops"));
  if (!place.steps.length) out.push(el("p", { class: "muted" }, others.length ? "No kernel of its own: it is done as part of others." : "No kernel: its result is a view, or nothing needs it."));
  if (others.length) out.push(el("h3", {}, "Done in kernels of other layers"), stepTable(others.slice(0, 100), "for"));
  return out;
}

function showStep(s) {
  const step = steps[s], unit = units[step.unit];
  const list = (name, items, one) => (items.length ? el("tr", {}, el("td", { class: "muted" }, name), el("td", { colspan: 2 }, joined(items.map(one)))) : "");
  const reasons = remarksOf[s].slice(0, 12);
  return [crumbs(placeOfLayer[step.layers[0]]),
    el("h2", {}, `Step ${s}: ${step.label} `, key(step.phase), el("span", { class: "muted" }, step.phase)),
    el("p", {}, s > 0 ? link("step-" + (s - 1), "← before") : "", " ", s + 1 < steps.length ? link("step-" + (s + 1), "behind →") : "",
      ` · ${step.flops ? flopsText(step.flops) + "FLOP, " : ""}${bytesText(step.bytes)} moved`, timed ? ", " + msText(step.ms) : "",
      step.layers.length > 1 ? [" · for ", joined(step.layers.map(layerLink))] : ""),
    el("p", {}, unit.ops.map((op) => el("span", { class: "chip mono" }, op))),
    el("table", {}, step.results.map((r) => el("tr", {}, el("td", { class: "mono" }, "%" + r.name), el("td", { class: "mono" }, r.type), el("td", {}, r.place))),
      list("updates", step.updates, (name) => el("span", { class: "mono" }, name)), list("reads", step.reads, bufferLink), list("writes", step.writes, bufferLink),
      list(`kernel${unit.kernels.length > 1 ? "s" : ""}`, unit.kernels, ([k, times]) => [kernelLink(k), times > 1 ? ` × ${countText(times)}` : ""])),
    reasons.length ? [el("h3", {}, "Why it is not one kernel with its neighbours"), el("table", {}, reasons.map((r) => {
      const other = r.first === s ? r.second : r.first;
      return el("tr", {}, el("td", {}, other < s ? "← " : "→ ", stepLink(other)), el("td", {}, r.text.replace(/^[^:]*: /, "")));
    }))] : "",
    unit.body ? [el("h3", {}, "Its ops", steps.findIndex((one) => one.unit === step.unit) === s ? "" : " (as of the first step with this code)"), el("pre", {}, unit.body)] : "",
    unit.kernels.map(([k]) => [el("h3", {}, "Its code: ", kernelLink(k)), el("pre", {}, kernels[k].code)])];
}

function showKernel(k) {
  const kernel = kernels[k];
  return [el("p", { class: "crumbs" }, link("kernels", "all kernels")), el("h2", {}, "Kernel " + kernel.name),
    el("p", {}, `${countText(callsOf(k))} calls, each ${kernel.flops ? flopsText(kernel.flops) + "FLOP and " : ""}${bytesText(kernel.bytes)} moved`,
      kernel.ms !== undefined ? `; ${msText(kernel.ms)} a step together, ${percent(kernel.roof_share)} of what the roofs allow` : ""),
    el("pre", {}, kernel.code), el("h3", {}, "Called by"), stepTable(callers[k], "for")];
}

function showBuffer(b) {
  const buffer = buffers[b], [first, last] = spans[b];
  return [el("p", { class: "crumbs" }, link("kernels", "all kernels")), el("h2", {}, "Buffer %" + buffer.name),
    el("p", {}, `${bytesText(buffer.bytes)} at ${countText(buffer.offset)} of the arena, alive in ${countText(last - first)} steps, `, link("step-" + first, first), " to ", link("step-" + (last - 1), last - 1)),
    writers[b].length ? [el("h3", {}, "Written by"), stepTable(writers[b], "for")] : el("p", { class: "muted" }, "A kernel's own work space."),
    readers[b].length ? [el("h3", {}, "Read by"), stepTable(readers[b], "for")] : ""];
}

/// Rates over FLOP per byte, both logarithmic: under which roof a kernel stands, and how near.
function roofline(timedKernels) {
  const points = timedKernels.filter((k) => kernels[k].flops > 0).map((k) => ({ k, ms: kernels[k].ms,
    x: kernels[k].flops / kernels[k].bytes, y: kernels[k].flops * callsOf(k) / kernels[k].ms / 1e6 }));
  if (!points.length) return "";
  const width = 430, height = 190, left = 46, bottom = 20;
  const rates = profile.bandwidth.map(([, rate]) => rate);
  const slow = Math.min(...rates), fast = Math.max(...rates), peak = profile.peak_gflops;
  const low = Math.min(...points.map((p) => p.x), 0.5) / 1.5, high = Math.max(...points.map((p) => p.x), peak / slow) * 2;
  const floor = Math.min(...points.map((p) => p.y), peak / 100) / 1.5, top = peak * 1.6;
  const x = (v) => left + (width - left - 6) * Math.log(v / low) / Math.log(high / low);
  const y = (v) => height - bottom - (height - bottom - 6) * Math.log(Math.max(v, floor) / floor) / Math.log(top / floor);
  const roof = (rate) => `M${x(low)},${y(rate * low)}L${x(peak / rate)},${y(peak)}H${x(high)}`;
  const biggest = Math.max(...points.map((p) => p.ms));
  return svg("svg", { width, height, role: "img", "aria-label": "Roofline: GFLOP/s over FLOP per byte" },
    svg("rect", { class: "frame", x: left, y: 4, width: width - left - 4, height: height - bottom - 4 }),
    svg("path", { class: "live", d: roof(slow) }), svg("path", { class: "bound", fill: "none", d: roof(fast) }),
    svg("text", { x: left + 6, y: 16 }, `${digits(peak)} GFLOP/s; memory ${digits(slow)}, first cache ${digits(fast)} GB/s (dashed)`),
    svg("text", { x: left - 4, y: y(peak) + 4, "text-anchor": "end" }, digits(peak)), svg("text", { x: left - 4, y: height - bottom, "text-anchor": "end" }, digits(floor)),
    svg("text", { x: left, y: height - 6 }, digits(low)), svg("text", { x: width - 4, y: height - 6, "text-anchor": "end" }, `${digits(high)} FLOP/byte`),
    points.map((p) => svg("a", { href: "#kernel-" + p.k }, svg("circle", { class: steps[callers[p.k][0]] ? steps[callers[p.k][0]].phase : "forward",
      cx: x(p.x), cy: y(p.y), r: 2.5 + 6 * Math.sqrt(p.ms / biggest), opacity: 0.75 }, svg("title", {}, `${kernels[p.k].name}: ${digits(p.y)} GFLOP/s, ${msText(p.ms)}`)))));
}

function showKernels() {
  const order = kernels.map((kernel, k) => k);
  const cost = (k) => (timed ? kernels[k].ms || 0 : kernels[k].bytes * callsOf(k));
  order.sort((a, b) => cost(b) - cost(a));
  const whole = sum(order, cost) || 1;
  return [el("h2", {}, `${kernels.length} different kernels, the dearest first`),
    timed ? el("div", { class: "two" }, el("div", {}, roofline(order.filter((k) => kernels[k].ms))), el("div", { class: "muted" },
      el("p", {}, "A circle is a kernel with products, the larger the more time it takes. The line is the roof of the machine as measured: memory on the left, arithmetic on the right."),
      el("p", {}, `Of a step of ${msText(profile.step_ms)} the longest wait of a thread at barriers is ${msText(profile.waiting_ms)}.`),
      profile.unmatched_ms > 0 ? el("p", {}, `${msText(profile.unmatched_ms)} of the profile are of kernels that this page does not have: it was made of another model, machine or budget.`) : "")) : "",
    el("table", {}, el("tr", {}, heads("kernel", "for"), el("th", { class: "number" }, "calls"), el("th", { class: "number" }, "FLOP"), el("th", { class: "number" }, "moved"),
      timed ? [el("th", { class: "number" }, "time"), el("th", { class: "number" }, "of roof")] : "", el("th", { class: "number" }, "share")),
    order.map((k) => {
      const first = callers[k][0];
      return el("tr", { class: "row-link" }, el("td", {}, first === undefined ? "" : key(steps[first].phase), kernelLink(k)),
        el("td", {}, first === undefined ? "" : [layerLink(steps[first].layers[0]), callers[k].length > 1 ? el("span", { class: "muted" }, ` and ${callers[k].length - 1} more`) : ""]),
        el("td", { class: "number" }, countText(callsOf(k))), el("td", { class: "number" }, flopsText(kernels[k].flops * callsOf(k))), el("td", { class: "number" }, bytesText(kernels[k].bytes * callsOf(k))),
        timed ? [el("td", { class: "number" }, msText(kernels[k].ms)), el("td", { class: "number" }, kernels[k].roof_share === undefined ? "-" : percent(kernels[k].roof_share))] : "",
        el("td", { class: "number" }, percent(cost(k) / whole)));
    }))];
}

function showSearch(text) {
  const words = text.toLowerCase().split(/\s+/);
  const has = (...parts) => words.every((word) => parts.some((part) => part.toLowerCase().includes(word)));
  const found = (items, parts, one) => items.map((item, i) => i).filter((i) => has(...parts(items[i]))).map(one);
  const groups = [
    ["Layers", found(layers, (layer) => [layer.name, layer.type], layerLink)],
    ["Kernels", found(kernels, (kernel) => [kernel.name], kernelLink)],
    ["Steps", found(steps, (step) => [step.label, ...step.results.map((r) => r.name), ...step.updates, ...units[step.unit].ops],
      (s) => [link("step-" + s, `${s} ${steps[s].label}`), el("span", { class: "muted" }, " " + steps[s].results.map((r) => "%" + r.name).join(" "))])],
    ["Buffers", found(buffers, (buffer) => [buffer.name], bufferLink)],
  ].filter(([, items]) => items.length);
  return [el("h2", {}, groups.length ? `Found for “${text}”` : `Nothing is called “${text}”`),
    groups.map(([name, items]) => [el("h3", {}, `${name} (${items.length})`), el("div", {}, items.slice(0, 60).map((item) => el("div", {}, item)), items.length > 60 ? el("p", { class: "muted" }, "and more") : "")])];
}

// ---- addresses ------------------------------------------------------------------------------------------------

let chosen = { kind: "kernels" };
function go(address) { if (location.hash === "#" + address) route(); else location.hash = address; }

/// Shows what the address says.
function route() {
  const [, kind, rest] = /^#?([a-z]*)-?(.*)$/.exec(location.hash);
  const number = Number(rest);
  const lists = { layer: layers, step: steps, kernel: kernels, buffer: buffers };
  const known = kind === "block" ? places.has(decodeURIComponent(rest)) : kind in lists && rest !== "" && number in lists[kind];
  chosen = { kind: known ? kind : "kernels", number };
  if (chosen.kind === "layer") chosen.place = placeOfLayer[number];
  if (chosen.kind === "block") chosen.place = places.get(decodeURIComponent(rest));
  if (chosen.kind === "step") chosen.place = placeOfLayer[steps[number].layers[0]];
  const ids = chosen.kind === "step" ? [number] : chosen.kind === "kernel" ? callers[number] : chosen.place ? chosen.place.steps : [];
  chosen.buffers = chosen.kind === "buffer" ? [number] : ids.flatMap((s) => chosen.kind === "step" ? [...steps[s].writes, ...steps[s].reads] : steps[s].writes);
  for (let place = chosen.place && chosen.place.parent; place && place !== root; place = place.parent) place.open = true;
  const shows = { layer: () => showPlace(chosen.place), block: () => showPlace(chosen.place), step: () => showStep(number),
    kernel: () => showKernel(number), buffer: () => showBuffer(number), kernels: showKernels };
  show(shows[chosen.kind]());
  const inTree = document.activeElement && document.activeElement.closest && document.activeElement.closest("#tree");
  showTree(inTree ? chosen.place : undefined);
  markPlan();
}
function show(content) { const detail = byId("detail"); fill(detail, {}, (detail.replaceChildren(), [content])); detail.scrollTop = 0; }

function start() {
  showHead();
  byId("heads").append(...["layer or block", "steps", "FLOP", timed ? "time" : "moved", ""].map((name) => el("span", {}, name)));
  showPlanText();
  showPlan();
  route();
  addEventListener("hashchange", route);
  addEventListener("resize", showPlan);
  byId("plan").addEventListener("keydown", planKey);
  const search = byId("search");
  search.addEventListener("input", () => (search.value.trim() ? show(showSearch(search.value.trim())) : route()));
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { search.value = ""; route(); }
    const first = byId("detail").querySelector("div a");
    if (event.key === "Enter" && first) { location.hash = first.getAttribute("href"); }
  });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); }
  });
  const themes = ["", "light", "dark"];
  const setTheme = (name) => { if (name) document.documentElement.dataset.theme = name; else delete document.documentElement.dataset.theme; };
  byId("theme").addEventListener("click", () => {
    setTheme(themes[(themes.indexOf(document.documentElement.dataset.theme || "") + 1) % themes.length]);
  });
}
start();
})();
