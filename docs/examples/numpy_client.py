"""Answers the vectors of plain MLPs in NumPy alone: no torch, no refimpl. A model for other languages.

python numpy_client.py VECTORS ANSWERS

VECTORS is what `refimpl vectors export` wrote; `refimpl vectors verify VECTORS ANSWERS` judges. What
this client does not know (convolutions, tokens, other losses) it answers with "unsupported".
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

# phi and its derivative, the latter from the input s and the value a.
ACTIVATIONS = {
    "tanh": (np.tanh, lambda s, a: 1 - a**2),
    "relu": (lambda s: np.maximum(s, 0), lambda s, a: (s > 0).astype(float)),
    "softplus": (lambda s: np.logaddexp(0, s), lambda s, a: np.exp(s - a)),
}
LOSSES = ("cross_entropy", "squared_error")


class Unsupported(Exception):
    """This client does not know it."""


class Rejected(Exception):
    """It is no question."""


def main(vectors: Path, answers: Path) -> None:
    """Answer every vector."""
    for path in sorted(vectors.glob("*/*.json")):
        vector = json.loads(path.read_text())
        target = answers / path.relative_to(vectors)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            outputs = answer(vector, load_file(path.with_suffix(".safetensors")))
        except (Unsupported, Rejected) as error:
            target.write_text(json.dumps({type(error).__name__.lower(): str(error)}))
        else:
            wanted = {
                k: np.ascontiguousarray(v) for k, v in outputs.items() if k in vector["outputs"]
            }
            save_file(wanted, target.with_suffix(".safetensors"))


def answer(vector: dict, arrays: dict) -> dict:
    """All outputs of a vector by name."""
    case = vector["case"]
    check(case, arrays)
    theta = {
        k.removeprefix("parameters/"): v for k, v in arrays.items() if k.startswith("parameters/")
    }
    n, names = len(arrays["inputs"]), case["tracked"]

    f, a, B = passes(case, theta, arrays["inputs"])
    g = gradients(case, f, a, B, arrays["labels"])
    f_q, a_q, B_q = passes(case, theta, arrays["query_inputs"])
    queries = gradients(case, f_q, a_q, B_q, arrays["query_labels"])
    H = hessian(case, f)

    out, basis, lam = {}, {}, {}
    J = np.concatenate(  # [N, C, P]: df_c / dtheta, each layer row by row
        [np.einsum("nco,ni->ncoi", B[k], a[k]).reshape(n, f.shape[1], -1) for k in names], axis=2
    )
    G = np.einsum("ncp,ncd,ndq->pq", J, H, J) / n
    for k in names:
        A = a[k].T @ a[k] / n
        S = np.einsum("nco,ncd,ndp->op", B[k], H, B[k]) / n
        out |= {f"gradients/{k}": g[k], f"factors/{k}/A": A, f"factors/{k}/S": S}
        basis[k] = np.linalg.eigh(A), np.linalg.eigh(S)
        out[f"spectrum/{k}/A"], out[f"spectrum/{k}/S"] = basis[k][0][0], basis[k][1][0]
        lam[k] = corrected(a[k], B[k], H, basis[k][0][1], basis[k][1][1])

    # K-FAC and EK-FAC: eigenvectors of A and S, and what stands between them.
    def solve(v: np.ndarray, between: dict, Q: dict) -> np.ndarray:
        parts, start = [], 0
        for k in names:
            Q_A, Q_S = Q[k]
            size = len(Q_S) * len(Q_A)
            V = v[:, start : start + size].reshape(-1, len(Q_S), len(Q_A))
            x = Q_S @ ((Q_S.T @ V @ Q_A) / (between[k] + case["damping"])) @ Q_A.T
            parts.append(x.reshape(len(v), size))
            start += size
        return np.concatenate(parts, axis=1)

    def flat(matrices: dict) -> np.ndarray:
        return np.concatenate([matrices[k].reshape(len(matrices[k]), -1) for k in names], axis=1)

    damped = G + case["damping"] * np.eye(len(G))
    own = {k: (Q_A, Q_S) for k, ((_, Q_A), (_, Q_S)) in basis.items()}
    kron = {k: np.outer(w_S, w_A) for k, ((w_A, _), (w_S, _)) in basis.items()}
    out["scores/ekfac"] = -solve(flat(queries), lam, own) @ flat(g).T
    out["scores/kfac"] = -solve(flat(queries), kron, own) @ flat(g).T
    out["scores/gauss_newton"] = -np.linalg.solve(damped, flat(queries).T).T @ flat(g).T

    # Stages that are given what the ones before should have found.
    v = arrays["arguments/vectors"]
    given = {
        k: {p: arrays[f"arguments/basis/{k}/{p}"] for p in ("w_A", "Q_A", "w_S", "Q_S")}
        for k in names
    }
    Q = {k: (d["Q_A"], d["Q_S"]) for k, d in given.items()}
    for k in names:
        out[f"eigenvalues/{k}"] = corrected(a[k], B[k], H, *Q[k])
    out["gauss_newton"] = v @ G
    out["solve/gauss_newton"] = np.linalg.solve(damped, v.T).T
    out["solve/ekfac"] = solve(v, {k: arrays[f"arguments/eigenvalues/{k}"] for k in names}, Q)
    out["solve/kfac"] = solve(v, {k: np.outer(d["w_S"], d["w_A"]) for k, d in given.items()}, Q)
    return out


def check(case: dict, arrays: dict) -> None:
    """Refuse what is no question, and what this client does not know."""
    layers, loss = case["layers"], case["loss"]
    linear = {layer.get("name"): layer for layer in layers if layer["op"] == "linear"}
    known = all(layer["op"] in ("linear", *ACTIVATIONS) and "like" not in layer for layer in layers)
    plain = set(loss) <= {"kind", "ignore_index", "label_smoothing"} and not loss.get(
        "label_smoothing"
    )
    if not known or loss["kind"] not in LOSSES or not plain or arrays["inputs"].ndim != 2:
        raise Unsupported("plain MLPs with cross-entropy or squared error, and nothing else")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise Rejected(f"{name} is not finite")
    if case["damping"] < 0:
        raise Rejected(f"damping is {case['damping']}")
    if case["damping"] == 0:
        raise Rejected("damping is zero: the matrix may be singular")
    if len(arrays["inputs"]) == 0 or len(arrays["inputs"]) != len(arrays["labels"]):
        raise Rejected("inputs and labels must be equally many, and some")
    if unknown := set(case["tracked"]) - set(linear):
        raise Rejected(f"there are no layers {unknown}")
    width = arrays["inputs"].shape[1]
    for name in linear:
        W = arrays.get(f"parameters/{name}.weight")
        if W is None or W.shape[1] != width:
            raise Rejected(f"layer {name} needs a weight with {width} columns")
        width = len(W)
    labels = arrays["labels"]
    if loss["kind"] == "cross_entropy" and not ((labels >= 0) & (labels < width)).all():
        raise Rejected(f"labels must be classes 0 .. {width - 1}")


def passes(case: dict, theta: dict, x: np.ndarray) -> tuple[np.ndarray, dict, dict]:
    """Outputs f [N, C]; inputs a [N, I] of every layer, 1 last; B = df/ds [N, C, O] of every layer."""
    a, slopes, biases = {}, [], {}
    for layer in case["layers"]:
        if layer["op"] == "linear":
            k = layer["name"]
            biases[k] = layer["bias"]
            a[k] = np.hstack([x, np.ones((len(x), 1))]) if layer["bias"] else x
            x = x @ theta[f"{k}.weight"].T + (theta[f"{k}.bias"] if layer["bias"] else 0)
            slopes.append(None)
        else:
            phi, derivative = ACTIVATIONS[layer["op"]]
            s, x = x, phi(x)
            slopes.append(derivative(s, x))
    B, back = {}, np.broadcast_to(np.eye(x.shape[1]), (len(x), x.shape[1], x.shape[1]))
    for layer, slope in zip(reversed(case["layers"]), reversed(slopes), strict=True):
        if layer["op"] == "linear":
            B[layer["name"]] = back
            back = back @ theta[f"{layer['name']}.weight"]
        else:
            back = back * slope[:, None, :]
    return x, a, B


def softmax(f: np.ndarray) -> np.ndarray:
    """The largest is taken off first, so that nothing overflows."""
    e = np.exp(f - f.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def others(p: np.ndarray) -> np.ndarray:
    """1 - p, summed from the other classes: for p close to 1 the difference would lose its digits."""
    return p @ (1 - np.eye(p.shape[1]))


def gradients(case: dict, f: np.ndarray, a: dict, B: dict, y: np.ndarray) -> dict:
    """Gradient of every example's loss, [N, O, I] by layer; p - e_y, or f - y, times the Jacobian."""
    if case["loss"]["kind"] == "squared_error":
        r = f - y
    else:
        p, own = softmax(f), np.eye(f.shape[1])[y]
        r = p * (1 - own) - others(p) * own
    return {k: np.einsum("nc,nco,ni->noi", r, B[k], a[k]) for k in a}


def hessian(case: dict, f: np.ndarray) -> np.ndarray:
    """Second derivative of the loss in the outputs, [N, C, C]: diag(p) - p p^T, or the identity."""
    eye = np.eye(f.shape[1])
    if case["loss"]["kind"] == "squared_error":
        return np.broadcast_to(eye, (len(f), *eye.shape))
    p = softmax(f)
    return p[:, :, None] * (eye * others(p)[:, :, None] - (1 - eye) * p[:, None, :])


def corrected(
    a: np.ndarray, B: np.ndarray, H: np.ndarray, Q_A: np.ndarray, Q_S: np.ndarray
) -> np.ndarray:
    """Lambda [O, I] = mean_n (Q_S^T B^T H B Q_S)_oo (a^T Q_A)_i^2."""
    BQ = B @ Q_S
    outer = np.einsum("nco,ncd,ndo->no", BQ, H, BQ)
    return outer.T @ (a @ Q_A) ** 2 / len(a)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
