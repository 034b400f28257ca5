"""The example of the documents, run as a reader would."""

import subprocess
import sys
from pathlib import Path

from hri_msgs.msg import FacialActionUnits, IdsList
from mx_capture.node_setup import HUMANS_QOS, LATCHED_QOS

EXAMPLE = Path(__file__).parents[2] / "docs/examples/smiles.py"


def test_the_listener_says_who_smiles(graph, tmp_path):
    graph.start()
    out = (tmp_path / "out").open("w+")
    process = subprocess.Popen([sys.executable, str(EXAMPLE)], stdout=out)
    try:
        tracked = graph.publisher(IdsList, "/humans/faces/tracked", LATCHED_QOS)
        tracked.publish(IdsList(ids=["f00007"]))
        facs = graph.publisher(FacialActionUnits, "/humans/faces/f00007/facs", HUMANS_QOS)
        smile = FacialActionUnits()
        smile.intensity[12], smile.confidence[12] = 0.9, 1.0
        facs.publish(smile)
        graph.until(lambda: Path(out.name).read_text() == "f00007 smiles (0.90)\n")
        tracked.publish(IdsList())
        graph.until(lambda: facs.get_subscription_count() == 0)
    finally:
        process.kill()
        process.wait()
        out.close()
