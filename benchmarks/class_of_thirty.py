"""How long does `vaekit grade` take for a class of thirty, and how much memory?

Makes thirty submissions to exercise 01: each answer is the right one, a mistake that its question knows, or none, drawn
by a seed. Grades them in one run, compares each mark and diagnosis with what was put in, and writes the page
`exercises/instructors/class_of_thirty.md`: what it took, and the class's report.

    python benchmarks/class_of_thirty.py --jobs 2
"""

import argparse
import csv
import json
import re
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from vaekit import backend
from vaekit.course.exercise import Exercise
from vaekit.course.grader import class_report
from vaekit.reproduction import records

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "exercises" / "instructors" / "class_of_thirty.md"
VAEKIT = [sys.executable, "-c", "from vaekit.cli import main; main()"]
KINDS = ("right", "mistake", "nothing")


def submissions(folder, number, learners, seed):
    """Writes a notebook for each learner; returns what was put in: {(name, question): diagnosis, "" if right}."""
    questions = Exercise(number).questions
    (released,) = ROOT.glob(f"exercises/{number}_*/*.ipynb")
    (solved,) = ROOT.glob(f"solutions/{number}_*/*.ipynb")
    answers = {cell["id"]: "".join(cell["source"]) for cell in json.loads(solved.read_text("utf-8"))["cells"]}
    put_in = {}
    for learner in range(1, learners + 1):
        rng, name = np.random.default_rng([seed, learner]), f"seat_{learner:02}"
        book = json.loads(released.read_text("utf-8"))
        skill = rng.beta(4, 3)  # how often somebody is right
        for cell in book["cells"]:
            if not (question := questions.get(cell["id"])):
                continue
            mistakes = [mistake for mistake in question.mistakes if mistake.code]
            ease = skill ** (question.difficulty / 2)
            kind = rng.choice(KINDS, p=[ease, 0.8 * (1 - ease), 0.2 * (1 - ease)])
            mistake = mistakes[min(rng.geometric(0.35), len(mistakes)) - 1]  # the first ones are the frequent ones
            if kind != "nothing":
                cell["source"] = answers[question.name] if kind == "right" else mistake.code
            diagnosis = {"right": "", "mistake": mistake.name, "nothing": "unanswered"}[str(kind)]
            put_in[f"{name}/{released.stem}", question.name] = diagnosis
        path = Path(folder, name, released.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(book), "utf-8")
    return put_in


def watched(command):
    """Runs a command: returns seconds, seconds of processors, and the most memory of all that it started, in bytes.

    What processes share counts once for each of them.
    """
    start, processors, most = time.monotonic(), {}, 0
    grader = psutil.Popen(command)
    while grader.poll() is None:
        memory = 0
        for process in [grader, *grader.children(recursive=True)]:
            try:
                times = process.cpu_times()
                processors[process.pid, process.create_time()] = times.user + times.system
                memory += process.memory_info().rss
            except psutil.Error:
                pass
        most = max(most, memory)
        time.sleep(0.5)
    return time.monotonic() - start, sum(processors.values()), most


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learners", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for notebooks and marks, to be kept")
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        put_in = submissions(folder / "class", "01", options.learners, options.seed)
        grade = ["grade", folder / "class", "--out", folder / "marks", "--jobs", options.jobs, "--seed", options.seed]
        took, processors, memory = watched([*VAEKIT, *map(str, grade)])
        with open(folder / "marks" / "answers.csv", encoding="utf-8", newline="") as stream:
            came_out = {(row["learner"], row["question"]): row["diagnosis"] for row in csv.DictReader(stream)}
        report = class_report.as_markdown(class_report.read(folder / "marks"))
    others = {key: came_out.get(key) for key, diagnosis in put_in.items() if came_out.get(key) != diagnosis}
    for key, diagnosis in others.items():
        print(f"{key}: {put_in[key]!r} was put in, {diagnosis!r} came out")
    right, nothing = (list(put_in.values()).count(what) for what in ("", "unanswered"))
    machine = f"{records.cores()} cores of {records.processor()}, {backend.NAME}"
    told = f"""\
$ vaekit grade class --out marks --jobs {options.jobs}
{options.learners} notebooks, {len(put_in)} answers: {right} right, {nothing} missing, \
{len(put_in) - right - nothing} with a mistake
{took:.0f} s, of which processors worked {processors:.0f} s; at most {memory / 2**30:.1f} GB of memory; {machine}
{len(put_in) - len(others)} of {len(put_in)} answers got the diagnosis that was put in"""
    print(told)
    options.out.write_text(PAGE_TEXT.format(learners=options.learners, told=told, report=lower(report)), "utf-8")


def lower(markdown):
    """Markdown with each heading a level lower."""
    return re.sub(r"^#", "##", markdown, flags=re.MULTILINE)


PAGE_TEXT = """\
# A class of thirty

<!-- written by benchmarks/class_of_thirty.py -->

No class of people, but one with known errors: `python benchmarks/class_of_thirty.py` makes {learners} notebooks of
exercise 01 by a seed. Each answer is the right one, one of the mistakes that its question knows, or missing. They were
graded in one run, and what came out was compared with what had been put in:

```
{told}
```

What processors worked is what a class takes; the clock's seconds depend on what else the computer does. Memory is that
of all notebooks that are graded at once, with pages that they share counted for each.

What `vaekit course report marks` then says:

{report}"""


if __name__ == "__main__":
    main()
