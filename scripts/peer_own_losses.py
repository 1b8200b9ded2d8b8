"""Losses that a model's author writes, as cases of compare_torch.py: formulas, and functions in the IR's text form."""
import os

import torch
import torch.nn.functional as F

# The functions, which stand beside the models that name them.
FILES = {
    "loss_quantile.gir": """// The quantile loss at 0.8 and 0.2 of each pair of outputs, by the names of a loss.
graph @quantile {
  input %target     : f32[BxN]
  input %prediction : f32[BxN]
forward:
  %error = sub %target, %prediction
  %high  = constant {value=0.8} : f32[BxN]
  %low   = constant {value=-0.2} : f32[BxN]
  %above = mul %error, %high
  %below = mul %error, %low
  %value = max %above, %below
  return %value
}
""",
    "loss_explained.gir": """// 1 - R^2 of a batch, of what counts in it: one number.
graph @explained {
  input %y      : f32[BxN]
  input %t      : f32[BxN]
  input %counts : f32[B]
forward:
  %of_all  = broadcast %counts {dims=[0]} : f32[BxN]
  %number  = reduce_sum %of_all {axes=[0]}
  %kept    = mul %t, %of_all
  %total   = reduce_sum %kept {axes=[0]}
  %mean    = div %total, %number
  %means   = broadcast %mean {dims=[1]} : f32[BxN]
  %error   = sub %t, %y
  %spread  = sub %t, %means
  %square  = mul %error, %error
  %squares = mul %square, %of_all
  %left    = reduce_sum %squares {axes=[0, 1]}
  %spread2 = mul %spread, %spread
  %wide    = mul %spread2, %of_all
  %all     = reduce_sum %wide {axes=[0, 1]}
  %share   = div %left, %all
  return %share
}
""",
    "loss_margin.gir": """// Crammer and Singer's hinge of class numbers: one value of each example.
graph @margin {
  input %scores : f32[BxN]
  input %class  : i32[B]
forward:
  %own    = one_hot %class {depth=N}
  %right  = mul %own, %scores
  %mine   = reduce_sum %right {axes=[1]}
  %far    = constant {value=1000.0} : f32[BxN]
  %away   = mul %own, %far
  %others = sub %scores, %away
  %best   = reduce_max %others {axes=[1]}
  %one    = constant {value=1.0} : f32[B]
  %lead   = sub %best, %mine
  %excess = add %lead, %one
  %value  = relu %excess
  return %value
}
""",
}


def quantile(p, t):
    return torch.maximum(0.8 * (t - p), -0.2 * (t - p)).mean()


def explained(p, t):
    return ((t - p) ** 2).sum() / ((t - t.mean(0)) ** 2).sum()


def margin(p, t):
    own = F.one_hot(t.long(), p.shape[-1]).bool()
    return torch.relu(p.masked_fill(own, -1000.0).amax(-1) - p[own] + 1).mean()


def huber(e, delta):
    return torch.where(e.abs() <= delta, 0.5 * e * e, delta * (e.abs() - 0.5 * delta))


def formula(value, **options):
    return {"type": "formula", "value": value, **options}


def function(file, **options):
    return {"type": "gir", "file": file, **options}


# name -> (gradc loss, function, last activation, target kind), as peer_cases.LOSSES
LOSSES = {
    "formula_quantile": (formula("max(0.8 * (target - output), -0.2 * (target - output))"), quantile, "linear", "real"),
    "formula_smooth": (formula("huber(output, target, delta=0.5) + 0.1 * sum(abs(output[1:] - output[:-1]))"),
                       lambda p, t: (huber(p - t, 0.5).mean(-1) + 0.1 * (p[:, 1:] - p[:, :-1]).abs().sum(-1)).mean(),
                       "tanh", "real"),
    "formula_power": (formula("(abs(output - target) + 0.1)^1.5 / (1 + target^2) - log(cos(0.2 * output))"),
                      lambda p, t: (((p - t).abs() + 0.1) ** 1.5 / (1 + t ** 2) - torch.log(torch.cos(0.2 * p))).mean(),
                      "linear", "real"),
    "formula_where": (formula("where(target > 0.5, -log(output), -2 * log1p(-output)) * 2^-1", reduction="sum"),
                      lambda p, t: (torch.where(t > 0.5, -torch.log(p), -2 * torch.log1p(-p)) / 2).mean(-1).sum(),
                      "sigmoid", "binary"),
    "formula_classes": (formula("scce(output, target, from_logits=true) + 0.05 * sum(softmax(output) * log_softmax(output))",
                                target="class"),
                        lambda z, t: F.cross_entropy(z, t.long())
                        + 0.05 * (torch.softmax(z, -1) * torch.log_softmax(z, -1)).sum(-1).mean(), "linear", "sparse"),
    "formula_spread": (formula("mean((output - target)^2) / (0.1 + max(target) - min(target)) + exp(-mean(output, axis=0))"),
                       lambda p, t: (((p - t) ** 2).mean(-1) / (0.1 + t.amax(-1) - t.amin(-1)) + torch.exp(-p.mean(-1))).mean(),
                       "linear", "real"),
    "function_quantile": (function("loss_quantile.gir"), quantile, "linear", "real"),
    "function_explained": (function("loss_explained.gir"), explained, "linear", "real"),
    "function_margin": (function("loss_margin.gir", target="class"), margin, "linear", "sparse"),
}


def write_files(directory):
    for name, text in FILES.items():
        with open(os.path.join(directory, name), "w") as file:
            file.write(text)
