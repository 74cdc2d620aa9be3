#!/usr/bin/env python3
"""The house rules, as a test: which folder may include which, where clocks and raw files may be touched, and that no
file is dead, no test unregistered and no path in the docs invented. Usage: tidy.py [ROOT]. Exit status 1 on a finding."""
import os
import re
import sys

SOURCE = (".cc", ".h", ".hpp", ".c")
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.M)

# Folder -> folders of ours it may include (longest matching prefix wins; its own folder is always allowed).
PUBLIC = ["client/include", "predictors/include"]
MAY_INCLUDE = {
    "client/include": [],
    "predictors/include": [],
    "client/base": ["client/include"],
    "client/examples": ["client/include"],
    "client": ["client", "log"] + PUBLIC,
    "client/cli": ["client", "log", "predictors"] + PUBLIC,
    "predictors": ["predictors", "log/env"] + PUBLIC,
    "predictors/builtin": ["predictors/builtin", "predictors/stats"] + PUBLIC,
    "predictors/host": ["predictors", "log/env", "log/format", "log/protocol"] + PUBLIC,
    "log/env": ["client/include"],
    "log/format": ["log/env", "client/include"],
    "log/epoch": ["log/format", "client/include"],
    "log/store": ["log/env", "log/format", "client/include"],
    "log/metadata": ["log/env", "log/format", "client/include"],
    "log/protocol": ["log/env", "log/format", "client/include"],
    "log/rpc": ["log", "client/include"],
    "server": ["server", "log", "predictors"] + PUBLIC,
    "tests": ["client", "log", "server", "predictors", "tests"],
}

# What only log/env may call: the machine's clocks, its randomness, sleeping, raw files.
CLOCKS = re.compile(r"std::chrono::(steady|system|high_resolution)_clock|\bclock_gettime\s*\(|\bgettimeofday\s*\(|\btime\s*\(\s*(NULL|nullptr|0)\s*\)")
RANDOM = re.compile(r"\bstd::random_device|\bstd::mt19937|[^_\w.>:]s?rand(om)?\s*\(\s*\)|\bgetrandom\s*\(")
SLEEP = re.compile(r"\bsleep_for\b|\bsleep_until\b|[^_\w]u?sleep\s*\(|\bnanosleep\s*\(")
RAW_FILES = re.compile(r"std::(o|i)?fstream\b|(?<![\w.>])(::)?(fopen|fdatasync|fsync|pwritev?|preadv?|fallocate|ftruncate|openat?)\s*\(")
THRIFT = re.compile(r'^\s*#\s*include\s+["<](gen/|thrift/)', re.M)

# A line may say why it is exempt: "// tidy: allow(rule): reason".
ALLOW = re.compile(r"tidy: allow\((\w+)\): \S")


def strip_comments(text):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
    text = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)
    return re.sub(r"//[^\n]*", "", text)


def sources(root):
    for top in ("client", "log", "predictors", "server", "tests"):
        for folder, folders, files in os.walk(os.path.join(root, top)):
            folders[:] = sorted(f for f in folders if f not in ("build", "node_modules", "__pycache__"))
            for name in sorted(files):
                if name.endswith(SOURCE):
                    yield os.path.relpath(os.path.join(folder, name), root)


def room(path):
    """The longest key of MAY_INCLUDE that holds the file."""
    best = None
    for key in MAY_INCLUDE:
        if path.startswith(key + "/") and (best is None or len(key) > len(best)):
            best = key
    return best


def resolve(root, path, included):
    """The included file's path in the tree, or None for a foreign header."""
    candidates = [included, os.path.join(os.path.dirname(path), included)]
    candidates += [os.path.join(public, included) for public in PUBLIC]
    for candidate in candidates:
        candidate = os.path.normpath(candidate)
        if os.path.isfile(os.path.join(root, candidate)):
            return candidate
    return None


def check_includes(root, path, text, found, included_anywhere):
    home = room(path)
    is_test = is_test_file(path)
    for included in INCLUDE.findall(text):
        target = resolve(root, path, included)
        if target is None:
            continue
        included_anywhere.add(target)
        if home is None:
            continue
        allowed = MAY_INCLUDE[home] + [home]
        if target.startswith("tests/") and not path.startswith("tests/"):
            found.append(f"{path}: includes {target}: nothing includes tests/")
        elif not is_test and not any(target.startswith(prefix + "/") for prefix in allowed):
            found.append(f"{path}: {home} may not include {target}")


def is_test_file(path):
    return path.startswith("tests/") or re.search(r"_(test|fuzz|testing)\.(cc|h)$", path) is not None


def check_calls(path, text, found):
    if path.startswith("log/env/"):
        return
    code = strip_comments(text).split("\n")
    raw = text.split("\n")
    rules = {"clock": CLOCKS, "random": RANDOM, "sleep": SLEEP}
    if not is_test_file(path) and not path.startswith(("client/examples/", "client/cli/")):
        rules["file"] = RAW_FILES
    if path.startswith("client/examples/"):
        rules.pop("clock"), rules.pop("random")  # users' programs, which have no env of ours
    for number, line in enumerate(code, 1):
        for rule, pattern in rules.items():
            if not pattern.search(line):
                continue
            nearby = raw[max(0, number - 4):number]
            if any((m := ALLOW.search(text_line)) and m.group(1) == rule for text_line in nearby):
                continue
            found.append(f"{path}:{number}: {rule}: only log/env may: {line.strip()[:80]}")


def check_thrift(path, text, found):
    if THRIFT.search(text) and "/rpc/" not in path and not path.startswith("tests/"):
        found.append(f"{path}: Thrift headers belong in rpc/ folders")


def cmake_words(root):
    words = set()
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if f not in ("build", ".git", "node_modules")]
        for name in files:
            if name == "CMakeLists.txt" or name.endswith(".cmake"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    for word in re.findall(r"[\w./${}+-]+\.(?:cc|c|hpp|h|py|sh)\b", file.read()):
                        word = re.sub(r"\$\{[^}]*\}/?", "", word)
                        words.add(os.path.normpath(os.path.join(os.path.relpath(folder, root), word)))
                        words.add(os.path.normpath(word))
    return words


def check_dead(root, paths, included_anywhere, found):
    words = cmake_words(root)
    for path in paths:
        if path.endswith((".cc", ".c")) and path not in words:
            kind = "test not registered" if "_test." in path else "dead file: no CMakeLists.txt builds it"
            found.append(f"{path}: {kind}")
        if path.endswith((".h", ".hpp")) and path not in included_anywhere and not path.startswith(tuple(PUBLIC)):
            found.append(f"{path}: dead header: nothing includes it")


DOC_PATH = re.compile(r"`((?:client|log|predictors|server|tests|deploy|docs)/[\w./+-]*[\w/])`")
DOC_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def check_docs(root, found):
    docs = [name for name in os.listdir(root) if name.endswith(".md")]
    for folder, folders, files in os.walk(os.path.join(root, "docs")):
        folders[:] = [f for f in folders if f != "node_modules"]
        docs += [os.path.relpath(os.path.join(folder, name), root) for name in files if name.endswith(".md")]
    for doc in sorted(docs):
        with open(os.path.join(root, doc), encoding="utf-8") as file:
            text = file.read()
        for named in DOC_PATH.findall(text):
            candidates = [named] + [named + ending for ending in (".h", ".cc", ".md")]
            if not any(os.path.exists(os.path.join(root, candidate)) for candidate in candidates):
                found.append(f"{doc}: names {named}, which does not exist")
        for link in DOC_LINK.findall(text):
            if not os.path.exists(os.path.normpath(os.path.join(root, os.path.dirname(doc), link))):
                found.append(f"{doc}: links to {link}, which does not exist")


def main():
    root = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", ".."))
    found, included_anywhere, paths = [], set(), list(sources(root))
    if not paths:
        found.append(f"{root}: no sources found")
    for path in paths:
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        check_includes(root, path, text, found, included_anywhere)
        check_calls(path, text, found)
        check_thrift(path, text, found)
    check_dead(root, paths, included_anywhere, found)
    check_docs(root, found)
    for line in found:
        print(line)
    print(f"tidy: {len(paths)} source files, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
