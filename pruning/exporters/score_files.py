"""`python -m pruning.exporters.score_files`: the fresh process that scores exported files for `verification`.

It reads one request from standard input: a line of JSON, then the bytes of the pickled workload if there is one. Its
last lines of output are JSON, one for each file.
"""

import json
import sys
from pathlib import Path

import torch

from pruning.errors import PruningError
from pruning.exporters.reading import read_own_network
from pruning.exporters.verification import score_file, to_dict
from pruning.exporters.workload_source import from_message, open_source

NOT_SCORED = 2


def main() -> None:
    request = json.loads(sys.stdin.buffer.readline())
    device = torch.device(request["device"])
    try:
        workload = open_source(from_message(request["call"], sys.stdin.buffer.read()))
        # the run that asks has written them a moment ago
        found = [score_file(Path(file), workload, device, read_own_network) for file in request["files"]]
    except PruningError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(NOT_SCORED)
    for each in found:
        print(json.dumps(to_dict(each)))


if __name__ == "__main__":
    main()
