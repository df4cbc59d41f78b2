"use strict";
// ONNX Runtime Web in a worker, so that the page answers while a network runs. The worker is made from the text
// of a function: a page that is opened as a file cannot start a worker from another file.

function workerMain() {
  const sessions = {};
  const address = (text) => URL.createObjectURL(new Blob([text], {type: "text/javascript"}));
  const handlers = {
    async start({script, module, wasm, threads}) {
      importScripts(address(script));
      ort.env.wasm.wasmBinary = wasm;
      ort.env.wasm.wasmPaths = {mjs: address(module)};
      ort.env.wasm.numThreads = threads;
      return {};
    },
    async open({name, model, provider}) {
      sessions[name] = await ort.InferenceSession.create(new Uint8Array(model), {executionProviders: [provider]});
      return {};
    },
    async run({name, input, shape}) {
      const session = sessions[name];
      const started = performance.now();
      const results = await session.run({[session.inputNames[0]]: new ort.Tensor("float32", input, shape)});
      const output = await results[session.outputNames[0]].getData();
      return {output, milliseconds: performance.now() - started};
    },
  };
  self.onmessage = async ({data}) => {
    try {
      self.postMessage({id: data.id, ...await handlers[data.action](data)});
    } catch (error) {
      self.postMessage({id: data.id, error: String(error?.message ?? error)});
    }
  };
}

const BACKENDS = {
  webgpu: {name: "GPU (WebGPU)", file: "runtime/webgpu.js", provider: "webgpu"},
  cpu: {name: "processor (WebAssembly)", file: "runtime/cpu.js", provider: "wasm"},
};

const runtimes = {};

/** The files in runtime/ call this. */
function setRuntime(name, files) {
  runtimes[name] = files;
}

/** Load a script that calls one of the page's functions; it need not come from a server. */
function loadScript(source) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${source} cannot be loaded`));
    document.head.append(script);
  });
}

/** Return the names of the backends that this browser has, the fastest first. */
async function findBackends() {
  let adapter = null;
  try { adapter = await navigator.gpu?.requestAdapter(); } catch { /* no GPU */ }
  if (!adapter) return ["cpu"];
  const isEmulated = adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter;
  return isEmulated ? ["cpu", "webgpu"] : ["webgpu", "cpu"];
}

/** A running copy of the runtime on one backend. */
class Engine {
  /** Start a worker; throws an Error if the backend does not start. */
  static async start(backend) {
    if (!runtimes[backend]) await loadScript(BACKENDS[backend].file);
    const engine = new Engine();
    engine.backend = backend;
    engine.provider = BACKENDS[backend].provider;
    // several threads need memory that they share, which browsers allow only with two headers (serve.py)
    engine.threads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
    engine.worker = new Worker(URL.createObjectURL(new Blob([`(${workerMain})()`], {type: "text/javascript"})));
    engine.waiting = new Map();
    engine.count = 0;
    engine.worker.onmessage = ({data}) => {
      const [resolve, reject] = engine.waiting.get(data.id);
      engine.waiting.delete(data.id);
      if (data.error) reject(new Error(data.error)); else resolve(data);
    };
    engine.worker.onerror = (event) => {
      for (const [, reject] of engine.waiting.values()) reject(new Error(event.message || "the worker has failed"));
      engine.waiting.clear();
    };
    const [script, module, wasm] = await Promise.all(["script", "module", "wasm"].map((part) => unpack(runtimes[backend][part])));
    await engine.call("start", {script, module, wasm, threads: engine.threads});
    return engine;
  }

  call(action, values) {
    return new Promise((resolve, reject) => {
      const id = this.count++;
      this.waiting.set(id, [resolve, reject]);
      this.worker.postMessage({id, action, ...values});
    });
  }

  /** Load a network from the bytes of its ONNX file. */
  open(name, model) {
    return this.call("open", {name, model, provider: this.provider});
  }

  /** Run a network; returns its output and the milliseconds that it took. */
  run(name, input, shape) {
    return this.call("run", {name, input, shape});
  }

  stop() {
    this.worker.terminate();
  }
}
