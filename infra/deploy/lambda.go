package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// lambda packs the function for AWS Lambda, once per architecture: a zip with the
// program as "bootstrap", which the runtimes provided.al2023 and later start
// (https://docs.aws.amazon.com/lambda/latest/dg/golang-package.html).
func (c command) lambda(ctx context.Context) error {
	flags := flag.NewFlagSet("deploy lambda", flag.ContinueOnError)
	flags.SetOutput(c.out)
	out := flags.String("o", "dist", "`directory` to write to")
	root := flags.String("root", ".", "the checkout")
	arches := flags.String("arch", "arm64,amd64", "for which `processors`")
	allowDirty := flags.Bool("allow-dirty", false, "pack a checkout with changes")
	if err := flags.Parse(c.args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	revision, err := checkout(ctx, *root, *allowDirty)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return fmt.Errorf("lambda: %w", err)
	}
	for _, arch := range strings.Split(*arches, ",") {
		program, err := build(ctx, *root, arch, revision)
		if err != nil {
			return err
		}
		packed, err := lambdaZip(program)
		if err != nil {
			return fmt.Errorf("lambda: %w", err)
		}
		path := filepath.Join(*out, "roomcast-lambda-"+arch+".zip")
		if err := os.WriteFile(path, packed, 0o644); err != nil {
			return fmt.Errorf("lambda: %w", err)
		}
		fmt.Fprintf(c.out, "%s: version %s, %.1f MB\n", path, short(revision), float64(len(packed))/1e6)
	}
	return nil
}

// lambdaZip holds one executable file. Its time is the earliest that a zip can tell,
// so that the same program gives the same bytes: Lambda compares their hash.
func lambdaZip(program []byte) ([]byte, error) {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	head := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	head.SetMode(0o755)
	file, err := archive.CreateHeader(head)
	if err != nil {
		return nil, err
	}
	if _, err := file.Write(program); err != nil {
		return nil, err
	}
	err = archive.Close()
	return out.Bytes(), err
}
