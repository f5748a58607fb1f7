"""Tables 1-4 (ImageNet and CIFAR-100)."""

from __future__ import annotations

from res2net.paper.published_rows import table

_TOP1, _TOP5 = ("top1_error", "%"), ("top5_error", "%")

TABLE_1 = table(  # ImageNet, top-1 and top-5 test error
    "Table 1",
    (_TOP1, _TOP5),
    (
        ("resnet50", "ResNet-50", "", (23.85, 7.13)),
        ("res2net50_26w_4s", "Res2Net-50", "", (22.01, 6.15)),
        ("inception_v3", "InceptionV3", "299×299", (22.55, 6.44)),
        ("res2net50_26w_4s", "Res2Net-50-299", "299×299", (21.41, 5.88)),
        ("resnext50_32x4d", "ResNeXt-50", "", (22.61, 6.50)),
        ("res2next50", "Res2NeXt-50", "", (21.76, 6.09)),
        ("dla60", "DLA-60", "", (23.32, 6.60)),
        ("dla60_res2net", "Res2Net-DLA-60", "", (21.53, 5.80)),
        ("dla60x", "DLA-X-60", "", (22.19, 6.13)),
        ("dla60_res2next", "Res2NeXt-DLA-60", "", (21.55, 5.86)),
        ("seresnet50", "SENet-50", "", (23.24, 6.69)),
        ("seres2net50_26w_4s", "SE-Res2Net-50", "", (21.56, 5.94)),
        ("blresnet50", "bLResNet-50", "", (22.41, None)),
        ("blres2net50", "bLRes2Net-50", "", (21.68, 6.00)),
    ),
)

TABLE_2 = table(  # ImageNet, deeper networks
    "Table 2",
    (_TOP1, _TOP5),
    (
        ("densenet161", "DenseNet-161", "", (22.35, 6.20)),
        ("resnet101", "ResNet-101", "", (22.63, 6.44)),
        ("res2net101_26w_4s", "Res2Net-101", "", (20.81, 5.57)),
    ),
)

SAME, MORE = "Res2Net-50 (Preserved complexity)", "Res2Net-50 (Increased complexity)"

TABLE_3 = table(  # ImageNet, scales of Res2Net-50; FLOPs are multiply-adds
    "Table 3",
    (("flops", "G"), ("runtime", "ms"), _TOP1, _TOP5),
    (
        ("resnet50", "ResNet-50", "64w", (4.2, 149, 23.85, 7.13)),
        ("res2net50_48w_2s", SAME, "48w×2s", (4.2, 148, 22.68, 6.47)),
        ("res2net50_26w_4s", SAME, "26w×4s", (4.2, 153, 22.01, 6.15)),
        ("res2net50_14w_8s", SAME, "14w×8s", (4.2, 172, 21.86, 6.14)),
        ("res2net50_26w_4s", MORE, "26w×4s", (4.2, None, 22.01, 6.15)),
        ("res2net50_26w_6s", MORE, "26w×6s", (6.3, None, 21.42, 5.87)),
        ("res2net50_26w_8s", MORE, "26w×8s", (8.3, None, 20.80, 5.63)),
        ("res2net50_18w_4s", "Res2Net-50-L", "18w×4s", (2.9, 106, 22.92, 6.67)),
    ),
)

TABLE_4 = table(  # CIFAR-100
    "Table 4",
    (("params", "M"), _TOP1),
    (
        ("wideresnet28_10", "Wide ResNet", "", (36.5, 20.50)),
        ("resnext29_8c64w", "ResNeXt-29", "8c×64w", (34.4, 17.90)),
        ("resnext29_16c64w", "ResNeXt-29", "16c×64w", (68.1, 17.31)),
        ("densenet_bc190_40", "DenseNet-BC", "k = 40", (25.6, 17.18)),
        ("res2next29_6c24w_4s", "Res2NeXt-29", "6c×24w×4s", (24.3, 16.98)),
        ("res2next29_8c25w_4s", "Res2NeXt-29", "8c×25w×4s", (33.8, 16.93)),
        ("res2next29_6c24w_6s", "Res2NeXt-29", "6c×24w×6s", (36.7, 16.79)),
        ("resnext29_8c64w_se", "ResNeXt-29", "8c×64w-SE", (35.1, 16.77)),
        ("res2next29_6c24w_4s_se", "Res2NeXt-29", "6c×24w×4s-SE", (26.0, 16.68)),
        ("res2next29_8c25w_4s_se", "Res2NeXt-29", "8c×25w×4s-SE", (34.0, 16.64)),
        ("res2next29_6c24w_6s_se", "Res2NeXt-29", "6c×24w×6s-SE", (36.9, 16.56)),
    ),
)

CLASSIFICATION = (*TABLE_1, *TABLE_2, *TABLE_3, *TABLE_4)

RESNET_64W, LIGHT = ("ResNet-50", "64w"), ("Res2Net-50-L", "18w×4s")  # rows of Table 3
