// A policy-gradient agent (REINFORCE, Williams 1992) that balances a pole on a cart: the loss is
// the host's. The policy is a network of the four numbers of a state with two outputs, the logits
// of a push to the left and to the right. Of what was played, the host knows the gradient of the
// outputs,
//
//   d loss / d logits = (softmax(logits) - the action taken) * advantage / number of steps,
//
// gradc gives those of the weights and makes the optimizer's step.
//
// Two sessions have the same weights: one of 16 rows plays 16 carts at a time, one of 512 learns.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <gradc/session.h>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

namespace {

constexpr const char* kPolicy = R"({
  "name": "policy", "inputs": [{"name": "state", "shape": [4]}],
  "layers": [{"type": "dense", "units": 32, "activation": "tanh"},
             {"type": "dense", "units": 2, "name": "logits"}],
  "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true},
               "optimizer": {"type": "adam", "learning_rate": 0.02}, "batch_size": 512}})";

constexpr size_t kCarts = 16;
constexpr int kLongest = 200;  // steps of an episode
constexpr int kUpdates = 40;
constexpr float kDiscount = 0.99F;
constexpr double kBound = 150.0;  // what the mean return has to reach; by chance it is about 22

using State = std::array<float, 4>;  // place, speed, angle, its speed

/// Barto, Sutton and Anderson 1983, equations of motion with Euler steps of 0.02 s. False when the
/// pole fell or the cart left its track.
bool push(State& state, bool right) {
  constexpr float gravity = 9.8F, pole = 0.1F, total = 1.1F, half_length = 0.5F, tau = 0.02F;
  const float force = right ? 10.0F : -10.0F;
  const float sine = std::sin(state[2]), cosine = std::cos(state[2]);
  const float moment = pole * half_length;
  const float thrust = (force + moment * state[3] * state[3] * sine) / total;
  const float turn = (gravity * sine - cosine * thrust) /
                     (half_length * (4.0F / 3.0F - pole * cosine * cosine / total));
  const float push = thrust - moment * turn * cosine / total;
  state = {state[0] + tau * state[1], state[1] + tau * push, state[2] + tau * state[3],
           state[3] + tau * turn};
  return std::abs(state[0]) < 2.4F && std::abs(state[2]) < 0.2095F;
}

float chance_of_right(const float* logits) {
  return 1.0F / (1.0F + std::exp(logits[0] - logits[1]));
}

/// What was seen, done, and gained from there on.
struct Played {
  std::vector<State> states;
  std::vector<bool> rights;
  std::vector<float> returns;
};

struct Fault {
  std::string text;
};
void check(const gradc::SessionStatus& status) {
  if (!status.ok()) throw Fault{status.message};
}

/// One episode of each cart; the mean of their lengths.
double play(gradc::Session& actor, std::mt19937& random, Played& played) {
  std::uniform_real_distribution<float> around(-0.05F, 0.05F), chance(0.0F, 1.0F);
  std::array<State, kCarts> carts;
  for (State& cart : carts)
    std::ranges::generate(cart, [&] { return around(random); });
  std::array<Played, kCarts> each;
  std::array<bool, kCarts> over{};
  std::array<float, 2 * kCarts> logits{};
  const gradc::View states(carts.front().data(), {kCarts, 4});
  const gradc::MutableView outputs(logits.data(), {kCarts, 2});
  for (int step = 0; step < kLongest; ++step) {
    check(actor.predict({states}, {outputs}));
    for (size_t c = 0; c < kCarts; ++c) {
      if (over[c]) continue;
      const bool right = chance(random) < chance_of_right(&logits[2 * c]);
      each[c].states.push_back(carts[c]);
      each[c].rights.push_back(right);
      over[c] = !push(carts[c], right);
    }
  }
  size_t steps = 0;
  for (Played& one : each) {
    one.returns.resize(one.states.size());
    float gained = 0.0F;
    for (size_t i = one.returns.size(); i-- > 0;)
      one.returns[i] = gained = 1.0F + kDiscount * gained;
    steps += one.states.size();
    played.states.insert(played.states.end(), one.states.begin(), one.states.end());
    played.rights.insert(played.rights.end(), one.rights.begin(), one.rights.end());
    played.returns.insert(played.returns.end(), one.returns.begin(), one.returns.end());
  }
  return static_cast<double>(steps) / static_cast<double>(kCarts);
}

/// Returns as advantages: their mean is nothing to learn from, nor is their scale.
void normalise(std::vector<float>& returns) {
  const float count = static_cast<float>(returns.size());
  const float mean = std::accumulate(returns.begin(), returns.end(), 0.0F) / count;
  float square = 0.0F;
  for (const float x : returns)
    square += (x - mean) * (x - mean);
  const float scale = 1.0F / (std::sqrt(square / count) + 1e-6F);
  for (float& x : returns)
    x = (x - mean) * scale;
}

/// One step from everything that was played, in pieces of a batch; their gradients are added.
void learn(gradc::Session& learner, const std::vector<std::string>& parameters, Played& played) {
  normalise(played.returns);
  const size_t batch = static_cast<size_t>(learner.batch_size()), all = played.states.size();
  std::vector<float> logits(2 * batch), seeds(2 * batch);
  std::vector<std::vector<float>> sums;
  for (const std::string& name : parameters)
    sums.emplace_back(learner.parameter(name).size());
  for (size_t first = 0; first < all; first += batch) {
    const size_t rows = std::min(batch, all - first);
    const int64_t count = static_cast<int64_t>(rows);
    const gradc::View states(played.states[first].data(), {count, 4});
    check(learner.forward({states}, {gradc::MutableView(logits.data(), {count, 2})}));
    for (size_t i = 0; i < rows; ++i) {
      const float right = chance_of_right(&logits[2 * i]);
      const float missing = (played.rights[first + i] ? 1.0F : 0.0F) - right;
      const float weight = played.returns[first + i] / static_cast<float>(all);
      seeds[2 * i] = missing * weight;
      seeds[2 * i + 1] = -missing * weight;
    }
    check(learner.backward({states}, {gradc::View(seeds.data(), {count, 2})}));
    for (size_t p = 0; p < parameters.size(); ++p) {
      const std::span<float> gradient = learner.parameter("gradient/" + parameters[p]);
      for (size_t i = 0; i < gradient.size(); ++i)
        sums[p][i] += gradient[i];
    }
  }
  for (size_t p = 0; p < parameters.size(); ++p)
    std::ranges::copy(sums[p], learner.parameter("gradient/" + parameters[p]).begin());
  check(learner.apply_gradients());
}

int run() {
  gradc::SessionStatus status;
  const auto learner =
      gradc::Session::parse(kPolicy, "policy.json", {.seed = 4, .has_seed = true}, &status);
  check(status);
  const auto actor = learner->another({.batch_size = kCarts}, /*share_weights=*/true, &status);
  check(status);
  std::vector<std::string> parameters;
  for (const gradc::TensorInfo& tensor : learner->tensors()) {
    if (tensor.kind == gradc::TensorKind::kParameter) parameters.push_back(tensor.name);
  }
  std::mt19937 random(11);
  double first = 0.0, recent = 0.0;
  for (int update = 0; update < kUpdates; ++update) {
    Played played;
    const double steps = play(*actor, random, played);
    if (update == 0) first = recent = steps;
    recent += 0.25 * (steps - recent);
    if (update % 5 == 0) std::printf("update %2d  mean return %6.1f\n", update, steps);
    learn(*learner, parameters, played);
  }
  std::printf("mean return: %.1f at first, %.1f at last\n", first, recent);
  return recent > kBound ? 0 : 1;
}

}  // namespace

int main() {
  try {
    return run();
  } catch (const Fault& fault) {
    std::fprintf(stderr, "%s", fault.text.c_str());
    return 1;
  }
}
