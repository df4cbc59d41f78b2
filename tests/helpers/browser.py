"""Drive headless Chromium over its DevTools protocol, through pipes and without further packages."""
import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

LOGS = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")


def find_browser():
    """Return the path of Chromium or Chrome, or None; $UGC_TEST_BROWSER names another one."""
    return os.environ.get("UGC_TEST_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A headless browser with one page, which ends at the end of a with-block."""

    def __init__(self, *flags, width=1280, height=900):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        commands, results = os.pipe(), os.pipe()
        self._commands, self._results = commands[1], results[0]
        self._rest, self._count, self.logs = b"", 0, []

        # the sandbox needs rights that containers lack; the pages are this repository's own
        self._process = subprocess.Popen(
            [find_browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
             "--no-first-run", "--disable-extensions", "--disable-background-networking",
             "--disable-dev-shm-usage", f"--user-data-dir={self.profile.name}", *flags],
            preexec_fn=_pipes(commands[0], results[1]), close_fds=False, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(commands[0])
        os.close(results[1])
        self._session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._results)
        self.profile.cleanup()

    def call(self, method, timeout=60, **parameters):
        """Call a method of the protocol and return its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            answer = self._read()
            if answer.get("id") == self._count:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            if answer.get("method") in LOGS:
                self.logs.append(json.dumps(answer["params"])[:600])
        raise TimeoutError(f"{method}: no answer in {timeout} seconds")

    def _read(self):
        while b"\0" not in self._rest:
            part = os.read(self._results, 2 ** 16)
            assert part, "the browser has ended"
            self._rest += part
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def resize(self, width, height, mobile=False):
        """Set the size of the window, in CSS pixels; `mobile` imitates a phone with a touch screen."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=2 if mobile else 1, mobile=mobile)
        self.call("Emulation.setTouchEmulationEnabled", enabled=mobile)

    def open(self, address):
        """Open an address."""
        self.call("Page.navigate", url=address)

    def evaluate(self, expression):
        """Evaluate an expression of JavaScript, or wait for its promise, and return its value."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, expression, timeout=60):
        """Wait until an expression is true."""
        end = time.monotonic() + timeout
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"{expression} is not true after {timeout} seconds; {self.logs}"
            time.sleep(0.05)

    def box(self, selector):
        """Return (left, top, width, height) of an element, in CSS pixels, after scrolling to it."""
        return self.evaluate(f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element.scrollIntoView({{block: "nearest"}});
            const box = element.getBoundingClientRect();
            return [box.left, box.top, box.width, box.height];
        }})()""")

    def click(self, selector):
        """Click on the center of an element."""
        left, top, width, height = self.box(selector)
        self.drag([(left + width / 2, top + height / 2)])

    def drag(self, points):
        """Press the mouse button at the first point, move along the others, and release it at the last."""
        for kind, (x, y) in [("mousePressed", points[0]), *(("mouseMoved", point) for point in points[1:]),
                             ("mouseReleased", points[-1])]:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def touch(self, points):
        """Draw along points with a finger."""
        for kind, touched in [("touchStart", points[:1]), *(("touchMove", [point]) for point in points[1:]),
                              ("touchEnd", [])]:
            self.call("Input.dispatchTouchEvent", type=kind,
                      touchPoints=[{"x": x, "y": y} for x, y in touched])

    def stroke(self, selector, points, touch=False):
        """Draw on an element along points, which are fractions of its width and height."""
        left, top, width, height = self.box(selector)
        path = [(left + x * width, top + y * height) for x, y in points]
        (self.touch if touch else self.drag)(path)

    def screenshot(self, path=None):
        """Return the window as the bytes of a PNG file, and write it to `path`, if given."""
        content = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path:
            with open(path, "wb") as file:
                file.write(content)
        return content


def _pipes(commands, results):
    """Return a function that gives a new process its ends of the pipes as the descriptors 3 and 4."""
    def connect():
        high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (commands, results)]  # neither 3 nor 4
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)
    return connect
