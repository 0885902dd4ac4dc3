"""Models: their shape and their initialisation."""

import pytest
import torch

import refimpl as ri
from validation.models.networks import Transformer, cnn, mlp, transformer

MLPS = ["blocks.*.mlp.*"]
EPS = torch.finfo(torch.float64).eps


def test_an_mlp_has_its_layers_and_no_activation_at_the_end() -> None:
    model = mlp([64, 32, 10], torch.Generator().manual_seed(0))
    assert [type(m).__name__ for m in model] == ["Linear", "Tanh", "Linear"]
    assert sum(p.numel() for p in model.parameters()) == 64 * 32 + 32 + 32 * 10 + 10
    assert model(torch.zeros(3, 64, dtype=torch.float64)).shape == (3, 10)
    assert not model[0].bias.any()


def test_a_generator_fixes_the_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        return mlp([4, 3, 2], torch.Generator().manual_seed(seed))[2].weight

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_weights_have_variance_one_over_inputs() -> None:
    weights = mlp([400, 1000], torch.Generator().manual_seed(0))[0].weight.detach()
    # uniform on [-b, b]: variance b^2 / 3, and its estimate from n draws has the relative standard
    # deviation sqrt((9/5 - 1) / n); five of them
    assert float(400 * weights.var()) == pytest.approx(1.0, abs=5 * (0.8 / 4e5) ** 0.5)


def test_a_cnn_has_its_layers_and_takes_flat_images() -> None:
    model = cnn([6, 12], 10, torch.Generator().manual_seed(0))
    kinds = ["Unflatten", "Conv2d", "Tanh", "Conv2d", "Tanh", "Flatten", "Linear"]
    assert [type(m).__name__ for m in model] == kinds
    expected = 6 * (9 + 1) + 12 * (6 * 9 + 1) + (12 * 4 * 4 + 1) * 10
    assert sum(p.numel() for p in model.parameters()) == expected == 2650
    images = torch.rand(3, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert model(images).shape == (3, 10)
    assert not any(bool(model[k].bias.any()) for k in (1, 3, 6))


def test_a_cnn_has_the_written_out_outputs() -> None:
    """3 x 3 windows of the padded image, in plain loops; the second convolution takes every other."""
    model = cnn([2, 3], 4, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(2)
    for value in model.parameters():  # biases that are not 0
        value.data += 0.1 * torch.randn(value.shape, generator=generator, dtype=value.dtype)
    image = torch.rand(64, generator=generator, dtype=torch.float64)
    maps = image.reshape(1, 8, 8)
    for k, stride in ((1, 1), (3, 2)):
        weight, bias = model[k].weight.detach(), model[k].bias.detach()
        side = maps.shape[1]
        padded = torch.zeros(maps.shape[0], side + 2, side + 2, dtype=torch.float64)
        padded[:, 1:-1, 1:-1] = maps
        at = range(0, side, stride)
        maps = torch.stack(
            [
                torch.stack(
                    [(weight[c] * padded[:, i : i + 3, j : j + 3]).sum() + bias[c] for j in at]
                )
                for c in range(len(bias))
                for i in at
            ]
        )
        maps = maps.reshape(len(bias), len(at), len(at)).tanh()
    expected = model[6].weight.detach() @ maps.flatten() + model[6].bias.detach()
    # outputs of size 1 after some hundred roundings of terms of that size
    assert float((model(image[None])[0] - expected).detach().abs().max()) <= 100 * EPS


def test_a_generator_fixes_a_cnn_and_the_global_state_stays() -> None:
    before = torch.get_rng_state()
    one, same, other = (cnn([4, 5], 3, torch.Generator().manual_seed(k)) for k in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    for k in (1, 3, 6):
        assert torch.equal(one[k].weight, same[k].weight)
        assert not torch.equal(one[k].weight, other[k].weight)


def test_weights_of_a_cnn_have_variance_one_over_inputs() -> None:
    model = cnn([100, 200], 100, torch.Generator().manual_seed(0))
    for k, inputs in ((1, 9), (3, 900), (6, 3200)):
        weights = model[k].weight.detach()
        # as for the MLP: five of the estimate's relative deviations, sqrt(0.8 / n)
        tolerance = 5 * (0.8 / weights.numel()) ** 0.5
        assert float(inputs * weights.var()) == pytest.approx(1.0, abs=tolerance)


def test_every_route_to_the_gauss_newton_matrix_passes_a_cnn() -> None:
    model = cnn([2, 3], 4, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(6, 64, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (6,), generator=generator)
    problem = ri.Problem(model, ri.losses.CrossEntropy(), images, labels)
    assert [layer.name for layer in problem.layout.layers] == ["1", "3", "6"]
    by_definition = ri.exact.gauss_newton_matrix(problem)
    captured = ri.exact.GaussNewton(problem).dense()
    assert float((captured - by_definition).norm() / by_definition.norm()) <= 1e-12


def tokens(n: int = 5, length: int = 7, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, 6, (n, length), generator=torch.Generator().manual_seed(seed))


def small(**changes: int) -> Transformer:
    sizes = {"vocabulary": 6, "width": 8, "heads": 2, "layers": 2, "mlp_width": 5, "length": 7}
    return transformer(**{**sizes, **changes}, generator=torch.Generator().manual_seed(0))


def test_a_transformer_has_its_layers_and_the_pattern_tracks_its_mlps() -> None:
    model, ids = small(), tokens()
    assert not model.training
    assert model(ids).shape == (5, 7, 6)
    problem = ri.Problem(model, ri.losses.CrossEntropy(), ids, tokens(seed=2), MLPS)
    names = [layer.name for layer in problem.layout.layers]
    assert names == [f"blocks.{k}.mlp.{name}" for k in (0, 1) for name in ("up", "down")]
    assert problem.num_parameters == 2 * (8 * 5 + 5 + 5 * 8 + 8)
    attention = 2 * (8 * 24 + 24 + 8 * 8 + 8)
    others = (6 + 7) * 8 + 5 * 2 * 8 + 8 * 6  # embeddings, norms, unembedding
    assert sum(p.numel() for p in model.parameters()) == 186 + attention + others


def test_a_transformer_has_the_written_out_outputs() -> None:
    """Vaswani et al. 2017, section 3, with norms first, token by token in plain loops."""
    model, ids = small(), tokens(1)
    generator = torch.Generator().manual_seed(2)
    for value in model.parameters():  # biases that are not 0, gains that are not 1
        value.data += 0.1 * torch.randn(value.shape, generator=generator, dtype=value.dtype)
    p = {name: value.detach() for name, value in model.named_parameters()}

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean()
        scaled = centred / (centred.square().mean() + 1e-5).sqrt()
        return scaled * p[f"{name}.weight"] + p[f"{name}.bias"]

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return p[f"{name}.weight"] @ x + p[f"{name}.bias"]

    stream = [p["tokens.weight"][k] + p["positions.weight"][t] for t, k in enumerate(ids[0])]
    for b in ("blocks.0", "blocks.1"):
        rows = [linear(norm(x, f"{b}.attention_norm"), f"{b}.attention.qkv") for x in stream]
        after = []
        for t, x in enumerate(stream):
            heads = []
            for h in (0, 4):  # two heads of 4
                q, keys, values = (
                    rows[t][h : h + 4],
                    [row[8 + h : 12 + h] for row in rows[: t + 1]],
                    [row[16 + h : 20 + h] for row in rows[: t + 1]],
                )
                e = torch.stack([(q @ k / 2).exp() for k in keys])  # sqrt(4)
                heads.append(sum(w * v for w, v in zip(e / e.sum(), values, strict=True)))
            after.append(x + linear(torch.cat(heads), f"{b}.attention.out"))
        stream = []
        for x in after:
            s = linear(norm(x, f"{b}.mlp_norm"), f"{b}.mlp.up")
            gelu = s * (1 + torch.erf(s / 2**0.5)) / 2
            stream.append(x + linear(gelu, f"{b}.mlp.down"))
    expected = torch.stack([p["unembedding.weight"] @ norm(x, "norm") for x in stream])
    # logits of size 1 after some hundred roundings of terms of that size
    assert float((model(ids)[0] - expected).detach().abs().max()) <= 100 * EPS


def test_later_tokens_do_not_change_earlier_outputs() -> None:
    model, ids = small(), tokens()
    before = model(ids)
    for t in range(7):
        changed = ids.clone()
        changed[:, t] = (changed[:, t] + 1) % 6
        after = model(changed)
        # the same operations on the same numbers, but for zeros that multiply what differs
        assert torch.equal(after[:, :t], before[:, :t])
        assert bool(((after - before)[:, t].abs().amax(dim=1) > 1e-3).all())
        if t < 6:
            assert bool(((after - before)[:, t + 1 :].abs().amax(dim=(1, 2)) > 1e-6).all())


def test_padding_changes_nothing_of_real_tokens() -> None:
    model, ids = small(), tokens()
    lengths = [7, 4, 1, 6, 2]
    mask = torch.arange(7) < torch.tensor(lengths)[:, None]
    padded = model(ids, mask)
    assert bool(padded.isfinite().all())
    for k, n in enumerate(lengths):
        alone = model(ids[k : k + 1, :n])
        # products of other sizes may sum in another order: some hundred roundings
        assert float((padded[k, :n] - alone[0]).detach().abs().max()) <= 100 * EPS
    other = model(torch.where(mask, ids, 5 - ids), mask)
    assert torch.equal(other[mask], padded[mask])


def test_a_masked_token_is_not_attended_to_wherever_it_stands() -> None:
    model, ids = small(), tokens()
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[:, 2] = False
    changed = ids.clone()
    changed[:, 2] = (changed[:, 2] + 1) % 6
    one, two = model(ids, mask), model(changed, mask)
    assert torch.equal(one[mask], two[mask])
    assert not torch.allclose(one, model(ids))


def test_a_token_that_may_look_at_nothing_stays_finite() -> None:
    model, mask = small(), torch.ones(5, 7, dtype=torch.bool)
    mask[:, :2] = False
    outputs = model(tokens(), mask)
    assert bool(outputs.isfinite().all())
    outputs[mask].sum().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize("padded", [False, True])
def test_every_route_to_the_gauss_newton_matrix_passes_a_transformer(padded: bool) -> None:
    ids, targets = tokens(4, 5), tokens(4, 5, seed=2)
    inputs: ri.Data = ids
    if padded:
        mask = torch.arange(5) < torch.tensor([5, 3, 1, 4])[:, None]
        inputs, targets = (ids, mask), targets.masked_fill(~mask, -100)
    problem = ri.Problem(small(), ri.losses.CrossEntropy(), inputs, targets, MLPS)
    by_definition = ri.exact.gauss_newton_matrix(problem)
    captured = ri.exact.GaussNewton(problem).dense()
    assert float((captured - by_definition).norm() / by_definition.norm()) <= 1e-12
    # EK-FAC keeps the trace of the Gauss-Newton matrix, whatever its eigenbasis
    trace = float(ri.fast.EKFAC(problem).dense().trace())
    assert trace == pytest.approx(float(by_definition.trace()), rel=1e-12)


def test_forward_derivatives_of_gradients_pass_a_transformer() -> None:
    model, ids, targets = small(), tokens(3, 5), tokens(3, 5, seed=2)
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    generator = torch.Generator().manual_seed(4)
    v = {k: torch.randn(p.shape, generator=generator, dtype=p.dtype) for k, p in parameters.items()}

    def value(theta: dict[str, torch.Tensor]) -> torch.Tensor:
        logits = torch.func.functional_call(model, theta, (ids,))
        return ri.losses.CrossEntropy().value(logits, targets).mean()

    gradient = torch.func.grad(value)
    _, product = torch.func.jvp(gradient, (parameters,), (v,))
    h = 1e-5
    ahead = gradient({k: p + h * v[k] for k, p in parameters.items()})
    behind = gradient({k: p - h * v[k] for k, p in parameters.items()})
    for name, hv in product.items():
        difference = (ahead[name] - behind[name]) / (2 * h)
        # rounding EPS / h and truncation h^2 f'''' / 6, either below 1e-8 for derivatives up to 100
        assert torch.allclose(hv, difference, rtol=1e-6, atol=1e-6), name


def test_a_generator_fixes_a_transformer_and_the_global_state_stays() -> None:
    before = torch.get_rng_state()
    one, same = small(), small()
    assert torch.equal(before, torch.get_rng_state())
    for p, q in zip(one.parameters(), same.parameters(), strict=True):
        assert torch.equal(p, q)
    other = transformer(6, 8, 2, 2, 5, 7, torch.Generator().manual_seed(1))
    assert not torch.equal(one.tokens.weight, other.tokens.weight)
    assert not torch.equal(one.blocks[1].mlp.down.weight, other.blocks[1].mlp.down.weight)
    single = transformer(6, 8, 2, 2, 5, 7, torch.Generator().manual_seed(1), torch.float32)
    assert single(tokens()).dtype == torch.float32


def test_initial_weights_have_the_stated_variances() -> None:
    generator = torch.Generator().manual_seed(0)
    model = transformer(300, 64, 4, 2, 128, 200, generator)
    expected = {
        "tokens.weight": 1 / 2,
        "positions.weight": 1 / 2,
        "unembedding.weight": 1 / 64,
        "attention.qkv.weight": 1 / 64,
        "attention.out.weight": 1 / 64 / 4,
        "mlp.up.weight": 1 / 64,
        "mlp.down.weight": 1 / 128 / 4,
    }
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            assert not p.any()
        elif "norm" in name:
            assert bool((p == 1).all())
        else:
            variance = next(v for end, v in expected.items() if name.endswith(end))
            # normal: the estimate from n draws has the relative deviation sqrt(2 / n); five of them
            tolerance = 5 * (2 / p.numel()) ** 0.5
            assert float(p.detach().var()) == pytest.approx(variance, rel=tolerance)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="width 8 is no multiple of heads 3"):
        small(heads=3)
    with pytest.raises(ValueError, match="a sequence of 8 tokens, the model has 7 positions"):
        small()(tokens(2, 8))
