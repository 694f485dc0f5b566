"""A portable file in a browser: LiteRT.js in Chromium against the interpreter, token by token.

    npm install --prefix /tmp/js @litertjs/core
    python benchmarks/check_browser.py --packages /tmp/js/node_modules

A page loads `model.tflite`, runs `encode` once and `decode_step` token by token, the state by name from
call to call, and sends the tokens back. Small models with random weights, of both families.
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
from seq2lite.export.runtime.interpreter import open_interpreter
from seq2lite.export.runtime.static_file import StaticFile
from seq2lite.recipes.data.pairs import read_pairs
from seq2lite.recipes.data.samples import VSCODE_VALID
from seq2lite.recipes.data.tokenizers import learn_tokenizer

SOURCE_LENGTH, TARGET_LENGTH, START = 12, 10, 2
TIMEOUT = 120  # seconds
TOLD = ("not supported", "will run on", "not fully compiled", "STRIDED", "GATHER")
PAGE = """<!doctype html><script type="importmap">%(imports)s</script><script type="module">
const send = (found) => fetch('/found', {method: 'POST', body: JSON.stringify(found)});
const warnings = [];
for (const kind of ['warn', 'error', 'log', 'info'])
  console[kind] = (...words) => warnings.push(words.join(' '));
try {
  const {loadLiteRt, loadAndCompile, Tensor} = await import('@litertjs/core');
  await loadLiteRt('/packages/@litertjs/core/wasm/');
  const model = await loadAndCompile('/model.tflite', {accelerator: '%(accelerator)s'});
  const given = %(given)s;
  const tensor = ({dtype, shape}, data) => new Tensor(
    dtype == 'int32' ? Int32Array.from(data) : Float32Array.from(data), shape);
  const size = (shape) => shape.reduce((a, b) => a * b, 1);
  let state = {};
  for (const [name, one] of Object.entries(given.state))
    state[name] = tensor(one, new Array(size(one.shape)).fill(0));
  Object.assign(state, await model.run('encode', {source: tensor(given.source, given.ids)}));
  let token = [given.start], said = [];
  const start = performance.now();
  for (let i = 0; i < given.length; i++) {
    const step = {token: tensor({dtype: 'int32', shape: [1]}, token), ...state};
    const {logits, ...after} = await model.run('decode_step', step);
    const values = (await logits.moveTo('wasm')).toTypedArray();
    token = [values.indexOf(Math.max(...values))];
    said.push(token[0]);
    Object.assign(state, after);
  }
  await send({said, warnings, milliseconds: (performance.now() - start) / given.length});
} catch (error) { await send({error: String(error) + '\\n' + error.stack}); }
</script>"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True, help="node_modules")
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--accelerators", nargs="+", default=["wasm"], help="wasm, webgpu")
    parser.add_argument("--modes", nargs="+", default=["float32_static", "int8_static"])
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
        file = StaticFile(open_interpreter(content, 1, preset), padding=0)
        expected, state, token = [], file.encode(source), np.array([START], np.int32)
        for _ in range(TARGET_LENGTH):
            state = file.decode_step(token, **state)
            token = state.pop("logits").argmax(axis=-1).astype(np.int32)
            expected.append(int(token[0]))
        given = {
            "state": {
                name: {"dtype": str(value.dtype), "shape": list(value.shape)}
                for name, value in file.first_state().items()
            },
            "source": {"dtype": "int32", "shape": list(source.shape)},
            "ids": source.ravel().tolist(),
            "start": START,
            "length": TARGET_LENGTH,
        }
        for accelerator in options.accelerators:
            found = in_browser(content, given, accelerator, options)
            if found.get("said") != expected:
                failed = True
                print(f"{preset}, {mode}, {accelerator}: {found} must say {expected}", flush=True)
                continue
            print(f"{preset}, {mode}, {accelerator}: {TARGET_LENGTH} tokens equal", flush=True)
            for line in found["warnings"]:
                if any(words in line for words in TOLD):
                    print(f"    {line}", flush=True)
    raise SystemExit(failed)


def in_browser(content, given, accelerator, options):
    """What the page sends of a file."""
    imports = {
        "imports": {
            f"@litertjs/{package.name}": f"/packages/@litertjs/{package.name}/dist/index.js"
            for package in (options.packages / "@litertjs").iterdir()
        }
    }
    answers = queue.Queue()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_POST(self):
            answers.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
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
                "given": json.dumps(given),
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
                    return answers.get(timeout=TIMEOUT)
                except queue.Empty:
                    return {"error": f"no answer in {TIMEOUT} s"}
                finally:
                    browser.kill()
                    server.shutdown()


if __name__ == "__main__":
    main()
