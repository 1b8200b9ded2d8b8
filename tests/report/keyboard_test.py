#!/usr/bin/env python3
"""The HTML report by the keyboard alone, in headless Chromium: tests/report/keyboard_test.py GRADC SOURCE. Keys go through the
browser as a person's do (DevTools protocol over pipes), so Tab, focus and typing are the browser's own. Exit code 77: there is
no Chromium."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39,
        "ArrowDown": 40, "/": 191}
SHIFT, ALT = 8, 1


class Browser:
    """A page in Chromium: keys in, expressions out."""

    def __init__(self, program, page, folder):
        to_it, from_us = os.pipe()
        from_it, to_us = os.pipe()
        high = [os.dup2(fd, fd + 40) for fd in (to_it, to_us)]  # out of the way of 3 and 4

        def places():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)
        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + folder, "--window-size=1280,800",
             "--remote-debugging-pipe", "about:blank"],
            preexec_fn=places, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for fd in (to_it, to_us, *high):
            os.close(fd)
        self.out, self.into, self.number, self.session, self.rest = from_us, from_it, 0, None, b""
        pages = self.call("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in pages if one["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Page.navigate", url="file://" + page)
        self.until("document.readyState === 'complete' && document.querySelectorAll('[role=treeitem]').length > 0")

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                more = os.read(self.into, 1 << 16)
                assert more, "Chromium ended"
                self.rest += more
            line, self.rest = self.rest.split(b"\0", 1)
            answer = json.loads(line)
            if answer.get("id") == self.number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def value(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, (expression, answer)
        return answer["result"].get("value")

    def until(self, expression):
        for _ in range(400):
            if self.value(expression):
                return
            time.sleep(0.02)
        raise AssertionError(f"never: {expression}; the address is {self.address()}, the focus {self.focus()}")

    def press(self, *keys, modifiers=0):
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            code = KEYS.get(key, ord(key[0].upper()))
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code, modifiers=modifiers)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code, modifiers=modifiers)

    def address(self):
        return self.value("location.hash")

    def focus(self):
        """The place of the page that has the keyboard: an id, or the id that it is in and its text."""
        return self.value("(() => { const at = document.activeElement; if (!at || at === document.body) return '';"
                          " if (at.id) return at.id; const place = at.closest('[id]');"
                          " return (place ? place.id : at.tagName) + ' ' + at.textContent.slice(0, 40); })()")

    def close(self):
        self.call("Browser.close")
        self.process.wait(20)


def tabs_reach_everything(page):
    """Tab goes through search, theme, one row of the tree, the plan and the links of the details, each with its focus to be seen;
    Shift and Tab go back."""
    seen = []
    for _ in range(6):
        page.press("Tab")
        seen.append(page.focus())
        assert page.value("getComputedStyle(document.activeElement).outlineStyle") != "none", seen
    assert seen[:2] == ["search", "theme"], seen
    assert seen[2].startswith("tree "), seen
    assert seen[3] == "plan" or "plan-status" in seen[3], seen
    assert any(one == "plan" for one in seen) and any(one.startswith("detail") for one in seen), seen
    page.press("Tab", modifiers=SHIFT)
    assert page.focus() == seen[4], (page.focus(), seen)


def the_tree_is_walked(page):
    page.value("document.activeElement.blur()")
    rows = page.value("[...document.querySelectorAll('[role=treeitem]')].map((row) => row.title)")
    focused = "document.activeElement.title"
    page.value("document.querySelector('#tree [tabindex=\"0\"]').focus()")
    assert page.value(focused) == rows[0]
    page.press("ArrowDown", "ArrowDown")
    assert page.value(focused) == rows[2]
    page.press("ArrowUp")
    assert page.value(focused) == rows[1]
    page.press("End")
    assert page.value(focused) == rows[-1]
    page.press("ArrowDown")  # no further
    assert page.value(focused) == rows[-1]
    page.press("Home", "ArrowUp")
    assert page.value(focused) == rows[0]
    assert page.value("document.querySelectorAll('#tree [tabindex=\"0\"]').length") == 1, "one row is in the order of Tab"
    # A block opens, shows what is in it, and closes.
    block = next(i for i in range(len(rows)) if page.value(f"document.querySelectorAll('[role=treeitem]')[{i}].ariaExpanded") == "false")
    page.press(*["ArrowDown"] * block)
    page.press("ArrowRight")
    assert page.value("document.activeElement.ariaExpanded") == "true"
    inside = page.value("document.querySelectorAll('[role=treeitem]').length") - len(rows)
    assert inside > 0
    page.press("ArrowRight")
    assert page.value("document.activeElement.ariaLevel") == "2"
    page.press("ArrowLeft", "ArrowLeft")
    assert page.value("document.querySelectorAll('[role=treeitem]').length") == len(rows)
    page.press("Enter")
    page.until("location.hash.startsWith('#block-')")
    page.until("document.querySelectorAll('#detail a').length > 3")
    assert page.value("document.activeElement.getAttribute('role')") == "treeitem", "the keyboard stays in the tree"
    assert page.value("document.activeElement.ariaSelected") == "true"
    page.press("ArrowRight", "ArrowRight", " ")
    page.until("location.hash.startsWith('#layer-')")


def words_are_searched(page):
    page.press("/")
    assert page.focus() == "search"
    page.press(*"attention")
    page.until("document.querySelector('#detail h2').textContent.includes('attention')")
    page.press("Enter")
    page.until("!location.hash.startsWith('#block-') && location.hash !== ''")
    page.press("Escape")
    assert page.value("document.getElementById('search').value") == ""
    before = page.address()
    page.press(*"no such word")
    page.until("document.querySelector('#detail h2').textContent.startsWith('Nothing')")
    page.press("Enter", "Escape")
    assert page.address() == before


def the_plan_is_walked(page):
    page.value("document.getElementById('plan').focus()")
    page.press("Home")  # not one of its keys
    page.value("location.hash = 'kernels'")
    page.until("document.querySelector('#detail h2').textContent.includes('different kernels')")
    page.press("ArrowRight")
    page.until("location.hash === '#step-0'")
    page.press("ArrowRight")
    page.until("location.hash === '#step-1'")
    page.until("document.querySelector('#detail h2').textContent.startsWith('Step 1:')")
    page.press("ArrowLeft", "ArrowLeft")
    page.until("location.hash === '#step-0'")
    page.press("ArrowUp")
    page.until("location.hash.startsWith('#buffer-')")
    assert page.focus() == "plan"
    page.press("Enter")
    assert page.focus() == "detail"
    page.press("Tab")  # and on to its links
    assert page.focus().startswith("detail"), page.focus()
    page.press("Enter")
    page.until("!location.hash.startsWith('#buffer-')")
    there = page.address()
    page.value("history.back()")
    page.until("location.hash.startsWith('#buffer-')")
    page.value("history.forward()")
    page.until(f"location.hash === {json.dumps(there)}")


def main():
    gradc, source = sys.argv[1:]
    chromium = shutil.which("chromium")
    if chromium is None:
        print("skipped: there is no chromium")
        return 77
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        page = os.path.join(folder, "page.html")
        subprocess.run([gradc, "inspect", os.path.join(source, "benchmarks/models/gpt2_124m.json"), "--batch-size", "2",
                        "--format", "html", "-o", page], check=True)
        browser = Browser(chromium, page, os.path.join(folder, "user"))
        try:
            for test in (tabs_reach_everything, the_tree_is_walked, words_are_searched, the_plan_is_walked):
                test(browser)
                print("ok", test.__name__)
        finally:
            browser.close()
    return 0


sys.exit(main())
