"""mx_launch by itself: what a launch file means, and real processes that come and go."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from mx_launch import Launch, LaunchError
from mx_launch.description import declared_arguments, describe

REPOSITORY = Path(__file__).parents[2]
ENTRY = Path(sys.modules["mx_launch"].__file__).parents[1]


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """A package `fake` with the executable `talk`, which prints its arguments as JSON."""
    prefix = tmp_path / "prefix"
    for folder in ("lib/fake", "share/fake", "share/ament_index/resource_index/packages"):
        (prefix / folder).mkdir(parents=True)
    (prefix / "share/ament_index/resource_index/packages/fake").touch()
    script = prefix / "lib/fake/talk"
    script.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    script.chmod(0o755)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(prefix))
    return prefix


@pytest.fixture
def write(tmp_path):
    """Writes a launch file and returns its path."""

    def write(body, name="test.launch.xml"):
        path = tmp_path / name
        path.write_text(f"<launch>\n{body}\n</launch>\n")
        return path

    return write


def python(script, attributes=""):
    """An `<executable>` that runs a script of one line, without double quotes."""
    return f'<executable name="child" cmd="{sys.executable} -c &quot;{script}&quot;" {attributes}/>'


def run(path, arguments=None, timeout=30.0):
    """Run to the end; returns the launch, its code and its lines."""
    lines = []
    launch = Launch(path, arguments, output=lambda name, line: lines.append((name, line)))
    with launch:
        code = launch.wait(timeout)
    return launch, code, lines


def said(lines, name):
    return [line for who, line in lines if who == name]


def commands(path, tmp_path, **arguments):
    return [process.command for process in describe(path, arguments, tmp_path)]


def argument_words(path, tmp_path, **arguments):
    """What follows the executable of the only process."""
    (command,) = commands(path, tmp_path, **arguments)
    return list(command[1:])


# What a file means.


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(var a)", "1"),
        ("x$(var a)y $(var b)", "x1y two words"),
        ("$(var none fallback)", "fallback"),
        ("$(env MX_TEST_SET)", "set"),
        ("$(env MX_TEST_UNSET '')", ""),
        ("$(env MX_TEST_UNSET 'a default')", "a default"),
        ("$(env MX_TEST_UNSET $(var b))", "two words"),
        ("$(not $(var a))", "false"),
        ("$(and true $(equals $(var a) 1.0))", "true"),
        ("$(or false $(not-equals '$(var b)' 'two words'))", "false"),
        ("$(equals TRUE 1)", "true"),
        ("$(equals $(var b) $(var empty))", "false"),
        (r"costs 5$ \$(var a)", "costs 5$ $(var a)"),
        ("", ""),
    ],
)
def test_substitutions(write, tmp_path, monkeypatch, text, result):
    monkeypatch.setenv("MX_TEST_SET", "set")
    path = write(
        f'<let name="a" value="1"/><let name="b" value="two words"/><let name="empty" value=""/>'
        f'<let name="r" value="{text}"/><executable cmd="true $(var r)"/>'
    )
    assert argument_words(path, tmp_path) == [result]


def test_places_of_files_and_packages(write, tmp_path, prefix):
    path = write(
        '<executable cmd="true $(dirname) $(filename) $(find-pkg-share fake) '
        '$(find-pkg-prefix fake)"/>'
    )
    words = argument_words(path, tmp_path)
    assert words == [str(tmp_path), str(path), str(prefix / "share/fake"), str(prefix)]


def test_arguments_have_defaults_choices_and_conditions(write, tmp_path):
    path = write(
        '<arg name="who" default="$(env USER nobody)x" description="greeted"/>'
        '<arg name="how" default="loud"><choice value="loud"/><choice value="low"/></arg>'
        '<executable cmd="true $(var who)" if="$(equals $(var how) loud)"/>'
        '<executable cmd="false $(var who)" unless="$(equals $(var how) loud)"/>'
    )
    assert commands(path, tmp_path, who="me") == [("true", "me")]
    assert commands(path, tmp_path, who="a b", how="low") == [("false", "a b")]
    with pytest.raises(LaunchError, match="how:=soft is not one of loud, low"):
        describe(path, {"how": "soft"}, tmp_path)
    with pytest.raises(LaunchError, match=r"unknown launch argument 'whom'.*knows who, how"):
        describe(path, {"whom": "me"}, tmp_path)
    who, how = declared_arguments(path)
    assert (who.default, who.description) == ("$(env USER nobody)x", "greeted")
    assert how.choices == ("loud", "low")


def test_a_needed_argument_is_asked_for(write, tmp_path):
    path = write('<arg name="file" description="what to play"/>')
    with pytest.raises(LaunchError, match=r"xml:2: argument 'file' \(what to play\)"):
        describe(path, {}, tmp_path)


def test_a_group_keeps_its_values_and_its_environment_to_itself(write, tmp_path):
    path = write(
        '<let name="v" value="out"/><set_env name="MX_V" value="out"/>'
        '<group><let name="v" value="in"/><set_env name="MX_V" value="in"/>'
        '<executable cmd="true $(var v) $(env MX_V)"/></group>'
        '<group scoped="false"><let name="w" value="kept"/></group>'
        '<executable cmd="true $(var v) $(env MX_V) $(var w)"/>'
        '<unset_env name="MX_V"/><executable cmd="true"><env name="MX_W" value="1"/></executable>'
    )
    inner, outer, last = describe(path, {}, tmp_path)
    assert inner.command == ("true", "in", "in")
    assert outer.command == ("true", "out", "out", "kept")
    assert outer.environment["MX_V"] == "out"
    assert "MX_V" not in last.environment
    assert last.environment["MX_W"] == "1"


def test_an_included_file_shares_values_and_knows_its_own_folder(write, tmp_path):
    (tmp_path / "sub").mkdir()
    write(
        '<arg name="x" default="own"/><arg name="y"/>'
        '<executable cmd="true $(var x) $(var y) $(dirname)"/>',
        "sub/inner.launch.xml",
    )
    path = write(
        '<arg name="z" default="Z"/>'
        '<include file="$(dirname)/sub/inner.launch.xml">'
        '<arg name="y" value="$(var z)1"/></include>'
        '<executable cmd="true $(dirname)"/>'
    )
    inner, outer = commands(path, tmp_path)
    assert inner == ("true", "own", "Z1", str(tmp_path / "sub"))
    assert outer == ("true", str(tmp_path))
    assert commands(path, tmp_path, x="given")[0][1] == "given"


def test_a_node_gets_its_name_namespace_parameters_and_remaps(write, tmp_path, prefix):
    values = prefix / "share/fake/values.yaml"
    values.write_text("/**: {ros__parameters: {a: 1}}\n")
    path = write(
        '<group><push_ros_namespace namespace="robot"/>'
        '<node pkg="fake" exec="talk" name="n" namespace="arm" args="--x \'a b\'" output="screen">'
        '<param from="$(find-pkg-share fake)/values.yaml"/>'
        '<param name="text" value="3" type="str"/><param name="number" value="3"/>'
        '<param name="list" value="[1.5, 2.0]"/><param name="flag" value="1" type="bool"/>'
        '<param name="empty" value=""/><param name="far"><param name="b" value="x"/></param>'
        '<remap from="~/in" to="/out"/></node></group>'
        '<node pkg="fake" exec="talk"><param name="p" value="1"/></node>'
    )
    named, unnamed = commands(path, tmp_path)
    assert named[0] == str(prefix / "lib/fake/talk")
    assert named[1:9] == (
        *("--x", "a b", "--ros-args", "-r", "__node:=n", "-r", "__ns:=/robot/arm"),
        "--params-file",
    )
    assert named[9] == str(values)
    assert yaml.safe_load(Path(named[11]).read_text()) == {
        "/robot/arm/n": {
            "ros__parameters": {
                "text": "3",
                "number": 3,
                "list": [1.5, 2.0],
                "flag": True,
                "empty": "",
                "far.b": "x",
            }
        }
    }
    assert named[12:] == ("-r", "~/in:=/out")
    assert unnamed[1:3] == ("--ros-args", "--params-file")
    assert list(yaml.safe_load(Path(unnamed[3]).read_text())) == ["/**"]


def test_parameter_files_may_hold_substitutions(write, tmp_path, prefix):
    (tmp_path / "values.yaml").write_text("/**: {ros__parameters: {a: $(var v)}}\n")
    path = write(
        '<let name="v" value="7"/><node pkg="fake" exec="talk">'
        '<param from="$(dirname)/values.yaml" allow_substs="true"/></node>'
    )
    (command,) = commands(path, tmp_path)
    assert yaml.safe_load(Path(command[-1]).read_text())["/**"]["ros__parameters"] == {"a": 7}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<nod/>", r"xml:2: unknown tag <nod> in <launch>; known are arg, executable, group"),
        ('<node pkg="a" exec="b" nme="c"/>', r"xml:2: unknown attribute 'nme' of <node>; known"),
        ('\n<node pkg="a"/>', r"xml:3: <node> needs the attribute 'exec'"),
        ('<let name="a" value="1"><env/></let>', "unknown tag <env> in <let>; known are none"),
        ("<group>", r"xml:3: not well-formed XML: mismatched tag"),
        ('<let name="a" value="$(var b)"/>', r"xml:2: value: no argument or value 'b'; known"),
        ('<let name="a" value="$(vra b)"/>', r"unknown substitution \$\(vra\); known are and"),
        ('<let name="a" value="$(var b"/>', r"lacks the \) of \$\(var"),
        ('<let name="a" value="$(equals 1)"/>', "takes 2 arguments, not 1"),
        ('<let name="a" value="$(env MX_TEST_UNSET)"/>', "MX_TEST_UNSET is not set"),
        ('<let name="a" value="$(find-pkg-share nope)"/>', "package 'nope' not found in"),
        ('<group if="maybe"/>', "if: 'maybe' is neither true nor false"),
        ('<group if="1" unless="1"/>', "both 'if' and 'unless'"),
        ('<include file="/nowhere.launch.xml"/>', "included file /nowhere.launch.xml does not"),
        ('<include file="$(filename)"/>', "includes itself"),
        ('<executable cmd="no_such_command_of_mx x"/>', "'no_such_command_of_mx' not found"),
        ("<executable cmd=\"true 'x $(dirname)'\"/>", "cmd: No closing quotation"),
        ('<executable cmd="true" respawn_delay="soon"/>', "respawn_delay='soon' is not a number"),
        ('<executable cmd="true" on_exit="restart"/>', "on_exit='restart' is not 'shutdown'"),
        ('<executable cmd="true" output="paper"/>', "output='paper' is not one of both"),
        ('<node pkg="fake" exec="tlak"/>', "no executable 'tlak'; it has talk"),
        ('<node pkg="nope" exec="talk"/>', "package 'nope' not found in"),
        ('<node pkg="fake" exec="talk"><param name="a"/></node>', "either 'value' or nested"),
        ('<node pkg="fake" exec="talk"><param value="a"/></node>', "'name' or 'from'"),
        (
            '<node pkg="fake" exec="talk"><param from="/no.yaml"/></node>',
            "xml:2: parameter file /no.yaml does not exist",
        ),
        (
            '<node pkg="fake" exec="talk"><param name="a" value="x" type="int"/></node>',
            "value 'x' of 'a' is no int",
        ),
        ('<node pkg="fake" exec="talk"><param name="a" value="{b: 1}"/></node>', "is no yaml"),
    ],
)
def test_mistakes_are_named_with_file_and_line(write, tmp_path, prefix, body, message):
    with pytest.raises(LaunchError, match=message):
        describe(write(body), {}, tmp_path)


def test_a_file_that_is_missing_or_no_launch_file_is_named(tmp_path):
    with pytest.raises(LaunchError, match=r"cannot read launch file .*gone.xml"):
        Launch(tmp_path / "gone.xml")
    (tmp_path / "other.xml").write_text("<robot/>")
    with pytest.raises(LaunchError, match="outermost tag is <robot>"):
        Launch(tmp_path / "other.xml")


# Processes.


def test_a_node_runs_and_its_output_is_named(write, prefix):
    path = write('<node pkg="fake" exec="talk" name="n" args="hello"/>')
    launch, code, lines = run(path)
    assert code == 0
    assert launch.exit_codes == {"n": 0}
    assert json.loads(said(lines, "n")[0])[0] == "hello"
    assert any(line.startswith("n started, pid") for line in said(lines, "launch"))


def test_lines_stay_whole_and_none_is_lost(write):
    script = (
        "import sys; "
        "[print('x' * 50, n, file=f) for n in range(2000) for f in (sys.stdout, sys.stderr)]"
    )
    path = write(python(script) + python(script))
    _, code, lines = run(path)
    assert code == 0
    expected = sorted(f"{'x' * 50} {n}" for n in range(2000) for _ in range(2))
    assert sorted(said(lines, "child")) == expected
    assert sorted(said(lines, "child-2")) == expected


def test_a_line_without_an_end_and_odd_bytes_are_passed_on(write):
    path = write(
        python("import sys; sys.stdout.buffer.write(b'a\\\\xffb\\\\r\\\\n' + b'y' * 200000)")
    )
    _, _, lines = run(path)
    first, *rest = said(lines, "child")
    assert first == "a\ufffdb"
    assert "".join(rest) == "y" * 200000


def test_the_end_of_a_required_process_stops_the_rest_with_its_code(write):
    path = write(
        python("import time; time.sleep(60)")
        + python("import sys; sys.exit(7)", 'on_exit="shutdown"')
    )
    launch, code, lines = run(path)
    assert code == 7
    assert launch.cause == "child-2"
    assert launch.exit_codes["child"] != 0
    assert "child-2 is required: stopping the rest" in said(lines, "launch")


def test_other_processes_may_end_without_stopping_the_rest(write):
    path = write(python("import sys; sys.exit(3)") + python("print('still here')"))
    launch, code, lines = run(path)
    assert code == 3
    assert launch.cause is None
    assert said(lines, "child-2") == ["still here"]


def test_a_process_is_respawned_as_often_as_told(write):
    path = write(
        python("print('once')", 'respawn="true" respawn_delay="0.01" respawn_max_retries="2"')
    )
    _, code, lines = run(path)
    assert code == 0
    assert said(lines, "child") == ["once"] * 3


def wait_for(lines, line):
    until = time.monotonic() + 20
    while line not in lines:
        assert time.monotonic() < until, lines
        time.sleep(0.01)


def test_stopping_interrupts_then_terminates_then_kills(write):
    polite = "import signal; print('ready', flush=True); signal.pause()"
    stubborn = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "signal.signal(signal.SIGTERM, lambda *_: print('no')); print('ready', flush=True); "
        "[time.sleep(1) for _ in range(60)]"
    )
    path = write(python(polite) + python(stubborn, 'sigterm_timeout="0.1" sigkill_timeout="0.1"'))
    lines = []
    launch = Launch(path, output=lambda name, line: lines.append((name, line))).start()
    wait_for(lines, ("child", "ready"))
    wait_for(lines, ("child-2", "ready"))
    assert launch.poll() is None
    assert set(launch.pids) == {"child", "child-2"}
    launch.stop()
    assert launch.exit_codes == {"child": 130, "child-2": 137}
    assert said(lines, "child-2")[-1] == "no"
    assert launch.pids == {}
    assert launch.poll() is not None


def test_processes_of_a_background_job_hear_interrupts(write):
    path = write(python("import signal; print('ready', flush=True); signal.pause()"))
    lines = []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        launch = Launch(path, output=lambda name, line: lines.append((name, line))).start()
        wait_for(lines, ("child", "ready"))
        launch.stop()
    finally:
        signal.signal(signal.SIGINT, before)
    assert launch.exit_codes == {"child": 130}


def test_what_a_process_started_ends_with_it(write):
    script = "import subprocess; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True)"
    _, code, lines = run(write(python(script)))
    assert code == 0
    pid = int(said(lines, "child")[0])
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_an_output_that_fails_stops_everything(write):
    def broken(name, line):
        if name == "child":
            raise BrokenPipeError

    path = write(python("import time; print('x', flush=True); time.sleep(60)"))
    with Launch(path, output=broken) as launch:
        assert launch.wait(20) == 130


# The command line.


def command_line(*words, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "mx_launch", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ENTRY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_all_processes(write, number, code):
    path = write(python("import signal; print('ready', flush=True); signal.pause()"))
    with command_line(path) as process:
        assert "[child] ready\n" in iter(process.stdout.readline, "")
        process.send_signal(number)
        rest, errors = process.communicate(timeout=20)
    assert process.returncode == code
    assert "[launch] child ended by SIGINT" in rest
    assert errors == ""


def test_the_command_line_runs_a_file_of_a_package(prefix):
    path = prefix / "share/fake/launch/talk.launch.xml"
    path.parent.mkdir()
    path.write_text(
        '<launch><arg name="word" default="none" description="said"/>'
        '<node pkg="fake" exec="talk" name="n" args="$(var word)"/></launch>'
    )
    with command_line("fake", "talk.launch.xml", "word:=a b") as process:
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert '[n] ["a b",' in output
    with command_line("fake", "talk.launch.xml", "--show-args") as process:
        assert "word:=   said (default: 'none')" in process.communicate(timeout=20)[0]
    with command_line("fake", "talk.launch.xml", "--print", "word:=x") as process:
        assert "lib/fake/talk x --ros-args" in process.communicate(timeout=20)[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.launch.xml"], "cannot read launch file nowhere.launch.xml"),
        (["nowhere.launch.xml", "a:=1", "b"], "'b' is no launch argument"),
        (["no_package", "x.launch.xml"], "package 'no_package' not found"),
        (["fake", "x.launch.xml"], "package 'fake' has no 'x.launch.xml'; it has none"),
    ],
)
def test_mistakes_of_the_command_line_are_one_line(prefix, words, message):
    with command_line(*words) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert message in errors
    assert errors.count("\n") == 1


# The launch files of the suite.


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Stand-ins for every package that the launch files of the suite name."""
    executables = {
        "mx_capture": [
            "simulator_node", "event_camera_node", "rgb_camera_node", "face_detector_node",
            "event_tensor_node", "recorder_node", "face_camera_node",
        ],
        "mx_perception": ["au_classifier_node", "reconstruction_node", "overlay_node"],
        "metavision_driver": ["driver_node"],
        "libcaer_driver": ["driver_node"],
        "usb_cam": ["usb_cam_node_exe"],
        "v4l2_camera": ["v4l2_camera_node"],
    }  # fmt: skip
    index = tmp_path / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True)
    for package, names in executables.items():
        (index / package).touch()
        (tmp_path / "lib" / package).mkdir(parents=True)
        for name in names:
            (tmp_path / "lib" / package / name).touch(0o755)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))


PERCEPTION = [
    "face_detector_node",
    "event_tensor_node",
    "au_classifier_node",
    "reconstruction_node",
]


@pytest.mark.parametrize(
    ("file", "arguments", "cameras"),
    [
        ("demo", {}, ["simulator_node"]),
        ("demo", {"respawn": "false"}, ["simulator_node"]),
        ("files", {}, []),
        ("files", {"events": "a b.raw"}, ["event_camera_node"]),
        ("files", {"events": "a.raw", "rgb": "b.mp4"}, ["event_camera_node", "rgb_camera_node"]),
        ("robot", {}, ["event_camera_node", "rgb_camera_node"]),
        ("robot", {"event_camera": "none", "rgb_camera": "none"}, []),
        (
            "robot",
            {"event_camera": "metavision_driver", "rgb_camera": "usb_cam", "respawn": "false"},
            ["event_camera", "rgb_camera"],
        ),
        (
            "robot",
            {"event_camera": "libcaer_driver", "rgb_camera": "libcaer", "namespace": "robot"},
            ["event_camera"],
        ),
        ("robot", {"event_camera": "webcam"}, ["event_camera_node"]),
        ("robot", {"event_camera": "davis346", "rgb_camera": "davis"}, ["event_camera_node"]),
        (
            "robot",
            {"event_camera": "davis346", "rgb_camera": "v4l2_camera"},
            ["event_camera_node", "rgb_camera"],
        ),
    ],
)
@pytest.mark.parametrize("record", ["true", "false"])
def test_launch_files_of_the_suite(packages, tmp_path, file, arguments, cameras, record):
    path = REPOSITORY / f"launch/{file}.launch.xml"
    processes = describe(path, {**arguments, "record": record}, tmp_path)
    recorder = ["recorder_node"] if record == "true" else []
    assert [process.name for process in processes] == [*cameras, *PERCEPTION, *recorder]
    respawn = arguments.get("respawn") != "false"
    for process in processes:
        assert f"__ns:=/{arguments.get('namespace', '')}" in process.command
        profile = str(REPOSITORY / "launch/fastdds.xml")
        assert process.environment["FASTDDS_DEFAULT_PROFILES_FILE"] == profile
        if process.name in PERCEPTION:
            assert (process.respawn, process.required) == (respawn, not respawn)


@pytest.mark.parametrize(
    ("file", "arguments", "nodes"),
    [
        ("demo", {}, {"event_camera_node", "face_camera_node"}),
        ("demo", {"respawn": "false"}, {"event_camera_node", "face_camera_node"}),
        ("files", {"events": "a.raw", "rgb": "b.mp4"}, {"event_camera_node", "face_detector_node"}),
        ("robot", {}, {"event_camera_node", "face_camera_node"}),
        ("robot", {"rgb_camera": "usb_cam"}, {"event_camera_node", "face_detector_node"}),
        ("robot", {"event_camera": "webcam"}, {"event_camera_node", "face_detector_node"}),
    ],
)
def test_privacy_starts_nothing_that_shows_anybody(packages, tmp_path, file, arguments, nodes):
    path = REPOSITORY / f"launch/{file}.launch.xml"
    given = {**arguments, "privacy": "true", "overlay": "true", "record": "true"}
    processes = {process.name: process for process in describe(path, given, tmp_path)}
    assert set(processes) == {*nodes, "event_tensor_node", "au_classifier_node", "recorder_node"}

    def values(name):
        words = pairwise(processes[name].command)
        files = [Path(word) for before, word in words if before == "--params-file"]
        return yaml.safe_load(files[-1].read_text())[f"/{name}"]["ros__parameters"]

    assert "image" not in values("recorder_node")["topics"]
    in_camera = "face_camera_node" in nodes
    assert values("event_tensor_node")["pictures"] == ("none" if in_camera else "events")
    if not in_camera:
        assert values("face_detector_node")["pictures"] is False
    if file != "demo":
        assert not values("event_camera_node").get("publish_frames", False)
        assert not values("event_camera_node").get("grey_frames", False)


def test_frames_of_a_davis_driver_are_the_rgb_camera_if_asked_for(packages, tmp_path):
    path = REPOSITORY / "launch/robot.launch.xml"

    def of(rgb_camera):
        arguments = {"event_camera": "libcaer_driver", "rgb_camera": rgb_camera}
        command = describe(path, arguments, tmp_path)[0].command
        values = yaml.safe_load(Path(command[command.index("-r", 8) - 1]).read_text())
        return values["/event_camera"]["ros__parameters"]["aps_enabled"], command[-3]

    assert of("libcaer") == (True, "~/image_raw:=rgb/image_raw")
    assert of("none") == (False, "~/image_raw:=event_camera/image_raw")


@pytest.mark.parametrize(
    ("arguments", "clock"),
    [
        ({"event_camera": "webcam"}, "shared"),
        ({"event_camera": "davis346", "rgb_camera": "davis"}, "shared"),
        ({"event_camera": "evk4", "trigger_in": "external", "clock": "trigger"}, "trigger"),
        ({"event_camera": "evk4"}, "arrival"),
    ],
)
def test_cameras_of_one_clock_share_it(packages, tmp_path, arguments, clock):
    path = REPOSITORY / "launch/robot.launch.xml"
    processes = describe(path, arguments, tmp_path)
    (command,) = (p.command for p in processes if p.name == "event_tensor_node")
    files = [Path(word) for before, word in pairwise(command) if before == "--params-file"]
    values = yaml.safe_load(files[-1].read_text())
    assert values["/event_tensor_node"]["ros__parameters"]["clock"] == clock


def test_the_values_name_nodes_in_any_namespace():
    values = yaml.safe_load((REPOSITORY / "launch/params.yaml").read_text())
    # A full name here would come before what a launch file sets itself.
    assert all(name.startswith("/**") for name in values)
