"""What looks at neighbours: convolutions, pooling, resampling, normalisation over channels."""

from __future__ import annotations

from .base import BFLOAT16, Case, counting, f32, i64, ints, octets, scalar, signed, some

U8, S8 = "uint8", "int8"
LINE, PLANE = some(1, 2, 5), some(1, 1, 4, 4)
STATISTICS = [some(2, seed=1), some(2, seed=2), some(2, seed=3), f32(0.5, 2)]
GRID = f32([[[-0.63, 0.37], [0.11, -1.28]], [[1.9, 0.42], [0.87, 0.05]]])
IMAGE = counting(1, 1, 2, 2)
ALL = (True, True)

CASES: dict[str, list[Case]] = {
    "Conv": [
        Case("opset1", 1, [LINE, some(3, 2, 2, seed=1)]),
        Case("bias", 11, [LINE, some(3, 2, 2, seed=1), some(3, seed=2)]),
        Case(
            "attributes", 11, [PLANE, some(1, 1, 2, 2, seed=1)],
            {"pads": [1, 0, 1, 2], "strides": [2, 1], "dilations": [1, 2], "kernel_shape": [2, 2]},
        ),
        Case("grouped", 11, [some(1, 4, 3), some(4, 2, 2, seed=1)], {"group": 2}),
        Case("depthwise", 11, [LINE, some(2, 1, 3, seed=1)], {"group": 2, "pads": [1, 1]}),
        Case("same_upper", 11, [LINE, some(1, 2, 2, seed=1)], {"auto_pad": "SAME_UPPER"}),
        Case(
            "same_lower", 11, [LINE, some(1, 2, 2, seed=1)],
            {"auto_pad": "SAME_LOWER", "strides": [2]},
        ),
        Case("valid", 11, [LINE, some(1, 2, 2, seed=1)], {"auto_pad": "VALID"}),
        Case("three_axes", 11, [some(1, 1, 2, 2, 3), some(1, 1, 2, 1, 2, seed=1)]),
        Case("float16", 11, [LINE.astype("float16"), some(1, 2, 2, dtype="float16", seed=1)]),
        Case("bfloat16", 22, [LINE.astype(BFLOAT16), some(1, 2, 2, dtype=BFLOAT16, seed=1)]),
    ],
    "ConvInteger": [
        Case("u8s8_extreme", 10, [ints(U8, [[255, 255]]), ints(S8, [[127, 127]])]),
        Case(
            "zero_points", 10,
            [octets(1, 2, 4), signed(2, 2, 2), scalar(120, U8), ints(S8, -3, 5)], {"pads": [1, 0]},
        ),
        Case("grouped", 10, [octets(1, 2, 3), octets(2, 1, 2, seed=1)], {"group": 2}),
    ],
    "QLinearConv": [
        Case(
            "u8u8", 10,
            [
                octets(1, 1, 3, 3), scalar(0.013), scalar(120, U8),
                octets(1, 1, 2, 2, seed=1), scalar(0.017), scalar(130, U8),
                scalar(0.29), scalar(100, U8),
            ],
            {"pads": [1, 0, 0, 1]},
        ),
        Case(
            "per_channel", 10,
            [
                octets(1, 2, 3), scalar(0.013), scalar(120, U8),
                signed(2, 2, 2, seed=1), f32(0.017, 0.005), ints(S8, 0, 0),
                scalar(0.29), scalar(100, U8), ints("int32", 1000, -500),
            ],
        ),
    ],
    "ConvTranspose": [
        Case("opset1", 1, [some(1, 2, 3), some(2, 1, 2, seed=1)]),
        Case(
            "attributes", 11, [some(1, 1, 2, 2), some(1, 2, 2, 2, seed=1), some(2, seed=2)],
            {"strides": [2, 1], "pads": [0, 1, 0, 0], "output_padding": [1, 0]},
        ),
        Case("grouped", 11, [some(1, 4, 2), some(4, 1, 2, seed=1)], {"group": 2, "dilations": [2]}),
        Case(
            "output_shape", 11, [some(1, 1, 3), some(1, 1, 3, seed=1)],
            {"output_shape": [6], "strides": [2]},
        ),
    ],
    "AveragePool": [
        Case("opset7", 7, [PLANE], {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1]}),
        Case("counted", 10, [LINE], {"kernel_shape": [2], "pads": [1, 1], "count_include_pad": 1}),
        Case("ceiling", 19, [LINE], {"kernel_shape": [2], "strides": [2], "ceil_mode": 1}),
        Case("dilated", 19, [LINE], {"kernel_shape": [2], "dilations": [2]}),
    ],
    "MaxPool": [
        Case("opset1", 1, [LINE], {"kernel_shape": [2]}),
        Case("indices", 12, [PLANE], {"kernel_shape": [2, 2], "strides": [2, 2]}, ALL),
        Case(
            "column_major", 12, [PLANE],
            {"kernel_shape": [2, 2], "strides": [2, 1], "storage_order": 1}, ALL,
        ),
        Case("padded", 11, [LINE], {"kernel_shape": [3], "pads": [1, 1], "strides": [2]}),
        Case("ceiling", 12, [LINE], {"kernel_shape": [2], "strides": [2], "ceil_mode": 1}),
        Case("dilated", 12, [LINE], {"kernel_shape": [2], "dilations": [3]}),
        Case("uint8", 12, [octets(1, 1, 4)], {"kernel_shape": [2]}),
    ],
    "MaxUnpool": [
        Case("opset9", 9, [f32([[5, 6]]), i64([[1, 2]])], {"kernel_shape": [2], "strides": [2]}),
        Case(
            "output_shape", 11, [f32([[5, 6]]), i64([[1, 2]]), i64(1, 1, 5)],
            {"kernel_shape": [2], "strides": [2]},
        ),
    ],
    "LpPool": [
        Case(
            "opset1", 1, [LINE], {"kernel_shape": [2], "p": 1.0},
            same_as=(2, [LINE], {"kernel_shape": [2], "p": 1}),
        ),
        Case("opset2", 2, [LINE], {"kernel_shape": [2]}),
        Case("p3", 11, [PLANE], {"kernel_shape": [2, 2], "p": 3, "strides": [2, 2]}),
    ],
    "GlobalAveragePool": [Case("planes", 1, [some(1, 2, 2, 3)]), Case("lines", 1, [LINE])],
    "GlobalMaxPool": [Case("planes", 1, [some(1, 2, 2, 3)]), Case("lines", 1, [LINE])],
    "GlobalLpPool": [
        Case("opset1", 1, [LINE], {"p": 1.0}, same_as=(2, [LINE], {"p": 1})),
        Case("default", 2, [some(1, 2, 2, 2)]),
        Case("p3", 2, [LINE], {"p": 3}),
    ],
    "BatchNormalization": [
        Case(
            "opset1", 1, [LINE, *STATISTICS], {"is_test": 1, "consumed_inputs": [0, 0, 0, 1, 1]},
            same_as=(7, [LINE, *STATISTICS], {}),
        ),
        Case(
            "opset6", 6, [LINE, *STATISTICS], {"is_test": 1},
            same_as=(7, [LINE, *STATISTICS], {}),
        ),
        Case("opset7", 7, [LINE, *STATISTICS]),
        Case("opset9", 9, [LINE, *STATISTICS], {"epsilon": 0.1}),
        Case("opset14", 14, [LINE, *STATISTICS]),
        Case("opset15", 15, [some(2, 2), *STATISTICS]),
        Case(
            "training", 15, [LINE, *STATISTICS], {"training_mode": 1, "momentum": 0.6},
            (True, True, True),
        ),
    ],
    "InstanceNormalization": [
        Case("lines", 6, [LINE, some(2, seed=1), some(2, seed=2)]),
        Case("epsilon", 6, [some(1, 2, 2, 2), *STATISTICS[:2]], {"epsilon": 0.1}),
    ],
    "GroupNormalization": [
        Case("opset18", 18, [some(1, 4, 3), some(2, seed=1), some(2, seed=2)], {"num_groups": 2}),
        Case("opset21", 21, [some(1, 4, 3), some(4, seed=1), some(4, seed=2)], {"num_groups": 2}),
    ],
    "MeanVarianceNormalization": [
        Case("default", 9, [some(2, 2, 2, 2)]),
        Case("axes", 13, [some(2, 2, 3)], {"axes": [2]}),
    ],
    "LRN": [
        Case("default", 1, [some(1, 5, 1, 2)], {"size": 3}),
        Case(
            "attributes", 13, [some(1, 4, 1, 2)],
            {"size": 5, "alpha": 0.5, "beta": 0.6, "bias": 2.0},
        ),
    ],
    "Upsample": [
        Case(
            "opset1", 1, [IMAGE], {"height_scale": 2.0, "width_scale": 3.0},
            same_as=(7, [IMAGE], {"scales": [1.0, 1.0, 2.0, 3.0]}),
        ),
        Case("opset7", 7, [IMAGE], {"scales": [1.0, 1.0, 2.0, 3.0]}),
        Case("opset7_linear", 7, [IMAGE], {"scales": [1.0, 1.0, 2.0, 2.0], "mode": "linear"}),
        Case("opset9", 9, [IMAGE, f32(1, 1, 2, 1.5)]),
        Case("opset9_linear", 9, [IMAGE, f32(1, 1, 2, 2)], {"mode": "linear"}),
    ],
    "Resize": [
        Case("opset10", 10, [IMAGE, f32(1, 1, 2, 1.5)]),
        Case("opset10_linear", 10, [IMAGE, f32(1, 1, 2, 2)], {"mode": "linear"}),
        Case("opset11_scales", 11, [IMAGE, f32(), f32(1, 1, 2, 2)], {"mode": "linear"}),
        Case("opset11_sizes", 11, [IMAGE, f32(), f32(), i64(1, 1, 3, 3)]),
        *[
            Case(
                mode, 13, [IMAGE, None, f32(1, 1, 2, 1.5)],
                {"mode": "linear", "coordinate_transformation_mode": mode},
            )
            for mode in ("align_corners", "asymmetric", "pytorch_half_pixel")
        ],
        Case("cubic", 13, [PLANE, None, f32(1, 1, 0.5, 1.25)], {"mode": "cubic"}),
        Case(
            "cubic_inside", 13, [PLANE, None, f32(1, 1, 1, 1.5)],
            {"mode": "cubic", "exclude_outside": 1, "cubic_coeff_a": -0.5},
        ),
        *[
            Case(
                f"nearest_{mode}", 13, [counting(1, 1, 1, 4), None, f32(1, 1, 1, 0.625)],
                {"nearest_mode": mode},
            )
            for mode in ("floor", "ceil", "round_prefer_ceil", "round_prefer_floor")
        ],
        Case(
            "axes", 18, [IMAGE, None, None, i64(3, 4)],
            {"axes": [2, 3], "keep_aspect_ratio_policy": "not_larger"},
        ),
        Case(
            "antialias", 18, [PLANE, None, f32(1, 1, 0.5, 0.5)], {"mode": "linear", "antialias": 1},
        ),
    ],
    "GridSample": [
        *[
            Case(
                f"opset16_{mode}_{padding}", 16, [PLANE, GRID],
                {"mode": mode, "padding_mode": padding, "align_corners": aligned},
            )
            for mode, padding, aligned in (
                ("bilinear", "zeros", 0), ("bilinear", "border", 1), ("bilinear", "reflection", 0),
                ("nearest", "zeros", 1), ("nearest", "border", 0), ("nearest", "reflection", 1),
                ("bicubic", "zeros", 0), ("bicubic", "border", 0), ("bicubic", "reflection", 1),
            )
        ],
        *[
            Case(f"opset20_{mode}", 20, [PLANE, GRID], {"mode": mode})
            for mode in ("linear", "nearest", "cubic")
        ],
        Case("volume", 20, [some(1, 1, 2, 2, 2), f32([[[[-0.6, 0.3, 0.9], [0.1, -1.3, 0.4]]]])]),
    ],
    "AffineGrid": [
        Case("plane", 20, [some(1, 2, 3), i64(1, 1, 2, 3)]),
        Case("plane_aligned", 20, [some(1, 2, 3), i64(1, 1, 2, 3)], {"align_corners": 1}),
        Case("volume", 20, [some(1, 3, 4), i64(1, 1, 1, 2, 2)]),
    ],
    "RoiAlign": [
        *[
            Case(
                f"opset{opset}", opset, [PLANE, f32([0, 0, 3, 3], [1, 1, 2, 3]), i64(0, 0)],
                {"output_height": 2, "output_width": 2, "sampling_ratio": 2},
            )
            for opset in (10, 16)
        ],
    ],
    "MaxRoiPool": [
        Case("rois", 1, [PLANE, f32([0, 0, 0, 3, 3], [0, 1, 1, 2, 3])], {"pooled_shape": [2, 2]}),
        Case(
            "scaled", 1, [PLANE, f32([0, 0, 0, 6, 6])],
            {"pooled_shape": [1, 2], "spatial_scale": 0.5},
        ),
    ],
    "NonMaxSuppression": [
        Case(
            "corners", 11,
            [
                f32([[0, 0, 1, 1], [0, 0.1, 1, 1.1], [1, 1, 0, 0], [0, 2, 1, 3]]),
                f32([[0.9, 0.8, 0.95, 0.3]]), scalar(3, "int64"), scalar(0.5), scalar(0.2),
            ],
        ),
        Case(
            "centers", 10,
            [f32([[0.5, 0.5, 1, 1], [0.5, 0.6, 1, 1]]), f32([[0.7, 0.8]]), scalar(2, "int64")],
            {"center_point_box": 1},
        ),
        Case("none_wanted", 10, [f32([[0, 0, 1, 1]]), f32([[0.9]])]),
    ],
    "com.microsoft.FusedConv": [
        Case("relu", 1, [LINE, some(3, 2, 2, seed=1)], {"activation": "Relu"}),
        Case(
            "sum", 1, [LINE, some(2, 2, 2, seed=1), some(2, seed=2), some(1, 2, 4, seed=3)],
            {"activation": "LeakyRelu", "activation_params": [0.1]},
        ),
    ],
    "com.microsoft.QLinearConv": [
        Case(
            "channels_first", 1,
            [
                octets(1, 1, 3, 3), scalar(0.013), scalar(120, U8),
                octets(1, 1, 2, 2, seed=1), scalar(0.017), scalar(130, U8),
                scalar(0.29), scalar(100, U8),
            ],
        ),
        Case(
            "channels_last", 1,
            [
                octets(1, 3, 3, 1), scalar(0.013), scalar(120, U8),
                octets(1, 1, 2, 2, seed=1), scalar(0.017), scalar(130, U8),
                scalar(0.29), scalar(100, U8),
            ],
            {"channels_last": 1},
        ),
    ],
}  # fmt: skip
