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
let engine = null;
let isChanged = false;
let isRunning = false;
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
    if (!isRunning) paper.show(camera, camera.videoWidth, camera.videoHeight);
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
  try {
    if (!originalModel) await loadScript(model.original.file);
    await engine.open("original", await unpack(originalModel));
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

/** Start the first of some backends that runs the student. */
async function useBackend(names) {
  setState("loading");
  const errors = [];
  for (const name of names) {
    engine?.stop();
    engine = null;
    try {
      const started = await Engine.start(name);
      await started.open("student", await unpack(model.student.onnx));
      engine = started;
      $("backend").value = name;
      break;
    } catch (error) {
      errors.push(`${BACKENDS[name].name}: ${error.message}`);
    }
  }
  if (!engine) {
    setState("failed");
    const isMissing = errors.every((error) => error.includes("cannot be loaded"));
    showMessage(isMissing ? "The folder of this page lacks the runtime. In the repository, run: " +
      "python scripts/fetch_runtime.py FOLDER, with this folder, and reload." : `The student cannot be run. ${errors.join("; ")}`);
    return;
  }
  showMessage("");
  isRunning = false;
  if (originalState === "shown") await openOriginal();
  update();
}

/** Note that the input has changed. The newest input counts: those in between are skipped. */
function update() {
  isChanged = true;
  if (!isRunning && engine) requestAnimationFrame(runLoop);
}

async function runLoop() {
  const used = engine;
  if (isRunning || !used) return;
  isRunning = true;
  try {
    while (isChanged && used === engine) {
      isChanged = false;
      setState("busy");
      const input = encodeInput(model, paper);
      await runNetwork("student", used, input, $("picture"), $("student-facts"));
      document.body.dataset.pictures = Number(document.body.dataset.pictures) + 1;
      if (originalState === "shown" && !isChanged) {
        await runNetwork("original", used, input, $("original-picture"), $("original-facts"));
      }
    }
    setState("ready");
  } catch (error) {
    if (used === engine) {
      setState("failed");
      showMessage(`The network has failed: ${error.message}`);
    }
  } finally {
    if (used === engine) isRunning = false;
  }
}

const times = {};

async function runNetwork(name, used, input, canvas, facts) {
  const shape = [1, model.input_nc, model.height, model.width];
  const {output, milliseconds} = await used.run(name, input, shape);
  if (used !== engine) return;
  const picture = new ImageData(decodeOutput(model, input, output), model.width, model.height);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  const key = `${name} ${used.backend}`;
  const recent = times[key] = [...(times[key] ?? []), milliseconds].slice(-9);
  showFacts(facts, model[name], recent.toSorted?.((a, b) => a - b)[recent.length >> 1] ?? milliseconds, used);
}

function showFacts(list, network, milliseconds, used) {
  const time = milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds);
  const threads = used.backend === "cpu" ? `, ${used.threads} ${used.threads === 1 ? "thread" : "threads"}` : "";
  const facts = {"time": `${time} ms${threads}`, "file": `${network.megabytes} MB`, "MACs": network.macs,
    "parameters": network.params};
  list.replaceChildren(...Object.entries(facts).filter(([, value]) => value).map(([name, value]) =>
    make("div", {}, make("dt", {textContent: name}), make("dd", {textContent: value}))));
}
