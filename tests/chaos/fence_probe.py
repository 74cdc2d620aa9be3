"""Asks one server for one key again and again, and says when it last answered and when it first refused. Runs on the
clients' host: fence_probe.py HOST PORT SERVICE SECONDS. Prints one line of JSON; times are of the monotonic clock."""

import json
import socket
import sys
import time


def main():
    host, port, service, seconds = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
    answers = {"last_answer": None, "first_refusal": None, "refusal": "", "answers": 0}
    connection = socket.create_connection((host, port), timeout=2)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(f"AUTH {service} -\r\n".encode())
    reader = connection.makefile("rb")
    reader.readline()
    print("ready", flush=True)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        asked = time.monotonic()
        connection.sendall(b"STRLEN fence_probe\r\n")
        line = reader.readline().decode()
        if line.startswith("-"):
            answers["first_refusal"], answers["refusal"] = time.monotonic(), line.strip()
            break
        # Asked, not answered: the server may have executed it at any time between.
        answers["last_answer"] = asked
        answers["answers"] += 1
        time.sleep(0.002)
    print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    main()
