"""The sandbox's program, see `__init__.py`."""

import json
import platform
import signal
import sys

from kernel import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, prctl
from limits import limit
from processes import execute, namespaces


def main():
    settings = json.loads(sys.argv[1])
    missing = {layer: "not wanted" for layer in settings["left_out"]}
    if sys.platform != "linux":
        missing["namespaces"] = missing["Landlock"] = missing["seccomp"] = f"{platform.system()} has none"
        if "limits" not in missing:
            limit(settings, missing)
        execute(settings, missing)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # ends with who started it
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans come to this process, which ends them
    namespaces(settings, missing)


if __name__ == "__main__":
    main()
