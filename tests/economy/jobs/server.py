"""A development server: compiles for a while, then listens and says so; logs until it is killed."""

import http.server

from pace import paced

for step in paced("server", ["resolving", "bundling", "optimizing", "hashing"], 8.0):
    print(f"  {step} dependencies ...", flush=True)
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
print(f"\n  ready in 8012 ms\n\n  Local:   http://127.0.0.1:{server.server_port}/\n  press h for help", flush=True)
server.serve_forever()
