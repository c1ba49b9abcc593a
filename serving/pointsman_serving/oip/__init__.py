"""Open Inference Protocol v2: tensors over HTTP (JSON and binary) and gRPC."""
