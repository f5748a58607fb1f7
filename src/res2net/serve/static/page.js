"use strict";

// Photos go to the API one after the other; what comes back is drawn here, so that thresholds act
// without another request. Text of files and networks is put in as text, never as HTML. Of a photo
// the page holds the results and one small picture; its own pixels are never decoded here. Of a
// video, one frame at a time is: when it is its turn.

const config = JSON.parse(document.getElementById("config").textContent);
const networks = new Map(config.networks.map((each) => [each.name, each]));
const settings = new Map(config.networks.map((each) => [each.name, usual(each)]));
const MARKED = ["detect", "instances", "pose"]; // on the photo, here
const BARS = 5;
const COLUMNS = 400; // of a mask as it is drawn
const SIMILAR = 8; // photos shown as similar to one
const SECONDS = 20; // for a video to open, or to reach a frame
const VIDEO = /\.(mp4|mov|m4v|avi|mkv|webm|mpe?g|ts)$/i; // where a browser gives a file no type
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

// {file, card, visible, entries: name of a network -> {answer, ...} or {error}}; of a video, `file` is
// {name, read}: its frame is read when it is asked for
let photos = [];
let chosen = config.networks.slice(0, 2).map((each) => each.name);
let turn = 0; // of the loop that may store results; another one ends it
let active = false;
let controller = null;

class Refused extends Error {} // one photo; any other error ends the loop

function usual(network) {
  return {
    score: network.drawn?.score ?? 0,
    thresholds: [...(network.thresholds ?? [])],
    asked: {},
    embedding: false, // once similar photos are shown
  };
}

function make(tag, values = {}, ...children) {
  const node = Object.assign(document.createElement(tag), values);
  node.append(...children);
  return node;
}

function shape(tag, values, text = "") {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(values)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
}

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

// What is asked

async function add(files) {
  notice("");
  const before = photos;
  const video = (file) => file.type.startsWith("video/") || VIDEO.test(file.name);
  keep(files.filter((each) => !video(each)));
  const errors = [];
  for (const file of files.filter(video)) {
    const frames = await framesOf(file).catch((error) => {
      errors.push(error.message);
      return [];
    });
    if (photos !== before) return; // cleared
    keep(frames);
  }
  if (errors.length) notice(errors.join(" "));
}

function keep(files) {
  const room = config.mostPhotos - photos.length;
  for (const file of files.slice(0, room)) {
    const card = make("article", { className: "photo" });
    const photo = { file, card, visible: false, entries: new Map() };
    card.photo = photo;
    photos.push(photo);
    drawPhoto(photo);
    byId("results").append(card);
    watcher.observe(card);
  }
  if (files.length > room) {
    notice(`The first ${config.mostPhotos} photos are kept, ${files.length - room} left out. ` +
      "For whole folders there is `res2net predict`.");
  }
  run();
}

function following() {
  for (const photo of photos) {
    const name = chosen.find((each) => isMissing(photo.entries.get(each), each));
    if (name !== undefined) return { photo, network: networks.get(name) };
  }
  return null;
}

function isMissing(entry, name) {
  return !entry || (settings.get(name).embedding && entry.answer && !entry.unit);
}

async function run() {
  if (active) return;
  active = true;
  const own = ++turn;
  for (let next; own === turn && (next = following());) {
    controller = new AbortController();
    drawProgress(next.photo);
    let found;
    try {
      found = await ask(next.photo.file, next.network, controller.signal);
    } catch (error) {
      if (own !== turn) return;
      if (!(error instanceof Refused)) {
        notice(error.message);
        break;
      }
      found = { error: error.message };
    }
    if (own !== turn) return;
    forget(next.photo, next.network.name);
    next.photo.entries.set(next.network.name, found);
    drawPhoto(next.photo);
  }
  if (own === turn) stop();
}

function stop() {
  turn += 1;
  active = false;
  controller?.abort();
  drawProgress(null);
  for (const open of document.querySelectorAll(".similar[open]")) {
    open.dispatchEvent(new Event("toggle")); // with the photos that came since
  }
}

function again(names) {
  stop();
  for (const photo of photos) {
    names.forEach((name) => forget(photo, name));
    drawPhoto(photo);
  }
  run();
}

function forget(photo, name) {
  const entry = photo.entries.get(name);
  if (entry?.url) URL.revokeObjectURL(entry.url);
  photo.entries.delete(name);
}

function address(network) {
  const drawn = MARKED.includes(network.task) || network.task === "classify";
  const values = {
    model: network.name,
    picture: drawn && !network.activation_map ? "photo" : "true",
    side: config.side,
    ...settings.get(network.name).asked,
  };
  if (settings.get(network.name).embedding) values.embedding = true;
  if (network.thresholds) values.top = Math.min(config.mostClasses, network.classes.length);
  return `v1/predict?${new URLSearchParams(values)}`;
}

async function ask(given, network, signal) {
  const file = await given.read?.() ?? given;
  const mib = (bytes) => +(bytes / 2 ** 20).toPrecision(3);
  if (file.size > config.mostBytes) {
    throw new Refused(`${file.name}: ${mib(file.size)} MiB, larger than the allowed ` +
      `${mib(config.mostBytes)} MiB; scale it down`);
  }
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Refused(`${file.name}: cannot be read (any more); choose it again`);
  }
  for (;;) {
    const response = await send(file, network, signal);
    if (response.status !== 429) return entryOf(await contentOf(response));
    await pause(Number(response.headers.get("Retry-After")) || 5, signal);
  }
}

async function send(file, network, signal) {
  const body = new FormData();
  body.append("image", file);
  try {
    return await fetch(address(network), { method: "POST", body, signal });
  } catch (error) {
    throw signal.aborted ? error : new Error(
      "The server does not answer. Start it if it has stopped, then press Predict to continue.",
    );
  }
}

async function contentOf(response) {
  if (response.status === 401) throw new Error("The session has ended; load the page again.");
  const content = await response.json().catch(() => ({ error: `HTTP ${response.status}` }));
  if (response.status === 503) throw new Error(`${content.error}. Then press Predict to continue.`);
  if (!response.ok) throw new Refused(content.error);
  return content;
}

function pause(seconds, signal) {
  byId("status").textContent = `the server is busy; next try in ${seconds} s`;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

function entryOf(content) {
  const { picture, picture_type: type, picture_shows: shows, embedding, ...answer } = content;
  const unit = embedding && unitOf(embedding);
  if (!picture) return { answer, shows, unit, url: "" };
  const bytes = Uint8Array.from(atob(picture), (each) => each.charCodeAt(0));
  return { answer, shows, unit, url: URL.createObjectURL(new Blob([bytes], { type })) };
}

// Frames of a video, as the browser decodes it

async function framesOf(file) {
  const length = await opened(file, async (video) => {
    if (video.duration < Infinity) return video.duration;
    video.currentTime = 1e9; // the length of a recording is found at its end
    await until(video, "seeked", file);
    return video.duration < Infinity ? video.duration : video.currentTime;
  });
  const most = Math.max(1, Math.min(config.mostFrames, config.mostPhotos - photos.length));
  const step = Math.max(1, length / most); // seconds
  return Array.from({ length: Math.min(most, Math.ceil(length / step) || 1) }, (_, k) => {
    const tenths = Math.floor(10 * k * step);
    const seconds = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
    const name = `${file.name} ${Math.floor(tenths / 600)}:${seconds}`;
    return { name, read: () => opened(file, (video) => frameOf(video, tenths / 10, file, name)) };
  });
}

async function frameOf(video, seconds, file, name) {
  video.currentTime = seconds;
  await until(video, "seeked", file);
  const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg", 0.95); });
  if (!blob) throw undecoded(file);
  return new File([blob], name, { type: "image/jpeg" });
}

// What `act` makes of a video, which is held no longer.
async function opened(file, act) {
  const video = make("video", { muted: true, playsInline: true, preload: "auto" });
  const src = URL.createObjectURL(file);
  try {
    video.src = src;
    await until(video, "loadeddata", file);
    if (!video.videoWidth) throw undecoded(file);
    return await act(video);
  } finally {
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(src);
  }
}

function until(video, name, file) {
  return new Promise((resolve, reject) => {
    video.addEventListener(name, resolve, { once: true });
    video.addEventListener("error", () => reject(undecoded(file)), { once: true });
    setTimeout(() => reject(undecoded(file)), 1000 * SECONDS);
  });
}

function undecoded(file) {
  return new Refused(`${file.name}: this browser cannot decode it; \`res2net predict ` +
    `${file.name}\` on the command line reads more kinds of videos.`);
}

// What is shown

const watcher = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) {
    target.photo.visible = isIntersecting;
    drawMarks(target.photo);
  }
}, { rootMargin: "600px" });

function drawProgress(photo) {
  const done = photos.filter((each) => chosen.every((name) => each.entries.has(name)));
  const failed = done.filter((each) => chosen.some((name) => each.entries.get(name).error));
  const bar = byId("progress");
  [bar.max, bar.value] = [Math.max(photos.length, 1), done.length];
  bar.hidden = byId("stop").hidden = !photo;
  const words = [`${done.length} of ${photos.length} photos`];
  if (failed.length) words.push(`${failed.length} failed`);
  if (photo) words.push(photo.file.name);
  byId("status").textContent = photos.length ? words.join(", ") : "";
}

function drawPhoto(photo) {
  const errors = new Set(chosen.map((name) => photo.entries.get(name)?.error));
  const [error] = errors.size === 1 ? errors : []; // of the photo, whatever the network
  const sides = error ? [make("p", { className: "error" }, error)] :
    chosen.map((name) => sideOf(photo, networks.get(name)));
  photo.card.replaceChildren(
    make("h2", {}, photo.file.name),
    make("div", { className: "sides" }, ...sides),
  );
  drawMarks(photo);
}

function sideOf(photo, network) {
  const entry = photo.entries.get(network.name);
  const side = make("section", { className: "side" });
  if (chosen.length > 1) side.append(make("p", { className: "title" }, network.name));
  if (!entry?.answer) {
    side.append(make("p", { className: entry ? "error" : "remark" }, entry?.error ?? "waiting"));
    return side;
  }
  entry.line = make("p", { className: "line" });
  side.append(entry.line);
  if (entry.url) {
    entry.image = make("img", { src: entry.url, alt: entry.shows, loading: "lazy" });
    entry.image.addEventListener("load", () => drawEntry(entry, network));
    entry.marks = shape("svg", { viewBox: `0 0 ${entry.answer.width} ${entry.answer.height}` });
    side.append(make("figure", {}, entry.image, entry.marks));
  }
  entry.bars = make("div", { className: "bars" });
  const time = `${Math.round(entry.answer.milliseconds)} ms`;
  const words = entry.shows === "the photo" ? [time] : [entry.shows, time];
  side.append(entry.bars, make("p", { className: "remark" }, words.join(" · ")));
  if (network.parameters.includes("embedding")) side.append(similarTo(photo, network));
  return side;
}

// Similar photos: by the cosine of their embeddings

function unitOf(vector) {
  const length = Math.hypot(...vector) || 1;
  return Float32Array.from(vector, (each) => each / length);
}

function nearest(photo, name) {
  const unitOfOne = (each) => each.entries.get(name)?.unit;
  const own = unitOfOne(photo);
  const others = photos.filter((each) => own && each !== photo && unitOfOne(each));
  const found = others.map((other) => {
    const unit = unitOfOne(other);
    return { other, cosine: own.reduce((sum, value, k) => sum + value * unit[k], 0) };
  });
  return found.sort((a, b) => b.cosine - a.cosine).slice(0, SIMILAR);
}

function similarTo(photo, network) {
  const list = make("div");
  const summary = make("summary", {}, "Similar photos (cosine similarity)");
  const open = photo.similar === network.name;
  const details = make("details", { className: "similar", open }, summary, list);
  details.addEventListener("toggle", () => {
    photo.similar = details.open ? network.name : null;
    if (details.open && !settings.get(network.name).embedding) {
      settings.get(network.name).embedding = true;
      run();
    }
    const found = details.open ? nearest(photo, network.name) : [];
    list.replaceChildren(...found.map(({ other, cosine }) => {
      const image = make("img", { src: other.entries.get(network.name).url, alt: "" });
      const words = make("span", {}, make("b", {}, cosine.toFixed(2)), ` ${other.file.name}`);
      const button = make("button", { type: "button", title: other.file.name }, image, words);
      button.addEventListener("click", () => other.card.scrollIntoView({ block: "center" }));
      return button;
    }));
    if (details.open && !found.length) {
      list.append(active ? "comparing" : "There is no other photo yet.");
    }
  });
  return details;
}

function drawMarks(photo) {
  for (const name of chosen) {
    const entry = photo.entries.get(name);
    if (entry?.answer) drawEntry(entry, networks.get(name), photo.visible);
  }
}

function drawEntry(entry, network, visible = true) {
  const answer = shownOf(entry.answer, network);
  entry.line.textContent = answer.summary;
  if (answer.classes && (visible || !entry.bars.firstChild)) {
    entry.bars.replaceChildren(...barsOf(answer, network));
  }
  if (!answer.objects || !entry.marks) return;
  const marks = visible ? marksOf(answer, entry.answer, network, entry.image.clientWidth) : [];
  entry.marks.replaceChildren(...marks);
}

// The answer as the thresholds of the page leave it.
function shownOf(answer, network) {
  const { score, thresholds } = settings.get(network.name);
  if (answer.objects) {
    const objects = answer.objects.filter((each) => each.score >= score);
    return { ...answer, objects, summary: countsOf(objects, network) };
  }
  if (!network.thresholds) return answer;
  const least = new Map(network.classes.map((name, k) => [name, thresholds[k]]));
  const above = answer.classes.filter((each) => each.probability >= least.get(each.class));
  const labels = above.map((each) => each.class);
  return { ...answer, labels, summary: labels.join(", ") || "no class" };
}

function countsOf(objects, network) {
  if (network.task === "pose") return `poses: ${objects.length}`;
  const counts = new Map();
  for (const each of objects) counts.set(each.class, (counts.get(each.class) ?? 0) + 1);
  const order = [...counts].sort((a, b) => b[1] - a[1]);
  return order.map(([name, count]) => `${count} ${name}`).join("  ") || "nothing";
}

function barsOf(answer, network) {
  const count = Math.max(BARS, answer.labels?.length ?? 0);
  return answer.classes.slice(0, count).flatMap((each) => {
    const below = network.thresholds && !answer.labels.includes(each.class);
    return [
      make("span", { className: below ? "below" : "" }, each.class),
      make("meter", { value: each.probability }),
      make("b", {}, `${(100 * each.probability).toFixed(1)} %`),
    ];
  });
}

function marksOf(shown, answer, network, width) {
  const scale = answer.width / (width || answer.width); // pixels of the photo in one of the screen
  return shown.objects.map((each) => {
    const number = network.task === "pose" ? answer.objects.indexOf(each) :
      network.classes.indexOf(each.class);
    const rgb = config.colours[number % config.colours.length];
    const [left, top, right, bottom] = each.box;
    const box = { x: left, y: top, width: right - left, height: bottom - top };
    const mark = shape("g", { class: "mark", color: `rgb(${rgb})` });
    if (each.mask) mark.append(maskOf(each.mask));
    mark.append(shape("rect", { ...box, fill: "none", stroke: "currentColor", "stroke-width": 2 }));
    if (each.keypoints) mark.append(...skeletonOf(each.keypoints, network.drawn, scale));
    else mark.append(tagOf(each, rgb, answer, scale));
    return mark;
  });
}

function tagOf(object, [red, green, blue], answer, scale) {
  const text = `${object.class} ${Math.round(100 * object.score)} %`;
  const bright = 0.299 * red + 0.587 * green + 0.114 * blue > 140;
  const values = {
    x: Math.max(0, Math.min(object.box[0], answer.width - 8 * scale * text.length)),
    y: Math.max(object.box[1] - 4 * scale, 12 * scale),
    "font-size": 12 * scale,
    fill: bright ? "#141414" : "#fff",
    stroke: "currentColor",
    "stroke-width": 4 * scale,
  };
  return shape("text", values, text);
}

function skeletonOf(keypoints, drawn, scale) {
  const points = drawn.names.map((name) => keypoints[name]);
  const seen = points.map((each) => each[2] >= drawn.keypoint);
  const bones = drawn.bones.filter(([a, b]) => seen[a] && seen[b]).map(([a, b]) => shape("line", {
    x1: points[a][0], y1: points[a][1], x2: points[b][0], y2: points[b][1],
    stroke: "currentColor", "stroke-width": 3,
  }));
  const dots = points.filter((_, k) => seen[k]).map(([x, y]) => shape("circle", {
    cx: x, cy: y, r: 3 * scale, fill: "#fff", stroke: "currentColor", "stroke-width": 2,
  }));
  return [...bones, ...dots];
}

function maskOf(mask) {
  const values = { fill: "currentColor", "fill-opacity": 0.45, "shape-rendering": "crispEdges" };
  return shape("path", { ...values, d: pathOf(runLengths(mask.counts), ...mask.size) });
}

// COCO's packed run lengths: groups of five bits, the lowest first, each a character from "0" on
// with the sixth bit where another follows; from the fourth number on, differences to the one
// before the last.
function runLengths(text) {
  const found = [];
  let value = 0;
  let shift = 0;
  for (const character of text) {
    const bits = character.charCodeAt(0) - 48;
    value += (bits & 31) * 2 ** shift;
    shift += 5;
    if (bits & 32) continue;
    if (bits & 16) value -= 2 ** shift;
    found.push(found.length > 2 ? value + found.at(-2) : value);
    [value, shift] = [0, 0];
  }
  return found;
}

// Runs go down the columns, outside and inside in turn; every n-th column is drawn n wide.
function pathOf(runs, height, width) {
  const step = Math.ceil(width / COLUMNS);
  const parts = [];
  let start = 0;
  runs.forEach((length, k) => {
    const end = start + length;
    const first = Math.ceil(Math.floor(start / height) / step) * step;
    for (let x = first; k % 2 && x * height < end; x += step) {
      const top = Math.max(start - x * height, 0);
      const bottom = Math.min(end - x * height, height);
      parts.push(`M${x} ${top}h${step}V${bottom}h${-step}z`);
    }
    start = end;
  });
  return parts.join("");
}

// Controls of the networks

function drawControls() {
  byId("choices").hidden = networks.size < 2;
  byId("choices").replaceChildren(...["Network", "Beside it"].map((label, number) => {
    const names = [...networks.keys()];
    const options = names.map((name) => make("option", { value: name }, name));
    if (number) options.push(make("option", { value: "" }, "none"));
    const select = make("select", { id: `choice-${number}` }, ...options);
    select.value = chosen[number] ?? "";
    select.addEventListener("change", choose);
    return make("label", {}, label, select);
  }));
  byId("panels").replaceChildren(...chosen.map((name) => panelOf(networks.get(name))));
}

function choose() {
  const names = [byId("choice-0").value, byId("choice-1").value];
  chosen = [...new Set(names.filter((name) => name))];
  drawControls();
  again([]);
}

function panelOf(network) {
  const own = settings.get(network.name);
  const panel = make("div", { className: "panel" }, make("p", { className: "title" },
    networks.size > 1 ? `${network.name}: ${network.title}` : network.title));
  const redraw = () => photos.forEach(drawMarks);
  if (MARKED.includes(network.task)) {
    const take = (value) => {
      own.score = value;
      redraw();
    };
    panel.append(slider("Lowest score", own.score, take).label);
  }
  if (network.thresholds) panel.append(thresholdsOf(network, own, redraw));
  panel.append(...requestOptions(network, own));
  const save = (kind, text) => {
    const button = make("button", { type: "button" }, `Results (${kind.toUpperCase()})`);
    button.addEventListener("click", () => download(network, kind, text(network)));
    return button;
  };
  panel.append(make("div", { className: "downloads" }, save("json", jsonOf), save("csv", csvOf)));
  return panel;
}

function slider(text, value, take) {
  const input = make("input", { type: "range", min: 0, max: 1, step: 0.01, value });
  const output = make("output", {}, value.toFixed(2));
  const show = (next) => {
    input.value = next;
    output.textContent = next.toFixed(2);
  };
  input.addEventListener("input", () => {
    output.textContent = Number(input.value).toFixed(2);
    take(Number(input.value));
  });
  return { label: make("label", {}, make("span", {}, text), input, output), show };
}

function thresholdsOf(network, own, redraw) {
  const each = network.classes.map((name, k) => slider(name, own.thresholds[k], (value) => {
    own.thresholds[k] = value;
    redraw();
  }));
  const set = (values) => {
    own.thresholds = values;
    each.forEach((one, k) => one.show(values[k]));
    redraw();
  };
  const all = slider("All classes", 0.5, (value) => set(network.classes.map(() => value)));
  const reset = make("button", { type: "button" }, "The network's own");
  reset.addEventListener("click", () => set([...network.thresholds]));
  const list = make("div", {}, all.label, ...each.map((one) => one.label));
  return make("details", {}, make("summary", {}, "Thresholds of the classes"), list, reset);
}

// Those that only the network can apply: its photos are predicted again.
function requestOptions(network, own) {
  const numbers = [
    ["iou", "Overlap (IoU)", { min: 0, max: 1, step: 0.01 }],
    ["max_detections", "Most detections", { min: 1, max: config.mostDetections, step: 1 }],
  ];
  const read = numbers.filter(([name]) => network.parameters.includes(name));
  return read.map(([name, text, bounds]) => {
    const values = { type: "number", placeholder: "default", value: own.asked[name] ?? "" };
    const input = make("input", { ...values, ...bounds });
    input.addEventListener("change", () => {
      if (!input.reportValidity()) return;
      if (input.value) own.asked[name] = input.value;
      else delete own.asked[name];
      again([network.name]);
    });
    return make("label", {}, make("span", {}, text), input);
  });
}

// Files of results: what is shown, by the names that `res2net predict` has

function answersOf(network) {
  const found = photos.map((photo) => [photo.file.name, photo.entries.get(network.name)]);
  return found.filter(([, entry]) => entry);
}

function jsonOf(network) {
  const rows = answersOf(network).map(([image, { answer, error }]) => (
    error ? { image, error } : { image, ...shownOf(answer, network) }
  ));
  return `${JSON.stringify(rows, null, 2)}\n`;
}

const SPREAD = { // task: columns after `image`, and the rows of an answer
  classify: (answer) => [[
    ...(answer.labels ? [answer.labels.join(";")] : []),
    ...answer.classes.flatMap((each) => [each.class, each.probability.toFixed(6)]),
  ]],
  detect: (answer) => answer.objects.map((each) => [each.class, each.score, ...each.box]),
  pose: (answer) => answer.objects.flatMap((each, number) => (
    Object.entries(each.keypoints).map(([name, point]) => [
      number + 1, each.score, ...each.box, name, ...point,
    ])
  )),
  segment: (answer) => Object.entries(answer.shares),
  saliency: (answer) => [[answer.share, ...(answer.box ?? ["", "", "", ""])]],
};
SPREAD.instances = SPREAD.detect;
const SIDES = ["left", "top", "right", "bottom"];
const HEADS = {
  detect: ["class", "score", ...SIDES],
  instances: ["class", "score", ...SIDES],
  pose: ["pose", "score", ...SIDES, "keypoint", "x", "y", "keypoint_score"],
  segment: ["class", "share"],
  saliency: ["share", ...SIDES],
};

function headOf(network, answers) {
  if (HEADS[network.task]) return HEADS[network.task];
  const count = Math.max(0, ...answers.map(([, { answer }]) => answer.classes.length));
  const numbers = Array.from({ length: count }, (_, k) => k + 1);
  const names = numbers.flatMap((k) => [`class_${k}`, `probability_${k}`]);
  return network.thresholds ? ["labels", ...names] : names;
}

function csvOf(network) {
  const answers = answersOf(network).filter(([, entry]) => entry.answer);
  const rows = answers.flatMap(([image, { answer }]) => (
    SPREAD[network.task](shownOf(answer, network)).map((row) => [image, ...row])
  ));
  const cell = (value) => (
    /[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value)
  );
  const table = [["image", ...headOf(network, answers)], ...rows];
  return table.map((row) => `${row.map(cell).join(",")}\n`).join("");
}

function download(network, kind, text) {
  if (!answersOf(network).length) {
    notice("There are no results yet.");
    return;
  }
  const type = kind === "csv" ? "text/csv" : "application/json";
  const href = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href, download: `predictions-${network.name}.${kind}` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10000);
}

// What people do

function look() {
  notice("");
  if (!photos.length) notice("There is no photo yet. Drop photos or videos, or take an example.");
  else if (active || following()) run();
  else again(chosen);
}

function clear() {
  stop();
  for (const photo of photos) [...photo.entries.keys()].forEach((name) => forget(photo, name));
  photos = [];
  watcher.disconnect();
  byId("results").replaceChildren();
  notice("");
  drawProgress(null);
}

function dropped(event) {
  event.preventDefault();
  byId("drop").classList.remove("over");
  const items = [...event.dataTransfer.items].filter((each) => each.kind === "file");
  const folder = items.find((each) => each.webkitGetAsEntry()?.isDirectory);
  const files = items.filter((each) => !each.webkitGetAsEntry()?.isDirectory);
  if (files.length) add(files.map((each) => each.getAsFile()));
  if (folder) {
    const { name } = folder.webkitGetAsEntry();
    notice(`${name} is a folder; open it and drop its photos`);
  } else if (!files.length) notice("No file was dropped; save the photo first, then drop its file.");
}

async function example(name) {
  const response = await fetch(`examples/${name}`).catch(() => null);
  if (response?.ok) add([new File([await response.blob()], name)]);
  else notice("The server does not give its examples. Is it still running?");
}

byId("files").addEventListener("change", ({ target }) => {
  const files = [...target.files];
  target.value = ""; // the same file may be chosen again
  add(files);
});
byId("look").addEventListener("click", look);
byId("stop").addEventListener("click", stop);
byId("clear").addEventListener("click", clear);
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("drop").classList.add("over");
});
document.addEventListener("dragleave", () => byId("drop").classList.remove("over"));
document.addEventListener("drop", dropped);
document.addEventListener("paste", ({ clipboardData }) => {
  if (clipboardData.files.length) add([...clipboardData.files]);
});
window.addEventListener("resize", () => photos.filter((each) => each.visible).forEach(drawMarks));
byId("examples").append(...config.examples.map((name) => {
  const button = make("button", { type: "button", title: name }, make("img", {
    src: `examples/${name}`, alt: name,
  }));
  button.addEventListener("click", () => example(name));
  return button;
}));
byId("command").textContent = config.command;
drawControls();
