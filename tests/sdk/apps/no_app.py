"""Takes no callbacks: says where the sidecar is, and waits for its end."""

import os
import signal

print("listening", os.environ.get("DAPR_GRPC_PORT", ""), flush=True)
signal.pause()
