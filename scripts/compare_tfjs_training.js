#!/usr/bin/env node
// Trains in TensorFlow.js, goes on in gradc, and back in TensorFlow.js: the losses must be those of training in TensorFlow.js
// alone, so weights and the optimizer's state must have come through both folders.
//
//   npm install @tensorflow/tfjs@4.22.0      (anywhere; then NODE_PATH=.../node_modules)
//   scripts/compare_tfjs_training.js [--gradc build/tools/gradc]
//
// Exits 0 if all losses agree, 1 if not, 77 (skip) where TensorFlow.js is not installed.
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

const kBound = 1e-5, kRows = 12, kSteps = 4;
let gradc = path.join(__dirname, '..', 'build/tools/gradc');
for (let i = 2; i < process.argv.length; ++i) if (process.argv[i] === '--gradc') gradc = process.argv[++i];
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gradc-tfjs-'));

const kOptimizers = {
  sgd: () => tf.train.sgd(0.1),
  momentum: () => tf.train.momentum(0.05, 0.9),
  nesterov: () => tf.train.momentum(0.05, 0.9, true),
  rmsprop: () => tf.train.rmsprop(0.01, 0.9),
  rmsprop_momentum: () => tf.train.rmsprop(0.01, 0.8, 0.5),
  adam: () => tf.train.adam(0.02),
  adagrad: () => tf.train.adagrad(0.1),
};

function makeModel(optimizer) {
  const init = (seed) => tf.initializers.glorotUniform({ seed });
  const model = tf.sequential({ layers: [
    tf.layers.dense({ units: 6, activation: 'tanh', inputShape: [5], kernelInitializer: init(1), name: 'hidden' }),
    tf.layers.dense({ units: 3, activation: 'softmax', kernelInitializer: init(2), name: 'classes' })] });
  model.compile({ optimizer, loss: 'categoricalCrossentropy' });
  return model;
}

function writeFolder(artifacts, to) {
  fs.mkdirSync(to, { recursive: true });
  const data = Array.isArray(artifacts.weightData) ? artifacts.weightData : [artifacts.weightData];
  fs.writeFileSync(path.join(to, 'weights.bin'), Buffer.concat(data.map(part => Buffer.from(part))));
  fs.writeFileSync(path.join(to, 'model.json'), JSON.stringify({
    modelTopology: artifacts.modelTopology, format: artifacts.format, generatedBy: artifacts.generatedBy,
    convertedBy: artifacts.convertedBy, trainingConfig: artifacts.trainingConfig,
    weightsManifest: [{ paths: ['weights.bin'], weights: artifacts.weightSpecs }] }));
}

async function saveTo(model, to) {
  await model.save({ save: async artifacts => {
    writeFolder(artifacts, to);
    return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
  } }, { includeOptimizer: true });
}

function loadFrom(from) {
  return tf.loadLayersModel({ load: async () => {
    const json = JSON.parse(fs.readFileSync(path.join(from, 'model.json'), 'utf8'));
    const shards = json.weightsManifest.flatMap(group => group.paths.map(p => fs.readFileSync(path.join(from, p))));
    return { ...json, weightSpecs: json.weightsManifest.flatMap(group => group.weights),
             weightData: new Uint8Array(Buffer.concat(shards)).buffer };
  } });
}

function writeData(file, arrays) {
  const header = {};
  let at = 0;
  for (const [name, { values, shape }] of Object.entries(arrays)) {
    header[name] = { dtype: 'F32', shape, data_offsets: [at, at + values.byteLength] };
    at += values.byteLength;
  }
  let text = JSON.stringify(header);
  text = text.padEnd(8 * Math.ceil(text.length / 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  fs.writeFileSync(file, Buffer.concat([length, Buffer.from(text), ...Object.values(arrays).map(a => Buffer.from(a.values.buffer))]));
}

async function trainThere(model, x, y, losses) {
  for (let i = 0; i < kSteps; ++i) losses.push(Number(await model.trainOnBatch(x, y)));
}

function trainHere(from, to, data, losses) {
  const log = path.join(folder, 'log.jsonl');
  fs.rmSync(log, { force: true });
  const result = spawnSync(gradc, ['train', from, '--data', data, '--batch-size', String(kRows), '--epochs', String(kSteps), '--out', to,
                                   '--log', log], { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`gradc train: ${result.stderr}`);
  if (result.stderr.includes('left-out')) throw new Error(result.stderr);
  for (const line of fs.readFileSync(log, 'utf8').trim().split('\n')) losses.push(JSON.parse(line).loss);
}

async function main() {
  await tf.setBackend('cpu');
  const values = Float32Array.from({ length: kRows * 5 }, (_, i) => Math.sin(1 + 1.7 * i));
  const targets = Float32Array.from({ length: kRows * 3 }, (_, i) => (i % 3 === Math.floor(i / 3) % 3 ? 1 : 0));
  const x = tf.tensor(values, [kRows, 5]), y = tf.tensor(targets, [kRows, 3]);
  const data = path.join(folder, 'data.safetensors');
  writeData(data, { x_train: { values, shape: [kRows, 5] }, y_train: { values: targets, shape: [kRows, 3] } });
  let bad = 0;
  for (const [name, optimizer] of Object.entries(kOptimizers)) {
    let text;
    try {
      const alone = [], mixed = [];
      const one = makeModel(optimizer());
      for (let part = 0; part < 3; ++part) await trainThere(one, x, y, alone);
      const first = makeModel(optimizer());
      await trainThere(first, x, y, mixed);
      const there = path.join(folder, name + '_there'), back = path.join(folder, name + '_back/');
      await saveTo(first, there);
      trainHere(there, back, data, mixed);
      await trainThere(await loadFrom(back), x, y, mixed);
      const largest = Math.max(...alone.map((loss, i) => Math.abs(loss - mixed[i])));
      text = `${largest <= kBound ? 'ok    ' : 'FAILED'} ${name}: ${alone.length} losses from ${alone[0].toFixed(5)} to ` +
        `${alone.at(-1).toFixed(5)}, largest difference ${largest.toExponential(2)}`;
    } catch (error) {
      text = `FAILED ${name}: ${error.message}`;
    }
    bad += text.startsWith('FAILED') ? 1 : 0;
    console.log(text);
  }
  fs.rmSync(folder, { recursive: true });
  process.exit(bad === 0 ? 0 : 1);
}
main().catch(error => { console.error(error); process.exit(1); });
