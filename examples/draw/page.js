"use strict";
// The page: tools, samples, and the loop that runs the student whenever the input has changed.
//
// model.js calls start(model) with
//   title, kind        "draw", "colors" (paint with colors), "paint" (class ids), or "photo"
//   width, height      of the input, in pixels
//   input_nc, output_nc, lab, instances
//   background         color or class of the empty paper
//   classes            [{name, color}, ...] of "paint" and "colors"
//   samples            [{name, input}, ...], images as data: addresses
//   student, original  {onnx (base64 of gzip), megabytes, macs, params}; original: {file, ...} or null

const $ = (id) => document.getElementById(id);

const WORDS = {
  draw: ["Draw", "Draw outlines; the student turns them into a photo."],
  colors: ["Paint", "Choose a color and paint; the student turns the areas into a photo."],
  paint: ["Paint", "Choose a class and paint; the student turns the label map into a photo."],
  photo: ["Photo", "Choose a photo or use the camera; the student translates it."],
};

let model = null;
let paper = null;
// each network has a worker of its own, so that a slow original does not delay the student
const loops = {
  student: {engine: null, isChanged: false, isRunning: false, picture: "picture", facts: "student-facts"},
  original: {engine: null, isChanged: false, isRunning: false, picture: "original-picture", facts: "original-facts"},
};
let originalState = "none"; // none, available, loading, shown
let originalModel = null;

/** Create an element with properties and children. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function setState(state) {
  document.body.dataset.state = state;
}

function showMessage(text) {
  $("message").textContent = text;
  $("message").hidden = !text;
}

/** Build the page for a model and start the runtime; model.js calls it. */
async function start(description) {
  model = description;
  for (const item of model.classes) item.color = item.color.match(/\w\w/g).map((part) => parseInt(part, 16));
  document.title = model.title;
  $("title").textContent = model.title;
  [$("input-title").textContent, $("hint").textContent] = WORDS[model.kind];
  document.body.dataset.kind = model.kind;
  document.body.classList.toggle("square", model.width < 1.5 * model.height);
  for (const id of ["picture", "original-picture"]) [$(id).width, $(id).height] = [model.width, model.height];
  paper = new Paper($("paper"), model, update);
  if (model.kind === "paint") {
    paper.background = {color: model.classes[model.background].color, label: model.background};
  } else {
    paper.background.color = model.background;
  }
  paper.pen.size = Math.max(1, Math.round(Math.min(model.width, model.height) / (model.classes.length ? 12 : 128)));
  paper.reset();
  buildTools();
  buildPalette();
  buildOutputTools();
  await buildSamples();
  await startEngine();
}

function buildTools() {
  if (!paper.canDraw) {
    $("tools").append(photoButton("Choose a photo"));
    if (navigator.mediaDevices?.getUserMedia) $("tools").append(cameraButton());
    return;
  }
  const names = {pen: model.kind === "draw" ? "Pen" : "Brush", eraser: "Eraser"};
  if (model.kind !== "draw") names.fill = "Fill";
  const buttons = Object.entries(names).map(([tool, text]) => make("button", {textContent: text, onclick: () => choose(tool)}));
  const choose = (tool) => {
    paper.pen.tool = tool;
    Object.keys(names).forEach((name, i) => buttons[i].setAttribute("aria-pressed", name === tool));
  };
  choose("pen");
  const range = make("input", {type: "range", min: 1, max: Math.max(8, Math.round(Math.min(model.width, model.height) / 4)),
    value: paper.pen.size, oninput: () => { paper.pen.size = Number(range.value); }});
  if (model.kind === "draw") range.max = Math.max(8, Math.round(model.width / 16));
  $("tools").append(...buttons, make("label", {className: "size"}, "Size", range),
    make("button", {textContent: "Undo", onclick: () => paper.undo()}),
    make("button", {textContent: "Clear", onclick: () => paper.clear()}));
  if (model.instances) {
    const box = make("input", {type: "checkbox", onchange: () => { paper.pen.ownObject = box.checked; }});
    $("tools").append(make("label", {className: "check"}, box, "each stroke is an object of its own"));
  }
  if (model.kind === "draw") $("tools").append(photoButton("Open a drawing"));
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") {
      event.preventDefault();
      paper.undo();
    }
  });
}

function photoButton(text) {
  const input = make("input", {type: "file", accept: "image/*"});
  input.onchange = async () => {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    stopCamera();
    try {
      const bitmap = await createImageBitmap(file);
      paper.remember();
      paper.show(bitmap, bitmap.width, bitmap.height);
      showMessage("");
    } catch {
      showMessage(`${file.name} cannot be read as an image; choose a JPEG, PNG, or WebP file.`);
    }
  };
  return make("label", {className: "button"}, text, input);
}

let camera = null;

function cameraButton() {
  const button = make("button", {id: "camera", textContent: "Camera", onclick: () => camera ? stopCamera() : startCamera()});
  return button;
}

async function startCamera() {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({video: {facingMode: "environment"}});
    camera = make("video", {srcObject: stream, muted: true, playsInline: true});
    await camera.play();
  } catch (error) {
    stopCamera();
    showMessage(`The camera cannot be used (${error.message}); choose a photo instead.`);
    return;
  }
  showMessage("");
  $("camera").textContent = "Stop the camera";
  const step = () => {
    if (!camera) return;
    if (!loops.student.isRunning) paper.show(camera, camera.videoWidth, camera.videoHeight);
    requestAnimationFrame(step);
  };
  step();
}

function stopCamera() {
  camera?.srcObject?.getTracks().forEach((track) => track.stop());
  camera = null;
  if ($("camera")) $("camera").textContent = "Camera";
}

function buildPalette() {
  if (!model.classes.length) return;
  const buttons = model.classes.map((item, label) => {
    const patch = make("i");
    patch.style.background = `rgb(${item.color})`;
    const button = make("button", {onclick: () => choose(label)}, patch, item.name);
    button.setAttribute("role", "radio");
    return button;
  });
  const choose = (label) => {
    Object.assign(paper.pen, {color: model.classes[label].color, label});
    buttons.forEach((button, i) => button.setAttribute("aria-checked", i === label));
    if (paper.pen.tool === "eraser") $("tools").firstChild.click();
  };
  $("palette").append(...buttons);
  $("palette").hidden = false;
  choose(model.classes.length > 1 ? 1 : 0);
}

function buildOutputTools() {
  $("output-tools").append(make("button", {textContent: "Save picture", onclick: savePicture}));
  if (!model.original) return;
  originalState = "available";
  const button = make("button", {id: "show-original", textContent: "Show the original", onclick: async () => {
    if (originalState === "loading") return;
    if (originalState === "shown") {
      originalState = "available";
      stopLoop("original");
    } else {
      button.textContent = `Loading ${model.original.megabytes} MB`;
      originalState = "loading";
      await openOriginal();
    }
    const isShown = originalState === "shown";
    button.textContent = isShown ? "Hide the original" : "Show the original";
    $("original").hidden = !isShown;
    document.querySelector("main").classList.toggle("three", isShown);
    update();
  }});
  $("output-tools").append(button);
}

/** The file of the original calls this. */
function setOriginal(onnx) {
  originalModel = onnx;
}

async function openOriginal() {
  stopLoop("original");
  try {
    if (!originalModel) await loadScript(model.original.file);
    loops.original.engine = await openNetwork("original", loops.student.engine.backend, originalModel);
    originalState = "shown";
  } catch (error) {
    originalState = "available";
    showMessage(`The original cannot be run: ${error.message}`);
  }
}

function savePicture() {
  $("picture").toBlob((blob) => {
    const link = make("a", {href: URL.createObjectURL(blob), download: "picture.png"});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}

async function buildSamples() {
  for (const [i, sample] of model.samples.entries()) {
    const image = make("img", {src: sample.input});
    await image.decode();
    const canvas = make("canvas", {width: model.width, height: model.height});
    const context = canvas.getContext("2d", {willReadFrequently: true});
    context.drawImage(image, 0, 0, model.width, model.height);
    const picture = context.getImageData(0, 0, model.width, model.height);
    const data = picture.data.slice();
    if (model.kind === "paint") {
      const words = new Uint32Array(picture.data.buffer);
      for (let j = 0; j < words.length; j++) words[j] = toWord(model.classes[data[4 * j]].color);
      context.putImageData(picture, 0, 0);
    }
    const load = () => {
      stopCamera();
      paper.load(data, model.classes);
    };
    const button = make("button", {title: sample.name, onclick: load}, canvas);
    button.setAttribute("aria-label", `Sample ${i + 1}: ${sample.name}`);
    $("samples").append(button);
    if (i === 0) load();
  }
  paper.undone.length = 0;
  $("sample-section").hidden = !model.samples.length;
}

async function startEngine() {
  const names = await findBackends();
  const select = $("backend");
  select.replaceChildren(...names.map((name) => make("option", {value: name, textContent: BACKENDS[name].name})));
  select.onchange = () => useBackend([select.value]);
  const wanted = new URLSearchParams(location.search).get("backend");
  await useBackend(names.includes(wanted) ? [wanted] : names);
}

/** Start a worker and load a network in it. */
async function openNetwork(name, backend, onnx) {
  const engine = await Engine.start(backend);
  try {
    await engine.open(name, await unpack(onnx));
  } catch (error) {
    engine.stop();
    throw error;
  }
  return engine;
}

function stopLoop(name) {
  loops[name].engine?.stop();
  Object.assign(loops[name], {engine: null, isRunning: false});
}

/** Start the first of some backends that runs the student. */
async function useBackend(names) {
  setState("loading");
  stopLoop("student");
  const errors = [];
  for (const name of names) {
    try {
      loops.student.engine = await openNetwork("student", name, model.student.onnx);
      $("backend").value = name;
      break;
    } catch (error) {
      errors.push(`${BACKENDS[name].name}: ${error.message}`);
    }
  }
  if (!loops.student.engine) {
    setState("failed");
    const isMissing = errors.every((error) => error.includes("cannot be loaded"));
    showMessage(isMissing ? "The folder of this page lacks the runtime. In the repository, run: " +
      "python scripts/fetch_runtime.py FOLDER, with this folder, and reload." : `The student cannot be run. ${errors.join("; ")}`);
    return;
  }
  showMessage("");
  if (originalState === "shown") await openOriginal();
  update();
}

/** Note that the input has changed. The newest input counts: those in between are skipped. */
function update() {
  for (const [name, loop] of Object.entries(loops)) {
    loop.isChanged = true;
    if (loop.engine && !loop.isRunning) requestAnimationFrame(() => follow(name));
  }
}

/** Run a network until its picture is that of the newest input. */
async function follow(name) {
  const loop = loops[name];
  const {engine} = loop;
  if (loop.isRunning || !engine) return;
  loop.isRunning = true;
  const isStudent = name === "student";
  try {
    while (loop.isChanged && engine === loop.engine) {
      loop.isChanged = false;
      if (isStudent) setState("busy");
      await runNetwork(name, engine);
      if (isStudent) document.body.dataset.pictures = Number(document.body.dataset.pictures) + 1;
    }
    if (isStudent && engine === loop.engine) setState("ready");
  } catch (error) {
    if (engine !== loop.engine) return;
    if (isStudent) setState("failed");
    showMessage(`The ${name} has failed: ${error.message}`);
  } finally {
    if (engine === loop.engine) loop.isRunning = false;
  }
}

const times = {};

async function runNetwork(name, engine) {
  const loop = loops[name];
  const input = encodeInput(model, paper);
  const {output, milliseconds} = await engine.run(name, input, [1, model.input_nc, model.height, model.width]);
  if (engine !== loop.engine) return;
  const picture = new ImageData(decodeOutput(model, input, output), model.width, model.height);
  $(loop.picture).getContext("2d").putImageData(picture, 0, 0);
  const key = `${name} ${engine.backend}`;
  const recent = times[key] = [...(times[key] ?? []), milliseconds].slice(-9);
  const sorted = [...recent].sort((a, b) => a - b);
  showFacts($(loop.facts), model[name], sorted[sorted.length >> 1], engine);
}

function showFacts(list, network, milliseconds, used) {
  const time = milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds);
  const threads = used.backend === "cpu" ? `, ${used.threads} ${used.threads === 1 ? "thread" : "threads"}` : "";
  const facts = {"time": `${time} ms${threads}`, "file": `${network.megabytes} MB`, "MACs": network.macs,
    "parameters": network.params};
  list.replaceChildren(...Object.entries(facts).filter(([, value]) => value).map(([name, value]) =>
    make("div", {}, make("dt", {textContent: name}), make("dd", {textContent: value}))));
}
