"""Reads cases as JSON lines and says which documents are not what they would be with a plain value.

A case has a document rendered with a plain word and the same with a hostile text in its place. Both are
parsed by a reader of their format; the two must be the same but for the value, wherever it stands."""

import ast
import base64
import functools
import json
import re
import shlex
import subprocess
import sys
import tomllib
import urllib.parse
import xml.etree.ElementTree as xml

import yaml


@functools.lru_cache(maxsize=4096)
def shell(text):
    """The syntax tree of a script, without places and comments; literal words as their text."""
    done = subprocess.run(["shfmt", "-tojson", "-ln", "bash"], input=text.encode(), capture_output=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr.decode())
    return bare(json.loads(done.stdout))


def bare(node):
    if isinstance(node, list):
        return [bare(n) for n in node]
    if not isinstance(node, dict):
        return node
    parts = node.get("Parts")
    if parts is not None and (word := literal(parts)) is not None:
        return {"word": inside(word)}
    return {k: bare(v) for k, v in node.items() if k not in ("Comments", "Last") and not place(v)}


def place(node):
    return isinstance(node, dict) and bool(node) and set(node) <= {"Offset", "Line", "Col"}


def literal(parts):
    """What a word is, if nothing in it is expanded."""
    out = ""
    for part in parts:
        kind = part.get("Type")
        if kind == "SglQuoted" and not part.get("Dollar"):
            out += part.get("Value", "")
        elif kind == "Lit":
            value = part.get("Value", "")
            if re.search(r"(?<!\\)[*?\[~]", value):
                return None
            out += re.sub(r"\\(.)", r"\1", value, flags=re.S)
        elif kind == "DblQuoted" and all(p.get("Type") == "Lit" for p in part.get("Parts") or []):
            out += re.sub(r'\\([$`"\\])', r"\1", "".join(p.get("Value", "") for p in part.get("Parts") or []))
        else:
            return None
    return out


def inside(text):
    """A text that is itself something to be read: JSON, a data URL."""
    if text.startswith("{"):
        try:
            return {"json": deep(json.loads(text))}
        except ValueError:
            return text
    if text.startswith("data:"):
        head, _, body = text.partition(",")
        raw = base64.b64decode(body) if head.endswith("base64") else urllib.parse.unquote_to_bytes(body)
        return {"data": raw.decode("utf-8", "surrogateescape")}
    return text


def deep(value):
    if isinstance(value, dict):
        return {"map": [[deep(k), deep(v)] for k, v in value.items()]}
    if isinstance(value, list):
        return [deep(v) for v in value]
    return inside(value) if isinstance(value, str) else value


def element(node):
    text = node.text or ""
    if node.tag.endswith("source"):
        text = shell(text)
    elif len(node) or not text.strip():
        # between elements nothing is said
        text = text.strip()
    return [node.tag, sorted(node.attrib.items()), text, [element(n) for n in node]]


def preseed(text):
    read = []
    for line in text.replace("\\\n", " ").split("\n"):
        if not line.strip() or line.startswith("#"):
            continue
        owner, question, kind, value = (re.split(r"[ \t]+", line, maxsplit=3) + [""] * 3)[:4]
        read.append([owner, question, kind, shell(value) if question.endswith("_command") else value])
    return read


def kickstart(text):
    read, section, head = [], None, None
    for line in text.split("\n"):
        if section is None:
            if line.startswith("%") and not line.startswith("%include"):
                head, section = shlex.split(line), []
            elif line.strip() and not line.startswith("#"):
                read.append(shlex.split(line, comments=True))
        elif line == "%end" or line.startswith("%"):
            read.append([head, body(head, section)])
            head, section = (None, None) if line == "%end" else (shlex.split(line), [])
        else:
            section.append(line)
    if section is not None:
        read.append([head, body(head, section)])
    return read


def body(head, lines):
    if head[0] == "%packages":
        return [l for l in lines if l.strip() and not l.startswith("#")]
    text = "\n".join(lines)
    if any("python" in w for w in head):
        return python(ast.parse(text))
    return shell(text)


def python(node):
    if isinstance(node, ast.AST):
        return [type(node).__name__, [[f, python(v)] for f, v in ast.iter_fields(node) if f != "type_comment"]]
    if isinstance(node, list):
        return [python(n) for n in node]
    return node if isinstance(node, str) else repr(node)


def batch(text):
    """cmd.exe: a line is its text; what cmd would make more of it may not be in the value at all."""
    return text.split("\n")


def lines(text):
    return text.split("\n")


def settings(text):
    return [[part.strip() for part in line.partition("=")] for line in text.split("\n") if line.strip() and not line.startswith("#")]


def nix(text):
    """Words and strings, without comments; a string as its text."""
    read = []
    for word in re.findall(r'"(?:[^"\\]|\\.)*"|#[^\n]*|[^\s"#]+|["#]', text, flags=re.S):
        if word == '"':
            raise ValueError("a string is never closed")
        if word.startswith('"'):
            out, rest, expands = "", word[1:-1], False
            while rest:
                if rest[0] == "\\":
                    out += {"n": "\n", "r": "\r", "t": "\t"}.get(rest[1], rest[1])
                    rest = rest[2:]
                    continue
                expands = expands or rest.startswith("${")
                out, rest = out + rest[0], rest[1:]
            read.append(["expands" if expands else "text", out])
        elif not word.startswith("#"):
            read.append(word)
    return read


def reader(profile, name, text):
    last = name.rsplit("/", 1)[-1]
    if re.search(r"\.(json|ign)$", last):
        return lambda t: deep(json.loads(t))
    if last.endswith(".toml"):
        return lambda t: deep(tomllib.loads(t))
    if last.endswith(".xml"):
        return lambda t: element(xml.fromstring(t))
    if last.endswith((".yaml", ".yml")) or last in ("user-data", "meta-data", "vendor-data", "network-config"):
        return lambda t: deep(list(yaml.safe_load_all(t)))
    if last == "preseed.cfg":
        return preseed
    if last == "ks.cfg" or last.endswith(".ks"):
        return kickstart
    if last.endswith(".nix"):
        return nix
    if last.endswith(".cmd"):
        return batch
    if last == "cmdline":
        return lambda t: t.split(" ")
    if last in ("install.conf", "boot.cfg"):
        return settings
    if last.endswith((".sh", ".env", ".var")) or re.match(r"#! ?/bin/(ba)?sh", text):
        return shell
    return lines


def put(node, plain, hostile):
    """The tree with the hostile text wherever the plain one stands."""
    if isinstance(node, str):
        return node.replace(plain, hostile)
    if isinstance(node, (list, tuple)):
        return [put(n, plain, hostile) for n in node]
    if isinstance(node, dict):
        return {put(k, plain, hostile): put(v, plain, hostile) for k, v in node.items()}
    return node


def same(case):
    plain, hostile = case["plain"], case["hostile"]
    if "ssh_keys" in case["what"]:
        # what ends a key's line is no part of it
        hostile = hostile.rstrip(" ")
    read = reader(case["profile"], case["document"], case["before"])
    before = put(read(case["before"]), plain, hostile)
    after = put(read(case["after"]), "\0", "\0")
    if case["document"].endswith(".cmd") and re.search(r"[&|<>^%!\"()\n]", hostile) and hostile in case["after"]:
        return "cmd would make more of it"
    if json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True):
        return None
    return "it is read as something else"


wrong = 0
count = 0
for line in sys.stdin:
    case = json.loads(line)
    count += 1
    try:
        told = same(case)
    except Exception as error:
        told = f"it is not read: {error}"
    if told:
        wrong += 1
        if wrong < 40:
            print(case["profile"], case["document"], case["what"], repr(case["hostile"]), told)
            marked = [l for l in case["after"].split("\n") if case["hostile"].split("\n")[0] in l]
            print("    ", marked[:2])
print("read", count, "wrong", wrong)
sys.exit(1 if wrong else 0)
