"""The rows of engines.txt and of other tables, whose cells are between "|"."""
import os
import re
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))


def rows(name, cells):
    """Yields the rows of a table below tests/."""
    with open(os.path.join(FOLDER, name)) as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                yield [cell.strip() for cell in line.split("|", cells - 1)]


def options(name, test, is_boot=False):
    """What chooses the engine for `ringer run`, and why the engine leaves the test out: None if it
    does not."""
    for engine, words, guests, why_guests, boots, why_boots in rows("engines.txt", 6):
        if engine == name:
            pattern, why = (boots, why_boots) if is_boot else (guests, why_guests)
            left_out = pattern and re.match(pattern.replace(",", "|"), test)
            return words.split(), why if left_out else None
    sys.exit("there is no engine " + name)
