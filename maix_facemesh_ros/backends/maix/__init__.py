"""The maix backend: MaixPy's networks on the NPU of the MaixCAM that this process runs on."""
