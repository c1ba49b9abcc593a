"""Our own model server: Open Inference Protocol v2 over HTTP and gRPC on ONNX Runtime."""
