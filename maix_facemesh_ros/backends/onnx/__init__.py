"""The onnx backend: MediaPipe's networks, or a user's own face detector, on onnxruntime."""
