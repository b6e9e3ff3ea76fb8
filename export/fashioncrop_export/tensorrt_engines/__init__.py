"""TensorRT engines: `fashioncrop-export --variant tensorrt`.

::

    model.onnx ── plain_graph ── ranges (calibration photos) ── mixed_precision ── model.tensorrt.onnx
                                                                                        │ parser_rules
    model.plan + model.tensorrt.json (the fingerprint) ◄── building (a GPU) ◄── profiles ┘

Precision is written into the graph, because TensorRT 11 knows no other way (its FP16 flag is gone), and by a pass of
this package's own: NVIDIA's ModelOpt AutoCast (0.47) wants onnx 1.21, ONNX Runtime 1.24 for CUDA and cupy, which
exclude what everything else here is tested with, and goes by operator types and ranges alone, where here it is known
what a part of the graph does.
"""
