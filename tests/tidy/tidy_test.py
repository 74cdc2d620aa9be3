#!/usr/bin/env python3
"""Each house rule must catch its own violation: plants one at a time in a small tree and runs tidy.py over it."""
import os
import subprocess
import sys
import tempfile
import unittest

TIDY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tidy.py")

CLEAN = {
    "client/include/understudy/a.h": "#pragma once\n",
    "log/env/clock.cc": "auto t = std::chrono::steady_clock::now();\n",
    "log/env/clock.h": "#pragma once\n",
    "log/env/CMakeLists.txt": "understudy_library(env clock.cc)\n",
    "log/format/batch.h": '#pragma once\n#include "log/env/clock.h"\n#include "understudy/a.h"\n',
    "log/epoch/writer.cc": '#include "log/format/batch.h"\n',
    "log/epoch/CMakeLists.txt": "understudy_library(epoch writer.cc)\n",
    "docs/x.md": "See `log/epoch/writer.cc` and [this](x.md).\n",
}

PLANTED = {
    "client/include includes log": ("client/include/understudy/a.h", '#include "log/env/clock.h"\n'),
    "epoch includes env": ("log/epoch/writer.cc", '#include "log/format/batch.h"\n#include "log/env/clock.h"\n'),
    "clock outside env": ("log/epoch/writer.cc", '#include "log/format/batch.h"\nauto t = std::chrono::system_clock::now();\n'),
    "random outside env": ("log/epoch/writer.cc", '#include "log/format/batch.h"\nint r = rand();\n'),
    "sleep outside env": ("log/epoch/writer.cc", '#include "log/format/batch.h"\nvoid f() { usleep(1); }\n'),
    "raw file outside env": ("log/epoch/writer.cc", '#include "log/format/batch.h"\nvoid f() { ::fdatasync(1); }\n'),
    "thrift outside rpc": ("log/epoch/writer.cc", '#include "log/format/batch.h"\n#include "gen/LogService.h"\n'),
    "dead source": ("log/epoch/forgotten.cc", "\n"),
    "unregistered test": ("log/epoch/forgotten_test.cc", "\n"),
    "dead header": ("log/epoch/forgotten.h", "#pragma once\n"),
    "path in docs": ("docs/x.md", "See `log/epoch/nowhere.cc`.\n"),
    "link in docs": ("docs/x.md", "See [this](nowhere.md).\n"),
}


def run(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        done = subprocess.run([sys.executable, TIDY, root], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


class TidyTest(unittest.TestCase):
    def test_clean_tree_passes(self):
        code, output = run(CLEAN)
        self.assertEqual(code, 0, output)

    def test_each_rule_catches_its_violation(self):
        for name, (path, text) in PLANTED.items():
            with self.subTest(name):
                code, output = run({**CLEAN, path: text})
                self.assertEqual(code, 1, output)
                self.assertIn("1 findings", output)

    def test_a_reason_exempts_a_line(self):
        text = '#include "log/format/batch.h"\nint r = rand();  // tidy: allow(random): shows the exemption\n'
        code, output = run({**CLEAN, "log/epoch/writer.cc": text})
        self.assertEqual(code, 0, output)


if __name__ == "__main__":
    unittest.main()
