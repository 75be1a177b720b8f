"""An ONNX file becomes a frozen Graph, and back."""
