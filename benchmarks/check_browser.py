"""Compare a portable file in LiteRT.js in Chromium with the interpreter, token by token.

    npm install --prefix /tmp/js @litertjs/core
    python benchmarks/check_browser.py --packages /tmp/js/node_modules

A page loads `model.tflite`, calls `encode` once and `decode_step` once per token, passes the state
from call to call by name, and sends the tokens back. The models are `transformer_tiny` and
`rnn_tiny` with random weights.
"""

import argparse
import functools
import http.server
import itertools
import json
import queue
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np

from seq2lite import zoo
from seq2lite.export import static
from seq2lite.export.runtime.interpreter import ModelFile
from seq2lite.export.runtime.static_file import StaticFile, zero_state
from seq2lite.recipes.data.pairs import read_pairs
from seq2lite.recipes.data.samples import VSCODE_VALID
from seq2lite.recipes.data.tokenizers import learn_tokenizer

SOURCE_LENGTH, TARGET_LENGTH, START = 12, 10, 2
TIMEOUT = 120  # seconds
# Log messages of LiteRT.js to print: they contain one of these.
LOG_PATTERNS = ("not supported", "will run on", "not fully compiled", "STRIDED", "GATHER")
PAGE = """<!doctype html><script type="importmap">%(imports)s</script><script type="module">
const send = (result) => fetch('/result', {method: 'POST', body: JSON.stringify(result)});
const logs = [];
for (const kind of ['warn', 'error', 'log', 'info'])
  console[kind] = (...values) => logs.push(values.join(' '));
try {
  const {loadLiteRt, loadAndCompile, Tensor} = await import('@litertjs/core');
  await loadLiteRt('/packages/@litertjs/core/wasm/');
  const model = await loadAndCompile('/model.tflite', {accelerator: '%(accelerator)s'});
  const task = %(task)s;
  const tensor = ({dtype, shape}, data) => new Tensor(
    dtype == 'int32' ? Int32Array.from(data) : Float32Array.from(data), shape);
  const size = (shape) => shape.reduce((a, b) => a * b, 1);
  let state = {};
  for (const [name, spec] of Object.entries(task.state))
    state[name] = tensor(spec, new Array(size(spec.shape)).fill(0));
  Object.assign(state, await model.run('encode', {source: tensor(task.source, task.ids)}));
  let token = [task.start], generated = [];
  const start = performance.now();
  for (let i = 0; i < task.length; i++) {
    const step = {token: tensor({dtype: 'int32', shape: [1]}, token), ...state};
    const {logits, ...update} = await model.run('decode_step', step);
    const values = (await logits.moveTo('wasm')).toTypedArray();
    token = [values.indexOf(Math.max(...values))];
    generated.push(token[0]);
    Object.assign(state, update);
  }
  await send({generated, logs, milliseconds: (performance.now() - start) / task.length});
} catch (error) { await send({error: String(error) + '\\n' + error.stack}); }
</script>"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True, help="folder node_modules")
    parser.add_argument("--browser", default="chromium", help="command (default: chromium)")
    parser.add_argument(
        "--accelerators", nargs="+", default=["wasm"], help="wasm, webgpu (default: wasm)"
    )
    parser.add_argument(
        "--modes",
        nargs="+",
        default=["float32_static", "int8_static"],
        help="quantization modes (default: float32_static int8_static)",
    )
    options = parser.parse_args()
    pairs = read_pairs(VSCODE_VALID)
    tokenizer = learn_tokenizer((text for pair in pairs for text in pair), 1000)
    failed = False
    for preset, mode in itertools.product(("transformer_tiny", "rnn_tiny"), options.modes):
        model = zoo.build(preset, **tokenizer.vocabulary)
        content = static.convert(
            model,
            mode,
            max_source_length=SOURCE_LENGTH,
            max_target_length=TARGET_LENGTH,
            tokenizer=tokenizer,
            calibration=[source for source, _ in pairs[:64]],
        )
        source = np.zeros((1, SOURCE_LENGTH), np.int32)
        source[0, :6] = 5, 17, 80, 33, 9, 3
        file = StaticFile(ModelFile(content), padding=0)
        zeros = zero_state(file.file.inputs("decode_step"))
        expected, state, token = [], file.encode(source), np.array([START], np.int32)
        for _ in range(TARGET_LENGTH):
            state = file.decode_step(token, **state)
            token = state.pop("logits").argmax(axis=-1).astype(np.int32)
            expected.append(int(token[0]))
        task = {
            "state": {
                name: {"dtype": str(value.dtype), "shape": list(value.shape)}
                for name, value in zeros.items()
            },
            "source": {"dtype": "int32", "shape": list(source.shape)},
            "ids": source.ravel().tolist(),
            "start": START,
            "length": TARGET_LENGTH,
        }
        for accelerator in options.accelerators:
            result = run_in_browser(content, task, accelerator, options)
            name = f"{preset}, {mode}, {accelerator}"
            if result.get("generated") != expected:
                failed = True
                print(f"{name}: the tokens must be {expected}. Received: {result}", flush=True)
                continue
            print(f"{name}: {TARGET_LENGTH} tokens equal", flush=True)
            for line in result["logs"]:
                if any(pattern in line for pattern in LOG_PATTERNS):
                    print(f"    {line}", flush=True)
    raise SystemExit(failed)


def run_in_browser(content, task, accelerator, options):
    """Return the message that the page sends after running a file."""
    imports = {
        "imports": {
            f"@litertjs/{package.name}": f"/packages/@litertjs/{package.name}/dist/index.js"
            for package in (options.packages / "@litertjs").iterdir()
        }
    }
    messages = queue.Queue()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_POST(self):
            messages.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "model.tflite").write_bytes(content)
        (folder / "packages").symlink_to(options.packages.resolve())
        (folder / "index.html").write_text(
            PAGE
            % {
                "imports": json.dumps(imports),
                "accelerator": accelerator,
                "task": json.dumps(task),
            }
        )
        handler = functools.partial(Handler, directory=str(folder))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            command = [options.browser, "--headless=new", "--no-sandbox", "--disable-dev-shm-usage"]
            command += [f"--user-data-dir={folder / 'profile'}", "--enable-unsafe-webgpu"]
            command += ["--use-webgpu-adapter=swiftshader"]
            command += [f"http://127.0.0.1:{server.server_port}/"]
            with subprocess.Popen(command, stderr=subprocess.DEVNULL) as browser:
                try:
                    return messages.get(timeout=TIMEOUT)
                except queue.Empty:
                    return {"error": f"no message within {TIMEOUT} s"}
                finally:
                    browser.kill()
                    server.shutdown()


if __name__ == "__main__":
    main()
