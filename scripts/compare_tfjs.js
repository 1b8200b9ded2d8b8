#!/usr/bin/env node
// Compares the optimizers' "epsilon_as": "tensorflow_js" with TensorFlow.js itself: 20 steps of a small network on one
// batch, by tf.train's classes on the CPU backend and by `gradc run`. An epsilon of 0.02 makes its place show: with
// Keras's formula of Adam the same comparison is off by more than a hundredth.
//
//   npm install @tensorflow/tfjs@4.22.0      (anywhere; then NODE_PATH=.../node_modules)
//   scripts/compare_tfjs.js [--gradc build/tools/gradc] [--store tests/peer]
//
// --store writes model, inputs and TensorFlow.js's results as files that the normal tests replay. Exits 0 if all
// differences are in bounds, 1 if not, 77 (skip) where TensorFlow.js is not installed.
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

const kSteps = 20, kBound = 1e-5, kEpsilon = 0.02;
const kBatch = 8, kInputs = 6, kHidden = 7, kOutputs = 3;

function option(name, otherwise) {
  const at = process.argv.indexOf(name);
  return at < 0 ? otherwise : process.argv[at + 1];
}

// Numbers of a linear congruential generator, the same everywhere.
let state = 12345;
function numbers(count, scale) {
  const values = new Float32Array(count);
  for (let i = 0; i < count; ++i) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    values[i] = (state / 0x40000000 - 1) * scale;
  }
  return values;
}

function writeSafetensors(file, tensors) {
  const header = {}, blobs = [];
  let offset = 0;
  for (const name of Object.keys(tensors).sort()) {
    const { shape, values } = tensors[name];
    const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + bytes.length] };
    blobs.push(bytes);
    offset += bytes.length;
  }
  let text = JSON.stringify(header);
  text += ' '.repeat((8 - text.length % 8) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  fs.writeFileSync(file, Buffer.concat([length, Buffer.from(text), ...blobs]));
}

function readSafetensors(file) {
  const bytes = fs.readFileSync(file);
  const size = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + size));
  const result = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__' || entry.dtype !== 'F32') continue;
    const [begin, end] = entry.data_offsets;
    result[name] = new Float32Array(bytes.buffer.slice(bytes.byteOffset + 8 + size + begin,
                                                       bytes.byteOffset + 8 + size + end));
  }
  return result;
}

const kOptimizers = {
  adam: [{ type: 'adam', learning_rate: 0.02, epsilon: kEpsilon },
         () => tf.train.adam(0.02, 0.9, 0.999, kEpsilon)],
  adam_betas: [{ type: 'adam', learning_rate: 0.01, beta_1: 0.8, beta_2: 0.9, epsilon: kEpsilon },
               () => tf.train.adam(0.01, 0.8, 0.9, kEpsilon)],
  adamax: [{ type: 'adamax', learning_rate: 0.02, epsilon: kEpsilon },
           () => tf.train.adamax(0.02, 0.9, 0.999, kEpsilon, 0)],
  rmsprop: [{ type: 'rmsprop', learning_rate: 0.01, rho: 0.9, epsilon: kEpsilon },
            () => tf.train.rmsprop(0.01, 0.9, 0, kEpsilon)],
  rmsprop_momentum: [{ type: 'rmsprop', learning_rate: 0.005, rho: 0.9, momentum: 0.8, epsilon: kEpsilon },
                     () => tf.train.rmsprop(0.005, 0.9, 0.8, kEpsilon)],
  // TensorFlow.js's Adagrad has an epsilon of its own, the backend's.
  adagrad: [{ type: 'adagrad', learning_rate: 0.05, initial_accumulator_value: 0.1, epsilon: tf.backend().epsilon() },
            () => tf.train.adagrad(0.05, 0.1)],
};

function modelOf(name, optimizer) {
  const init = { ...optimizer, epsilon_as: 'tensorflow_js' };
  return {
    name: `tfjs_${name}`,
    inputs: [{ name: 'x', shape: [kInputs] }],
    layers: [{ type: 'dense', name: 'd0', units: kHidden, activation: 'tanh' },
             { type: 'dense', name: 'd1', units: kOutputs }],
    training: { loss: 'mse', optimizer: init, batch_size: kBatch },
  };
}

function trained(makeOptimizer, start, x, y) {
  const w = Object.fromEntries(Object.entries(start).map(
    ([name, t]) => [name, tf.variable(tf.tensor(t.values, t.shape))]));
  const xs = tf.tensor(x.values, x.shape), ys = tf.tensor(y.values, y.shape);
  const optimizer = makeOptimizer();
  for (let step = 0; step < kSteps; ++step) {
    optimizer.minimize(() => tf.tidy(() => {
      const hidden = tf.tanh(tf.add(tf.matMul(xs, w['d0/kernel']), w['d0/bias']));
      const output = tf.add(tf.matMul(hidden, w['d1/kernel']), w['d1/bias']);
      return tf.mean(tf.square(tf.sub(output, ys)));
    }), false, Object.values(w));
  }
  return Object.fromEntries(Object.entries(w).map(([name, v]) => [name, v.dataSync()]));
}

function difference(actual, expected) {
  let worst = 0;
  for (const [name, want] of Object.entries(expected)) {
    const got = actual[name];
    if (!got || got.length !== want.length) return Infinity;
    let scale = 1e-12, most = 0;
    for (let i = 0; i < want.length; ++i) {
      scale = Math.max(scale, Math.abs(want[i]));
      most = Number.isFinite(got[i]) ? Math.max(most, Math.abs(got[i] - want[i])) : Infinity;
    }
    worst = Math.max(worst, most / scale);
  }
  return worst;
}

async function main() {
  await tf.setBackend('cpu');
  const gradc = option('--gradc', path.join(__dirname, '../build/tools/gradc'));
  const store = option('--store', null);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gradc-tfjs-'));
  let failed = false;
  const run = (name, model, tensors, formula) => {
    const file = path.join(folder, name);
    model.training.optimizer.epsilon_as = formula;
    fs.writeFileSync(`${file}.json`, JSON.stringify(model, null, 1) + '\n');
    writeSafetensors(`${file}.in.safetensors`, tensors);
    const ran = spawnSync(gradc, ['run', `${file}.json`, '--entry', 'train_step', '--steps', `${kSteps}`, '--in',
                                  `${file}.in.safetensors`, '--out', `${file}.out.safetensors`], { encoding: 'utf8' });
    if (ran.status !== 0) throw new Error(`gradc run: ${ran.stderr || ran.error}`);
    return readSafetensors(`${file}.out.safetensors`);
  };
  for (const [name, [optimizer, make]] of Object.entries(kOptimizers)) {
    const start = {
      'd0/kernel': { shape: [kInputs, kHidden], values: numbers(kInputs * kHidden, 0.5) },
      'd0/bias': { shape: [kHidden], values: numbers(kHidden, 0.2) },
      'd1/kernel': { shape: [kHidden, kOutputs], values: numbers(kHidden * kOutputs, 0.5) },
      'd1/bias': { shape: [kOutputs], values: numbers(kOutputs, 0.2) },
    };
    const x = { shape: [kBatch, kInputs], values: numbers(kBatch * kInputs, 1) };
    const y = { shape: [kBatch, kOutputs], values: numbers(kBatch * kOutputs, 1) };
    const expected = trained(make, start, x, y);
    const model = modelOf(name, optimizer);
    const tensors = { ...start, 'input/x': x, 'target/d1': y };
    const keras = difference(run(name, model, tensors, 'keras'), expected);
    const own = difference(run(name, model, tensors, 'tensorflow_js'), expected);
    console.log(`${name.padEnd(18)} tensorflow_js ${own.toExponential(2)}   keras ${keras.toExponential(2)}`);
    failed = failed || !(own < kBound) || (name.startsWith('adam') && name !== 'adamax' && !(keras > 1e-3));
    if (store) {
      const file = path.join(store, `${model.name}.train_step`);
      fs.writeFileSync(`${file}.json`, JSON.stringify(model, null, 1) + '\n');
      for (const [key, values] of Object.entries(expected))
        tensors[`expected/${key}`] = { shape: start[key].shape, values };
      writeSafetensors(`${file}.safetensors`, tensors);
    }
  }
  fs.rmSync(folder, { recursive: true });
  process.exit(failed ? 1 : 0);
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
