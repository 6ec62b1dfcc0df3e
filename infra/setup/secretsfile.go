package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// secretsFile is the lines of a secrets file as infra/deploy reads it: NAME=value,
// empty, or a # comment.
type secretsFile []string

// readSecretsFile reads a file, or nothing where there is none. Errors never repeat
// a line: it is secret.
func readSecretsFile(path string) (secretsFile, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	file := secretsFile(strings.Split(strings.TrimRight(string(text), "\n"), "\n"))
	for i, line := range file {
		if name, _ := pair(line); name == "" && strings.TrimSpace(line) != "" && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			return nil, fmt.Errorf("secrets: %s:%d: must be NAME=value", path, i+1)
		}
	}
	return file, nil
}

// pair reads one line; what names nothing has no name.
func pair(line string) (name, value string) {
	line = strings.TrimSpace(line)
	name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
	if name = strings.TrimSpace(name); !ok || strings.HasPrefix(line, "#") {
		return "", ""
	}
	value = strings.TrimSpace(value)
	if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		value = value[1 : n-1]
	}
	return name, value
}

func (f secretsFile) values() map[string]string {
	values := map[string]string{}
	for _, line := range f {
		if name, value := pair(line); name != "" {
			values[name] = value
		}
	}
	return values
}

// write replaces the file by one with these values; its other lines stay. Only its
// owner may read it, and it is never there in half.
func (f secretsFile) write(path string, values map[string]string) error {
	var lines []string
	left := maps.Clone(values)
	for _, line := range f {
		name, old := pair(line)
		value, ours := left[name]
		switch {
		case ours && value != old:
			lines = append(lines, name+"="+quoted(value))
		case name == "" || ours || values[name] == "":
			lines = append(lines, line)
		}
		delete(left, name)
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		lines = append(lines, name+"="+quoted(left[name]))
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // CreateTemp makes it 0600
	if err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // gone already, if all went well
	_, err = temporary.WriteString(strings.Join(lines, "\n") + "\n")
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	return nil
}

// quoted protects a value that would be read differently bare: one in quotes.
func quoted(value string) string {
	if _, bare := pair("NAME=" + value); bare == value {
		return value
	}
	return `"` + value + `"`
}
