import threading

from mx_capture.health import ERROR, OK, WARN, Health


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_rates_are_counted_between_reports():
    clock = Clock()
    health = Health(now=clock)
    health.count("packets", 50)
    clock.now = 2.0
    assert health.report().values["packets_hz"] == "25.0"
    clock.now = 3.0
    report = health.report()
    assert (report.values["packets"], report.values["packets_hz"]) == ("50", "0.0")


def test_a_loss_warns_once_with_its_remedy():
    health = Health(losses={"lost_packets": "lower the event rate"})
    health.set_counts({"lost_packets": 3})
    report = health.report()
    assert report.level == WARN
    assert "lost_packets +3: lower the event rate" in report.message
    health.set_counts({"lost_packets": 3})
    assert health.report().level == OK


def test_the_worst_problem_sets_the_level_until_it_is_solved():
    health = Health()
    health.problem("rate", "slow")
    health.problem("device", "unplugged: plug it in", level=ERROR)
    assert health.report().level == ERROR
    health.solved("device")
    report = health.report()
    assert (report.level, report.message) == (WARN, "slow")


def test_latency_percentiles_cover_the_last_samples():
    health = Health()
    for milliseconds in range(1, 101):
        health.latency("step", float(milliseconds))
    values = health.report().values
    assert values["step_ms_p50"] == "50.50"
    assert values["step_ms_p99"] == "99.01"


def test_a_latency_above_its_limit_warns_with_its_remedy():
    health = Health(limits={"step": (50.0, "free a core")})
    health.latency("step", 49.0)
    assert health.report().level == OK
    health.latency("step", 70.0)
    report = health.report()
    assert (report.level, report.message) == (WARN, "step takes 60 ms, above 50: free a core")


def test_an_active_node_that_hears_nothing_warns():
    health = Health(silences={"frames event_images": "start a camera"})
    assert health.report().level == OK
    health.facts["state"] = "active"
    assert health.report().message == "start a camera"
    health.count("event_images")
    assert health.report().level == OK
    assert health.report().level == WARN


def test_a_thread_may_count_while_another_reports() -> None:
    health, done = Health(), threading.Event()

    def count() -> None:
        for number in range(20_000):
            health.count(f"count_{number % 500}")
            health.latency(f"latency_{number % 50}", 1.0)
        done.set()

    thread = threading.Thread(target=count)
    thread.start()
    while not done.is_set():
        health.report()
    thread.join()
    assert health.report().values["count_0"] == "40"
