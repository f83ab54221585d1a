"""Looks at a page in Debian's chromium, without a display: PAGE FOLDER. Prints what it found as JSON; pictures go to FOLDER."""

import asyncio, base64, itertools, json, os, re, signal, subprocess, sys, tempfile, urllib.request

import websockets

PAGE, FOLDER = sys.argv[1], sys.argv[2]
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --hide-scrollbars --remote-debugging-port=0""".split()
# The sizes that the page is made for, in both colour schemes.
VIEWS = [(1280, 900, "light"), (1280, 900, "dark"), (400, 800, "light"), (400, 800, "dark")]
LOOK = """({
  title: document.title, ran: window.ran === true, images: document.images.length,
  divergences: [...document.querySelectorAll("article h3")].map(it => it.textContent),
  fields: [...document.querySelectorAll("article tbody th, article td")].map(it => it.textContent),
  bars: document.querySelectorAll(".bar").length, fired: document.querySelectorAll(".fired").length,
  rows: [...document.querySelectorAll(".row .name")].map(it => it.textContent),
  said: document.forms[0].elements.said.value, filter: !document.forms[0].hidden,
})"""
# The page is wider than the window where something stands out; a bar that is no wider than nothing is not drawn.
FIT = """({
  wide: document.documentElement.scrollWidth - window.innerWidth, ground: getComputedStyle(document.body).backgroundColor,
  widest: Math.max(...[...document.querySelectorAll(".bar")].map(it => it.getBoundingClientRect().width)),
  track: document.querySelector(".row .track").getBoundingClientRect().width,
})"""
# Of all text the least contrast with what is behind it (WCAG 2.2, 1.4.3: 4.5 is enough), and where.
CONTRAST = """(() => {
  const light = color => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(it => it / 255).map(it => it <= .04045 ? it / 12.92 : ((it + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = it => {
    const color = it ? getComputedStyle(it).backgroundColor : "rgb(255, 255, 255)";
    return color.startsWith("rgba(") ? behind(it.parentElement) : color;
  };
  const ratio = it => {
    const [a, b] = [light(getComputedStyle(it).color), light(behind(it))].sort((a, b) => b - a);
    return (a + .05) / (b + .05);
  };
  const has = it => [...it.childNodes].some(it => it.nodeType === 3 && it.textContent.trim());
  const all = [...document.body.querySelectorAll("*")].filter(it => has(it) && it.checkVisibility() && it.tagName !== "text");
  return all.map(it => [ratio(it), it.outerHTML.slice(0, 80)]).sort((a, b) => a[0] - b[0])[0];
})()"""
SHOWN = """[...document.querySelectorAll("[data-kind]")].filter(it => it.checkVisibility()).map(it => it.dataset.kind)"""
# What the page's own policy must stop, even in a page whose escaping failed.
INTRUDE = """new Promise(done => {
  const stopped = [];
  document.addEventListener("securitypolicyviolation", it => stopped.push(it.effectiveDirective));
  const script = document.createElement("script");
  script.textContent = "window.ran = true";
  const image = new Image();
  image.src = "http://127.0.0.1:9/x.png";
  document.body.append(script, image);
  setTimeout(() => done({stopped: stopped.sort(), ran: window.ran === true}), 500);
})"""


class Tab:
    def __init__(self, socket):
        self.socket, self.numbers, self.answers, self.asked, self.logged = socket, itertools.count(1), {}, [], []

    async def listen(self):
        async for text in self.socket:
            message = json.loads(text)
            if "id" in message:
                self.answers[message["id"]].set_result(message)
            elif message["method"] == "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
            elif message["method"] == "Log.entryAdded":
                self.logged.append(message["params"]["entry"]["text"])

    async def do(self, method, **params):
        number = next(self.numbers)
        self.answers[number] = asyncio.get_running_loop().create_future()
        await self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        answer = await self.answers[number]
        assert "error" not in answer, (method, answer)
        return answer["result"]

    async def tell(self, expression):
        answer = await self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def press(self, key, **more):
        for kind in ("keyDown", "keyUp"):
            await self.do("Input.dispatchKeyEvent", type=kind, key=key, **(more if kind == "keyDown" else {}))


async def roles(tab):
    """What a screen reader is told of tables: how many headers and cells."""
    await tab.do("Accessibility.enable")
    nodes = (await tab.do("Accessibility.getFullAXTree"))["nodes"]
    told = [node["role"]["value"] for node in nodes if "role" in node]
    return {role: told.count(role) for role in ("main", "table", "columnheader", "rowheader", "cell")}


async def look(socket):
    tab = Tab(socket)
    listening = asyncio.ensure_future(tab.listen())
    for part in ("Network", "Log", "Page", "Runtime"):
        await tab.do(part + ".enable")
    await tab.do("Page.navigate", url="file://" + PAGE)
    while not await tab.tell("document.readyState === 'complete' && document.forms.length > 0"):
        await asyncio.sleep(0.05)
    found = {"page": await tab.tell(LOOK), "views": []}
    for width, height, scheme in VIEWS:
        await tab.do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        await tab.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        found["views"].append({**await tab.tell(FIT), "contrast": await tab.tell(CONTRAST), "roles": await roles(tab)})
        for name, place in (("top", "body"), ("timeline", "[aria-label=Timeline]"), ("faults", "[aria-label=Faults]")):
            await tab.tell(f"document.querySelector('{place}').scrollIntoView()")
            picture = await tab.do("Page.captureScreenshot")
            with open(f"{FOLDER}/{width}-{scheme}-{name}.png", "wb") as file:
                file.write(base64.b64decode(picture["data"]))
    # On paper nothing is folded away, nor is it a heap of drawings.
    await tab.do("Emulation.setEmulatedMedia", media="print")
    found["unfolded"] = await tab.tell("[...document.querySelectorAll('.more table')].every(it => it.checkVisibility())")
    found["paper"] = len(base64.b64decode((await tab.do("Page.printToPDF"))["data"]))
    await tab.do("Emulation.setEmulatedMedia", media="")
    # By the keyboard alone: "/" goes to the filter, Escape empties it, Tab reaches a row and Enter opens it.
    await tab.press("/", text="/")
    await tab.do("Input.insertText", text="no such text")
    found["none"] = await tab.tell(SHOWN)
    await tab.press("Escape", windowsVirtualKeyCode=27)
    found["all"] = len(await tab.tell(SHOWN))
    await tab.do("Input.insertText", text="/charge")
    found["filtered"] = await tab.tell(SHOWN)
    await tab.press("Escape", windowsVirtualKeyCode=27)
    for _ in range(40):
        await tab.press("Tab", windowsVirtualKeyCode=9)
        if await tab.tell("document.activeElement.tagName") == "SUMMARY":
            break
    await tab.press("Enter", windowsVirtualKeyCode=13, text="\r")
    found["opened"] = await tab.tell("document.activeElement.parentElement.open === true")
    found["asked"], found["logged"] = [it for it in tab.asked if it != "file://" + PAGE], list(tab.logged)
    found["intrusion"] = await tab.tell(INTRUDE)
    listening.cancel()
    return found


async def main(profile):
    browser = subprocess.Popen(
        ["chromium", *FLAGS, "--user-data-dir=" + profile, "about:blank"],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )
    try:
        for line in browser.stderr:
            if found := re.search(r"ws://([^/]+)/", line):
                break
        # No proxy is between us and the browser.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        tabs = json.load(opener.open(f"http://{found[1]}/json"))
        address = next(tab for tab in tabs if tab["type"] == "page")["webSocketDebuggerUrl"]
        async with websockets.connect(address, max_size=None) as socket:
            print(json.dumps(await look(socket)))
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    # Whatever hangs, the browser is ended by `finally`.
    signal.signal(signal.SIGALRM, lambda *_: sys.exit("the browser took longer than 60 s"))
    signal.alarm(60)
    asyncio.run(main(profile))
