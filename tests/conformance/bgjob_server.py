"""bgjob's server over HTTP without a token, which the official suite cannot send. Test code only.

usage: python bgjob_server.py PORT
"""

import sys

import uvicorn

from bgjob_mcp.server.app import build
from bgjob_mcp.surroundings import Surroundings
from bgjobd.paths import Paths

app = build(Surroundings.of_this_process(), Paths.from_environment()).streamable_http_app()
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
