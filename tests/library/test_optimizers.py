"""The fused Adam equals torch.optim.Adam, whatever the memory layouts of weights, gradients, and moments."""
import copy

import pytest
import torch

from compression.runtime.optimizers import build_adam

SHAPES = [(8, 6, 3, 3), (6, 8, 1, 1), (5, 7), (8,), (1, 3, 4, 4)]
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def converted(tensor, layout):
    return tensor.contiguous(memory_format=LAYOUTS[layout]) if tensor.dim() == 4 else tensor.clone()


def steps(build, weights, layouts, restore=None):
    """Take four steps; before the third one, load the optimizer's state in another layout (`restore`)."""
    parameters = [torch.nn.Parameter(converted(weight, layouts[0])) for weight in weights]
    optimizer = build(parameters, lr=0.01, betas=(0.5, 0.999))
    generator = torch.Generator().manual_seed(1)
    for step in range(4):
        if step == 2 and restore:
            state = copy.deepcopy(optimizer.state_dict())
            for moments in state["state"].values():
                for name in ("exp_avg", "exp_avg_sq"):
                    moments[name] = converted(moments[name], restore)
            optimizer.load_state_dict(state)
        for parameter in parameters:
            gradient = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.grad = converted(gradient, layouts[1])
        optimizer.step()
    return parameters


@pytest.mark.parametrize("weight_layout", LAYOUTS)
@pytest.mark.parametrize("gradient_layout", LAYOUTS)
@pytest.mark.parametrize("restore", [None, *LAYOUTS])
def test_adam_equals_that_of_pytorch(weight_layout, gradient_layout, restore):
    torch.manual_seed(0)
    weights = [torch.randn(shape, dtype=torch.double) for shape in SHAPES]
    layouts = (weight_layout, gradient_layout)
    expected = steps(torch.optim.Adam, weights, layouts)
    for value, weight in zip(steps(build_adam, weights, layouts, restore), expected, strict=True):
        torch.testing.assert_close(value, weight)
        assert value.stride() == weight.stride()


def test_a_state_without_the_fused_kernel_continues():
    torch.manual_seed(0)
    weight = torch.randn(SHAPES[0], dtype=torch.double).contiguous(memory_format=torch.channels_last)
    parameters = [torch.nn.Parameter(weight.clone()) for _ in range(2)]
    plain = torch.optim.Adam(parameters[:1], lr=0.01)
    fused = build_adam(parameters[1:], lr=0.01)
    for step in range(3):
        if step == 1:
            fused.load_state_dict(copy.deepcopy(plain.state_dict()))
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, step + 1.0)
        plain.step()
        fused.step()
    torch.testing.assert_close(*parameters)
