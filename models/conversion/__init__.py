"""Converts MediaPipe's TFLite face models to ONNX, without TensorFlow. See models/README.md."""
