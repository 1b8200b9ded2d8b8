#!/usr/bin/env node
// Opens folders that `gradc convert` wrote with TensorFlow.js itself, and compares its predictions with `gradc predict` of the
// model that was converted.
//
//   npm install @tensorflow/tfjs@4.22.0      (anywhere; then NODE_PATH=.../node_modules)
//   scripts/compare_tfjs_files.js [--gradc build/tools/gradc] [MODEL...]
//
// MODEL: files with weights that gradc reads, of one input; default: those of tests/exchange. Exits 0 if all differences are in
// bounds, 1 if not, 77 (skip) where TensorFlow.js is not installed.
'use strict';
const fs = require('fs');
const os = require('os');
const path = require('path');
const { spawnSync } = require('child_process');

let tf;
try {
  tf = require('@tensorflow/tfjs');
} catch (error) {
  console.log(`skipped: ${error.message.split('\n')[0]}`);
  process.exit(77);
}

const kBound = 1e-5, kBatch = 4;
const root = path.join(__dirname, '..');
let gradc = path.join(root, 'build/tools/gradc');
const models = [];
for (let i = 2; i < process.argv.length; ++i) {
  if (process.argv[i] === '--gradc') gradc = process.argv[++i];
  else models.push(process.argv[i]);
}
if (models.length === 0)
  for (const name of ['whole.h5', 'keras3.keras', 'tfjs']) models.push(path.join(root, 'tests/exchange', name));

function run(...words) {
  const result = spawnSync(gradc, words, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`gradc ${words.join(' ')}\n${result.stderr}`);
}

function writeNpy(file, values, shape) {
  let header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`;
  header = header.padEnd(64 * Math.ceil((header.length + 11) / 64) - 11) + '\n';
  const begin = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8]);
  fs.writeFileSync(file, Buffer.concat([begin, Buffer.from(header), Buffer.from(values.buffer)]));
}

// Every tensor of a safetensors file by its name.
function readSafetensors(file) {
  const bytes = fs.readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const tensors = {};
  for (const [name, entry] of Object.entries(JSON.parse(bytes.toString('utf8', 8, 8 + length)))) {
    if (name === '__metadata__') continue;
    const part = bytes.subarray(8 + length + entry.data_offsets[0], 8 + length + entry.data_offsets[1]);
    tensors[name] = new Float32Array(new Uint8Array(part).buffer);
  }
  return tensors;
}

// A folder as tf.loadLayersModel wants it.
function handler(folder) {
  return {
    load: async () => {
      const json = JSON.parse(fs.readFileSync(path.join(folder, 'model.json'), 'utf8'));
      const shards = json.weightsManifest.flatMap(group => group.paths.map(p => fs.readFileSync(path.join(folder, p))));
      const data = new Uint8Array(Buffer.concat(shards));
      return { modelTopology: json.modelTopology, format: json.format, generatedBy: json.generatedBy,
               convertedBy: json.convertedBy, weightSpecs: json.weightsManifest.flatMap(group => group.weights),
               weightData: data.buffer };
    }
  };
}

async function main() {
  await tf.setBackend('cpu');
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gradc-tfjs-'));
  let bad = 0;
  for (const model of models) {
    const written = path.join(folder, path.basename(model) + '_tfjs/');
    run('convert', model, '-o', written, '--no-warn', 'assumed');
    const web = await tf.loadLayersModel(handler(written));
    const shape = [kBatch, ...web.inputs[0].shape.slice(1)];
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(1 + 0.37 * i));
    writeNpy(path.join(folder, 'x.npy'), values, shape);
    run('predict', model, '--in', path.join(folder, 'x.npy'), '--out', path.join(folder, 'y.safetensors'), '--no-warn', 'assumed');
    const ours = Object.values(readSafetensors(path.join(folder, 'y.safetensors')));
    const theirs = [web.predict(tf.tensor(values, shape))].flat().map(t => t.dataSync());
    let largest = 0;
    theirs.forEach((tensor, k) => tensor.forEach((v, i) => { largest = Math.max(largest, Math.abs(v - ours[k][i])); }));
    const good = ours.length === theirs.length && largest <= kBound;
    console.log(`${good ? 'ok    ' : 'FAILED'} ${path.basename(model)}: largest difference ${largest.toExponential(2)}`);
    bad += good ? 0 : 1;
  }
  fs.rmSync(folder, { recursive: true });
  process.exit(bad === 0 ? 0 : 1);
}
main().catch(error => { console.error(error); process.exit(1); });
