"""Which of torch's modules have neither parameters nor buffers, whatever they are made with."""

from __future__ import annotations

PARAMETER_FREE = frozenset(
    """
    Identity Flatten Unflatten Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout
    ReLU ReLU6 ELU CELU SELU GELU SiLU Mish GLU Sigmoid LogSigmoid Hardsigmoid Hardswish Hardtanh Hardshrink Softshrink Tanhshrink
    Tanh Threshold Softplus Softsign Softmax Softmax2d Softmin LogSoftmax LeakyReLU RReLU
    MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d
    FractionalMaxPool3d LPPool1d LPPool2d LPPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d AdaptiveAvgPool1d
    AdaptiveAvgPool2d AdaptiveAvgPool3d ZeroPad1d ZeroPad2d ZeroPad3d ConstantPad1d ConstantPad2d ConstantPad3d CircularPad1d
    CircularPad2d CircularPad3d ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d
    Upsample UpsamplingNearest2d UpsamplingBilinear2d PixelShuffle PixelUnshuffle ChannelShuffle Fold Unfold CosineSimilarity
    PairwiseDistance LocalResponseNorm CrossMapLRN2d L1Loss MSELoss SmoothL1Loss HuberLoss PoissonNLLLoss GaussianNLLLoss KLDivLoss
    CTCLoss HingeEmbeddingLoss CosineEmbeddingLoss MarginRankingLoss MultiLabelMarginLoss SoftMarginLoss MultiLabelSoftMarginLoss
    TripletMarginLoss TripletMarginWithDistanceLoss
    """.split()  # noqa: SIM905  a list of so many is read as a text
)
