// Package secretsfile reads and writes the file of secrets that setup makes and deploy
// and ops read: lines of NAME=value, or several lines in single quotes. A shell may source the same file (`set -a;
// . ./.secrets`): values that a shell would read differently are written in single
// quotes, and quotes are read as a shell reads them.
package secretsfile

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// File is the lines of a secrets file: NAME=value, empty, or a # comment.
type File []string

// Read reads a file, or nothing where there is none. Errors never repeat a line: it is
// secret.
func Read(path string) (File, error) {
	file, err := Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return file, err
}

// Open reads a file that must be there.
func Open(path string) (File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	var file File
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	lines.Buffer(nil, 1<<20)
	for number := 1; lines.Scan(); number++ {
		if n := len(file) - 1; n >= 0 && open(file[n]) {
			file[n] += "\n" + lines.Text()
			continue
		}
		file = append(file, lines.Text())
		line := strings.TrimSpace(lines.Text())
		if name, _ := pair(line); name == "" && line != "" && !strings.HasPrefix(line, "#") {
			return nil, fmt.Errorf("secrets: %s:%d: must be NAME=value", path, number)
		}
	}
	if n := len(file) - 1; n >= 0 && open(file[n]) {
		return nil, fmt.Errorf("secrets: %s: the quote of the last value is never closed", path)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("secrets: %s: %w", path, err)
	}
	return file, nil
}

// open reports whether a value in single quotes goes on in the next line, as a
// certificate does.
func open(line string) bool {
	_, value, ok := strings.Cut(line, "=")
	if value = strings.TrimSpace(value); !ok || !strings.HasPrefix(value, "'") {
		return false
	}
	_, closed := shellWord(value)
	return !closed && strings.Count(value, "'")%2 == 1
}

// pair reads one line; a comment or an empty line has no name.
func pair(line string) (name, value string) {
	line = strings.TrimSpace(line)
	name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
	if name = strings.TrimSpace(name); !ok || strings.HasPrefix(line, "#") || !variable.MatchString(name) {
		return "", ""
	}
	value = strings.TrimSpace(value)
	if word, ok := shellWord(value); ok {
		return name, word
	}
	return name, value
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// shellWord reads a value that begins with a quote as a POSIX shell does: '…', "…" with
// backslashes, and \x between them (XCU 2.2). It reports false for what is no such word,
// such as a bare value or JSON behind a quote that is never closed.
func shellWord(value string) (string, bool) {
	if value == "" || value[0] != '\'' && value[0] != '"' {
		return "", false
	}
	var out strings.Builder
	for value != "" {
		switch value[0] {
		case '\'':
			text, rest, closed := strings.Cut(value[1:], "'")
			if !closed {
				return "", false
			}
			out.WriteString(text)
			value = rest
		case '"':
			text, rest, closed := doubleQuoted(value[1:])
			if !closed {
				return "", false
			}
			out.WriteString(text)
			value = rest
		case '\\':
			if len(value) < 2 {
				return "", false
			}
			out.WriteByte(value[1])
			value = value[2:]
		default:
			return "", false // a bare piece behind a quoted one: not how we write
		}
	}
	return out.String(), true
}

func doubleQuoted(value string) (text, rest string, closed bool) {
	var out strings.Builder
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"':
			return out.String(), value[i+1:], true
		case c == '\\' && i+1 < len(value) && strings.IndexByte("$`\"\\", value[i+1]) >= 0:
			i++
			out.WriteByte(value[i])
		default:
			out.WriteByte(c)
		}
	}
	return "", "", false
}

// Values are the file's values by name; of two lines of one name the last counts.
func (f File) Values() map[string]string {
	values := map[string]string{}
	for _, line := range f {
		if name, value := pair(line); name != "" {
			values[name] = value
		}
	}
	return values
}

// Over returns environ (NAME=value) with the file's values in place of its own.
func (f File) Over(environ []string) []string {
	out := slices.Clone(environ)
	values := f.Values()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		out = append(out, name+"="+values[name]) // of two settings of one name the last counts
	}
	return out
}

// Write replaces the file by one with these values; its other lines stay. Only its
// owner may read it, and it is never there in half.
func (f File) Write(path string, values map[string]string) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // CreateTemp makes it 0600
	if err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // already renamed, if all went well
	_, err = temporary.WriteString(strings.Join(f.with(values), "\n") + "\n")
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	return nil
}

func (f File) with(values map[string]string) (lines []string) {
	left := maps.Clone(values)
	for _, line := range f {
		name, old := pair(line)
		value, ours := left[name]
		switch {
		case ours && (value != old || line != name+"="+quote(old)):
			lines = append(lines, name+"="+quote(value))
		case name == "" || ours || values[name] == "":
			lines = append(lines, line)
		}
		delete(left, name)
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		lines = append(lines, name+"="+quote(left[name]))
	}
	return lines
}

// harmless are the characters that mean nothing to a shell.
var harmless = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,-]*$`)

// quote writes a value so that a shell and Read take it for the same.
func quote(value string) string {
	if harmless.MatchString(value) {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}
