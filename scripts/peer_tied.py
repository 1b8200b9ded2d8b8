"""Layers that multiply by another layer's matrix, as cases of compare_torch.py: one tensor with the gradients of both uses."""
import numpy as np
import torch
import torch.nn.functional as F

from peer_recurrent import B, T

V, D = 7, 5


def model_case(make_case, rng, name, layers, forward, loss, loss_options, params, x, y):
    inputs = [{"name": "x", "shape": list(x.shape[1:])} | ({"dtype": "int32"} if x.dtype == np.int32 else {})]
    model = {"name": name, "inputs": inputs, "layers": layers,
             "training": {"loss": loss_options, "optimizer": {"type": "adam"}, "batch_size": B}}
    return make_case(name, model, forward, loss, x, y, params)


def language_model(make_case, rng, name, embedding, table, use_bias, more=None):
    """Tokens' rows, a dense layer, and the table once more as the head."""
    layers = [embedding, {"type": "dense", "name": "d", "units": D, "activation": "tanh"},
              {"type": "dense", "name": "head", "units": V, "tied_to": "e", "use_bias": use_bias}]
    params = {table: (V, D), "d/kernel": (D, D), "d/bias": (D,), **(more or {})} | ({"head/bias": (V,)} if use_bias else {})
    tokens = rng(name).integers(0, V - 1, (B, T)).astype("i4")
    labels = rng(name + "/labels").integers(0, V, (B, T)).astype("i4")

    def forward(p, x):
        y = p[table][x]
        for position in (more or {}):
            y = y + p[position][:T]
        y = torch.tanh(y @ p["d/kernel"] + p["d/bias"]) @ p[table].T
        return y + p["head/bias"] if use_bias else y

    return model_case(make_case, rng, name, layers, forward, lambda p, t: F.cross_entropy(p.flatten(0, 1), t.flatten()),
                      {"type": "sparse_categorical_crossentropy", "from_logits": True}, params, tokens, labels)


def autoencoder(make_case, rng):
    layers = [{"type": "dense", "name": "d", "units": D, "activation": "tanh"},
              {"type": "dense", "name": "back", "units": V, "tied_to": "d"}]
    x = rng("tied_autoencoder").standard_normal((B, V)).astype("f4")

    def forward(p, x):
        return torch.tanh(x @ p["d/kernel"] + p["d/bias"]) @ p["d/kernel"].T + p["back/bias"]

    return model_case(make_case, rng, "tied_autoencoder", layers, forward, lambda p, t: ((p - t) ** 2).mean(),
                      {"type": "mse"}, {"d/kernel": (V, D), "d/bias": (D,), "back/bias": (V,)}, x, x)


def cases(make_case, rng):
    plain = {"type": "embedding", "name": "e", "input_dim": V, "output_dim": D}
    tokens = {"type": "token_and_position_embedding", "name": "e", "vocabulary_size": V, "sequence_length": T + 1,
              "embedding_dim": D}
    yield language_model(make_case, rng, "tied_head", plain, "e/embeddings", False)
    yield language_model(make_case, rng, "tied_head_bias", plain, "e/embeddings", True)
    yield language_model(make_case, rng, "tied_head_positions", tokens, "e/token_embedding/embeddings", False,
                         {"e/position_embedding/embeddings": (T + 1, D)})
    yield autoencoder(make_case, rng)
