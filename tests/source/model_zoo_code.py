"""Models in the ways that people write them, for the test of where keys are defined."""

from collections import OrderedDict
from functools import partial

import torch
from torch import nn


def conv3x3(a, b, stride=1):
    return nn.Conv2d(a, b, 3, stride, 1, bias=False)


class BasicBlock(nn.Module):
    def __init__(self, a, b, stride=1, downsample=None, norm_layer=None):
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        self.conv1 = conv3x3(a, b, stride)
        self.bn1 = norm_layer(b)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = conv3x3(b, b), norm_layer(b)
        self.downsample = downsample


class ResNet(nn.Module):
    def __init__(self, layers=(2, 2)):
        super().__init__()
        self.inplanes = 8
        self.conv1: nn.Conv2d = nn.Conv2d(
            3,
            8,
            7,
        )
        self.layer1 = self._make_layer(8, layers[0])
        self.layer2 = self._make_layer(16, layers[1], stride=2)
        self.fc = nn.Linear(16, 10)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.ones_(m.weight)

    def _make_layer(self, planes, blocks, stride=1):
        downsample = None
        if stride != 1:
            downsample = nn.Sequential(
                nn.Conv2d(self.inplanes, planes, 1, stride),
                nn.BatchNorm2d(planes),
            )
        layers = [BasicBlock(self.inplanes, planes, stride, downsample)]
        self.inplanes = planes
        for _ in range(1, blocks):
            layers.append(BasicBlock(planes, planes))
        return nn.Sequential(*layers)


class DenseLayer(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.add_module("norm1", nn.BatchNorm2d(n))
        self.add_module(name="conv1", module=nn.Conv2d(n, 4, 1))


class DenseBlock(nn.ModuleDict):
    def __init__(self, number):
        super().__init__()
        for i in range(number):
            layer = DenseLayer(4 + i)
            self.add_module("denselayer%d" % (i + 1), layer)  # noqa: UP031  as torchvision has it


class DenseNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                [
                    ("conv0", nn.Conv2d(3, 4, 3)),
                    ("norm0", nn.BatchNorm2d(4)),
                ]
            )
        )
        for i in range(2):
            block = DenseBlock(2)
            self.features.add_module(f"denseblock{i + 1}", block)
        self.features.add_module("norm5", nn.BatchNorm2d(6))
        self.classifier = nn.Linear(6, 2)


class ConvNormActivation(nn.Sequential):
    def __init__(self, a, b, norm=nn.BatchNorm2d):
        layers = [nn.Conv2d(a, b, 3)]
        if norm is not None:
            layers.append(norm(b))
        super().__init__(*layers)


class Named(ConvNormActivation):
    pass


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1))


class Scaled(nn.Linear):
    def __init__(self, a, b):
        super().__init__(a, b)
        self.scale = nn.Parameter(torch.ones(b))


class MobileNet(nn.Module):
    def __init__(self):
        super().__init__()
        features: list[nn.Module] = [ConvNormActivation(3, 8)]
        features += [Named(8, 8) for _ in range(2)]
        features.append(ConvNormActivation(8, 16, norm=partial(nn.BatchNorm2d, eps=1e-3)))
        self.features = nn.Sequential(*features)
        self.norm = LayerNorm2d(16)
        self.head = nn.Sequential(nn.Dropout(), Scaled(16, 4))


class Attention(nn.Module):
    def __init__(self, d, qk_norm=False, bias=True):
        super().__init__()
        for name in ("q", "k", "v"):
            setattr(self, f"{name}_proj", nn.Linear(d, d))
        if qk_norm:
            self.norm = nn.RMSNorm(d)
        else:
            self.norm = nn.LayerNorm(d)
        if bias:
            self.bias = nn.Parameter(torch.zeros(d))
        else:
            self.register_parameter("bias", None)
        self.register_buffer("mask", torch.ones(d, d).tril())
        self.register_parameter("gate", nn.Parameter(torch.ones(1)))


class Base(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.build(d)
        self.out = nn.Linear(d, d)

    def build(self, d):
        raise NotImplementedError


class Layer(Base):
    def __init__(self, d):
        super().__init__(d)
        self.mlp = nn.Sequential(nn.Linear(d, d), nn.GELU(), nn.Linear(d, d))
        self.out = nn.Linear(d, 2 * d)

    def build(self, d):
        self.attention = Attention(d)
        self.other = Attention(d, qk_norm=True, bias=False)


class Transformer(nn.Module):
    def __init__(self, d=4, depth=2):
        super().__init__()
        self.embed = nn.Embedding(10, d)
        self.layers = nn.ModuleList()
        for _ in range(depth):
            self.layers.append(Layer(d))
        self.norms = nn.ModuleList([nn.LayerNorm(d) for _ in range(depth)])
        self.heads = nn.ModuleDict({"a": nn.Linear(d, 2), "b": nn.Linear(d, 3)})
        self.heads["late"] = nn.Linear(d, 4)
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(d)) for _ in range(2)])
        self.plain = nn.ModuleList()
        for _ in range(depth):
            self.plain.append(nn.Linear(d, d))
        self.plain.append(nn.LayerNorm(d))
        self.lm_head = nn.Linear(d, 10)
        self.lm_head.weight = self.embed.weight
        self.backbone = ResNet()
        self.backbone.fc = nn.Identity()
        self.backbone.extra = nn.Linear(3, 3)
        self.conv = torch.nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 2, 1))

    def set_embed(self, embed):
        self.embed = embed


def build_sequential(d=4):
    layers = []
    for _ in range(2):
        layers += [nn.Linear(d, d), nn.ReLU()]
    return nn.Sequential(
        nn.Linear(d, d),
        nn.Sequential(*layers),
    )


def build_changed():
    model = ResNet()
    model.fc = nn.Linear(16, 3)
    model.layer1[0].conv1 = nn.Conv2d(8, 8, 5)
    return model
