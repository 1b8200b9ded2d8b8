#!/usr/bin/env node
// Opens ONNX files that `gradc convert` wrote with ONNX Runtime, and compares its predictions with gradc's own.
//
//   npm install onnxruntime-node             (anywhere; then NODE_PATH=.../node_modules)
//   scripts/compare_onnx.js [--gradc build/tools/gradc] [MODEL...]
//
// MODEL: any model that gradc reads; one without weights in its file gets random ones. Default: the files of tests/exchange and
// the networks of scripts/onnx_cases.json. Two batches are tried where the file says that any may be. Exits 0 if all differences
// are in bounds, 1 if not, 77 (skip) where ONNX Runtime is not installed.
'use strict';
const fs = require('fs');
const os = require('os');
const path = require('path');
const { spawnSync } = require('child_process');

let ort;
try {
  ort = require('onnxruntime-node');
} catch (error) {
  console.log(`skipped: ${error.message.split('\n')[0]}`);
  process.exit(77);
}

const kBound = 1e-5;
const root = path.join(__dirname, '..');
let gradc = path.join(root, 'build/tools/gradc');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gradc-onnx-'));
const models = [];
for (let i = 2; i < process.argv.length; ++i) {
  if (process.argv[i] === '--gradc') gradc = process.argv[++i];
  else models.push(process.argv[i]);
}
if (models.length === 0) {
  for (const name of ['whole.h5', 'keras3.keras', 'tfjs']) models.push(path.join(root, 'tests/exchange', name));
  for (const [name, model] of Object.entries(JSON.parse(fs.readFileSync(path.join(__dirname, 'onnx_cases.json'), 'utf8')))) {
    const file = path.join(folder, `${name}.json`);
    fs.writeFileSync(file, JSON.stringify(model));
    models.push(file);
  }
}

function run(...words) {
  const result = spawnSync(gradc, words, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (result.status !== 0) throw new Error(`gradc ${words.join(' ')}\n${result.stderr}`);
  return result.stdout;
}

let state = 1;
function random() {  // the same numbers on every run
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 4294967296;
}

const kTypes = { f32: ['F32', Float32Array], i32: ['I32', Int32Array], i64: ['I64', BigInt64Array] };

// Values for inputs and parameters of a graph, by what its text says of them.
function draw(type, dims, name) {
  const count = dims.reduce((a, b) => a * b, 1);
  const [, Kind] = kTypes[type];
  if (type !== 'f32') return Kind.from({ length: count }, () => type === 'i64' ? BigInt(Math.floor(2 * random())) : Math.floor(2 * random()));
  const positive = name.endsWith('variance') || name.endsWith('count');
  const fan = dims.slice(0, -1).reduce((a, b) => a * b, 1);
  const width = name.startsWith('input/') ? 1 : dims.length < 2 ? 0.3 : Math.min(0.5, Math.sqrt(3 / fan));
  return Kind.from({ length: count }, () => positive ? 0.5 + random() : width * (2 * random() - 1));
}

function tensorsOf(model, batch) {
  const found = { input: [], param: [] };
  for (const line of run('inspect', model, '--stage', 'graph', '--batch-size', String(batch), '--no-warn', 'assumed').split('\n')) {
    const match = /^\s*(input|param|state) %\S+\s*: (\w+)\[([\dx]*)\] \{name=([^,}]+)/.exec(line);
    if (!match || (match[1] === 'input' && !match[4].startsWith('input/'))) continue;
    const dims = match[3] === '' ? [] : match[3].split('x').map(Number);
    found[match[1] === 'input' ? 'input' : 'param'].push({ type: match[2], dims, name: match[4] });
  }
  return found;
}

function writeSafetensors(file, tensors) {
  const header = {};
  const parts = [];
  let at = 0;
  for (const { name, type, dims, values } of tensors) {
    const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    header[name] = { dtype: kTypes[type][0], shape: dims, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
    parts.push(bytes);
  }
  let text = JSON.stringify(header);
  text = text.padEnd(8 * Math.ceil(text.length / 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  fs.writeFileSync(file, Buffer.concat([length, Buffer.from(text), ...parts]));
}

function readSafetensors(file) {
  const bytes = fs.readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const tensors = {};
  for (const [name, entry] of Object.entries(JSON.parse(bytes.toString('utf8', 8, 8 + length)))) {
    if (name === '__metadata__') continue;
    const part = bytes.subarray(8 + length + entry.data_offsets[0], 8 + length + entry.data_offsets[1]);
    const Kind = Object.values(kTypes).find(([type]) => type === entry.dtype)[1];
    tensors[name] = new Kind(new Uint8Array(part).buffer);
  }
  return tensors;
}

async function compare(model) {
  const onnx = path.join(folder, path.basename(model) + '.onnx');
  const inFile = !model.endsWith('.json');  // its weights
  const weights = path.join(folder, path.basename(model) + '.w.safetensors');
  if (!inFile) writeSafetensors(weights, tensorsOf(model, 2).param.map(p => ({ ...p, values: draw(p.type, p.dims, p.name) })));
  run('convert', model, ...(inFile ? [] : ['--weights', weights]), '-o', onnx, '--no-warn', 'assumed');
  const session = await ort.InferenceSession.create(onnx, { logSeverityLevel: 3 });
  let largest = 0;
  for (const batch of [3, 5]) {
    const inputs = tensorsOf(model, batch).input.map(p => ({ ...p, values: draw(p.type, p.dims, p.name) }));
    writeSafetensors(path.join(folder, 'in.safetensors'), inputs.map(p => ({ ...p, name: p.name.slice('input/'.length) })));
    run('predict', model, ...(inFile ? [] : ['--weights', weights]), '--in', path.join(folder, 'in.safetensors'), '--out',
        path.join(folder, 'out.safetensors'), '--no-warn', 'assumed');
    const ours = readSafetensors(path.join(folder, 'out.safetensors'));
    const feeds = {};
    const kinds = { f32: 'float32', i32: 'int32', i64: 'int64' };
    for (const { type, dims, name, values } of inputs)
      feeds[name.slice('input/'.length)] = new ort.Tensor(kinds[type], values, dims);
    const theirs = await session.run(feeds);
    for (const [name, values] of Object.entries(ours)) {
      const other = theirs[name.replace(/^output\//, '')];
      if (other === undefined || other.data.length !== values.length) throw new Error(`${name} has ${values.length} numbers, there ${other && other.data.length} of ${Object.keys(theirs)}`);
      values.forEach((v, i) => {
        const difference = Math.abs(Number(v) - Number(other.data[i])) / Math.max(1, Math.abs(Number(v)));
        if (!(difference <= largest)) largest = difference;
      });
    }
  }
  return largest;
}

async function main() {
  let bad = 0;
  for (const model of models) {
    let text;
    try {
      const largest = await compare(model);
      text = `largest difference ${largest.toExponential(2)}`;
      if (!(largest <= kBound)) text = `FAILED ${text}`;
    } catch (error) {
      text = `FAILED ${error.message.slice(0, 600)}`;
    }
    bad += text.startsWith('FAILED') ? 1 : 0;
    console.log(`${text.startsWith('FAILED') ? '' : 'ok     '}${path.basename(model)}: ${text}`);
  }
  fs.rmSync(folder, { recursive: true });
  process.exit(bad === 0 ? 0 : 1);
}
main().catch(error => { console.error(error); process.exit(1); });
