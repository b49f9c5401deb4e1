"""The outside as ports: MaxCompute, OSS, NNI."""
