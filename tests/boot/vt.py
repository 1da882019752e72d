"""A small terminal: what a user sees of the bytes that a program has written."""
import re

SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


class Terminal:
    """Knows what `ringer run --display text` sends, and is strict: anything else is an error."""

    def __init__(self, columns=80, rows=25):
        self.columns, self.rows = columns, rows
        self.alternate = False      # the alternate screen is shown
        self.wraps = True
        self.cursor_shown = True
        self.attributes = "0"
        self.main = []              # text written to the main screen
        self.resized = False        # and nothing has been cleared since: what comes may be older
        self.rest = ""
        self.clear()

    def clear(self):
        self.cells = [[(" ", "0")] * self.columns for _ in range(self.rows)]
        self.row = self.column = 0

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.resized = True
        self.clear()

    def lines(self):
        return ["".join(cell[0] for cell in line).rstrip() for line in self.cells]

    def text(self):
        return "\n".join(self.lines())

    def attributes_of(self, text):
        """The attributes of the first character of a text on the screen."""
        for row, line in enumerate(self.lines()):
            column = line.find(text)
            if column >= 0:
                return self.cells[row][column][1]
        raise AssertionError("no %r on the screen:\n%s" % (text, self.text()))

    def feed(self, data):
        """Takes more bytes; a character or sequence that is cut off waits for the rest."""
        text = self.rest + data
        self.rest = ""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                match = SEQUENCE.match(text, at)
                if not match:
                    if len(text) - at > 20:
                        raise AssertionError("what is %r?" % text[at:at + 20])
                    self.rest = text[at:]
                    return
                self.control(match.group(1), match.group(2))
                at = match.end()
            else:
                self.put(text[at])
                at += 1

    def put(self, character):
        if not self.alternate:
            self.main.append(character)
        elif character == "\r":
            self.column = 0
        elif character == "\n":
            self.row = min(self.row + 1, self.rows - 1)
        else:
            assert character >= " ", "%r on the screen" % character
            assert not self.wraps
            self.cells[self.row][self.column] = (character, self.attributes)
            self.column = min(self.column + 1, self.columns - 1)

    def control(self, parameters, letter):
        if letter in "hl" and parameters.startswith("?"):
            self.mode(parameters[1:], letter == "h")
        elif letter == "H":
            row, column = (int(n) for n in (parameters or "1;1").split(";"))
            inside = 1 <= row <= self.rows and 1 <= column <= self.columns
            assert inside or self.resized, parameters
            self.row, self.column = min(row, self.rows) - 1, min(column, self.columns) - 1
        elif letter == "J":
            assert parameters == "2"
            self.resized = False
            self.clear()
        elif letter == "m":
            self.attributes = parameters
        else:
            raise AssertionError("what is ESC [ %s %s?" % (parameters, letter))

    def mode(self, number, on):
        if number == "1049":
            self.alternate = on
            self.clear()
        elif number == "25":
            self.cursor_shown = on
        elif number == "7":
            self.wraps = on
        else:
            raise AssertionError("what is mode %s?" % number)
