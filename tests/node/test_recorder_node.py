"""The recorder's services: recordings begin and end on request, and remarks go into them."""

from __future__ import annotations

from mx_capture.nodes.recorder_node import RecorderNode
from mx_capture.recording.recorder import MARKS_TOPIC
from mx_capture.recording.replayer import RawSession
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import Trigger


def asker(graph):
    clients = {
        name: graph.peer.create_client(Trigger, f"/recorder_node/{name}")
        for name in ("start", "stop", "mark")
    }
    for client in clients.values():
        graph.until(client.service_is_ready)

    def ask(name):
        future = clients[name].call_async(Trigger.Request())
        graph.until(future.done)
        return future.result().success, future.result().message

    return ask


def test_services_begin_and_end_recordings(graph, tmp_path):
    bag = tmp_path / "bag"
    [recorder] = graph.start(RecorderNode, out=str(bag), reserve_mb=0, record_at_start="false")
    ask = asker(graph)
    assert not bag.exists()
    for name in ("stop", "mark"):
        assert ask(name) == (False, "nothing is being recorded; call ~/start first")
    publisher = graph.publisher(CameraInfo, "/rgb/camera_info", subscribers=0)
    for number, folder in enumerate((bag, tmp_path / "bag_2")):
        assert ask("start") == (True, f"recording to {folder}")
        assert ask("start")[0] is False
        graph.until(lambda: publisher.get_subscription_count() == 1)
        for _ in range(3):
            publisher.publish(CameraInfo())
        graph.until(lambda: recorder.recorder.counters.written["/rgb/camera_info"] == 3)
        assert ask("mark") == (True, f"mark {number + 1}")
        assert ask("stop") == (True, f"4 messages are in {folder}")
        graph.until(lambda: publisher.get_subscription_count() == 0)
        counts = {name: topic.messages for name, topic in RawSession(folder).topics.items()}
        assert counts == {"/rgb/camera_info": 3, MARKS_TOPIC: 1}


def test_a_folder_that_is_there_is_refused_and_left_alone(graph, tmp_path):
    bag = tmp_path / "bag"
    bag.mkdir()
    graph.start(RecorderNode, out=str(bag), reserve_mb=0, record_at_start="false")
    success, message = asker(graph)("start")
    assert not success and "exists already" in message
    assert not list(bag.iterdir())
