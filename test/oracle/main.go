// Command oracle answers questions about modules with the code of golang.org/x/mod itself.
//
// It reads one JSON array for each line, ["operation", argument, ...], and writes one JSON value
// for each: the answer, null where the Go function returns an error.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"path"
	"path/filepath"
	"time"
	"unicode"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

func main() {
	log.SetFlags(0)
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	decoder := json.NewDecoder(in)
	for {
		var question []any
		if err := decoder.Decode(&question); err == io.EOF {
			break
		} else if err != nil {
			log.Fatal(err)
		}
		if err := encoder.Encode(answer(question)); err != nil {
			log.Fatal(err)
		}
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

func answer(question []any) any {
	text := func(i int) string { return question[i].(string) }
	switch text(0) {
	case "checkPath":
		return module.CheckPath(text(1)) == nil
	case "checkImport":
		return module.CheckImportPath(text(1)) == nil
	case "checkFile":
		return module.CheckFilePath(text(1)) == nil
	case "check":
		return module.Check(text(1), text(2)) == nil
	case "split":
		prefix, major, ok := module.SplitPathVersion(text(1))
		if !ok {
			return nil
		}
		return []string{prefix, major}
	case "matchMajor":
		return module.MatchPathMajor(text(1), text(2))
	case "escapePath":
		return orNull(module.EscapePath(text(1)))
	case "unescapePath":
		return orNull(module.UnescapePath(text(1)))
	case "escapeVersion":
		return orNull(module.EscapeVersion(text(1)))
	case "unescapeVersion":
		return orNull(module.UnescapeVersion(text(1)))
	case "semver":
		v := text(1)
		return []any{
			semver.IsValid(v), semver.Canonical(v), module.CanonicalVersion(v), semver.Major(v),
			semver.MajorMinor(v), semver.Prerelease(v), semver.Build(v),
		}
	case "compare":
		return semver.Compare(text(1), text(2))
	case "sort":
		list := []string{}
		for _, v := range question[1].([]any) {
			list = append(list, v.(string))
		}
		semver.Sort(list)
		return list
	case "pseudo":
		return pseudo(text(1))
	case "makePseudo":
		when := time.Unix(int64(question[3].(float64)), 0)
		return module.PseudoVersion(text(1), text(2), when, text(4))
	case "match":
		matched, err := path.Match(text(1), text(2))
		_, malformed := path.Match(text(1), "")
		return []bool{matched && err == nil, malformed != nil}
	case "matchPrefix":
		return module.MatchPrefixPatterns(text(1), text(2))
	case "info":
		return info(text(1))
	case "goMod":
		return goMod(text(1))
	case "syntheticGoMod":
		return fmt.Sprintf("module %s\n", modfile.AutoQuote(text(1)))
	case "hash":
		return hash(question[1].([]any))
	case "goModHash":
		h, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader([]byte(text(1)))), nil
		})
		return orNull(h, err)
	case "zip":
		return orNull(checkZip(module.Version{Path: text(1), Version: text(2)}, text(3)))
	case "runes":
		return runes(rune(question[1].(float64)), rune(question[2].(float64)))
	}
	log.Fatalf("unknown operation %q", text(0))
	return nil
}

func orNull(s string, err error) any {
	if err != nil {
		return nil
	}
	return s
}

func pseudo(v string) any {
	when := any(nil)
	if t, err := module.PseudoVersionTime(v); err == nil {
		when = t.UTC().Format(time.RFC3339)
	}
	rev := orNull(module.PseudoVersionRev(v))
	return []any{module.IsPseudoVersion(v), when, rev, orNull(module.PseudoVersionBase(v))}
}

// origin has the fields of cmd/go/internal/modfetch/codehost.Origin.
type origin struct {
	VCS, URL, Subdir, Hash, TagPrefix, TagSum, Ref, RepoSum string
}

// info decodes the body of an .info into the fields of cmd/go/internal/modfetch.RevInfo.
func info(text string) any {
	var i struct {
		Version string
		Time    time.Time
		Name    string `json:"-"`
		Short   string `json:"-"`
		Origin  *origin
	}
	if err := json.Unmarshal([]byte(text), &i); err != nil {
		return nil
	}
	// The go command writes it into its cache.
	if _, err := json.Marshal(i); err != nil {
		return nil
	}
	hash := ""
	if i.Origin != nil {
		hash = i.Origin.Hash
	}
	return []any{i.Version, i.Time.Unix(), hash}
}

// goMod tells what a lax parse finds.
func goMod(text string) any {
	f, err := modfile.ParseLax("go.mod", []byte(text), nil)
	if err != nil || f.Module == nil || f.Module.Mod.Path == "" {
		return nil
	}
	goVersion := ""
	if f.Go != nil {
		goVersion = f.Go.Version
	}
	retract := [][]string{}
	for _, r := range f.Retract {
		retract = append(retract, []string{r.Low, r.High, r.Rationale})
	}
	return []any{f.Module.Mod.Path, goVersion, f.Module.Deprecated, retract}
}

// hash takes pairs of name and content.
func hash(pairs []any) any {
	contents := map[string]string{}
	names := []string{}
	for _, p := range pairs {
		pair := p.([]any)
		contents[pair[0].(string)] = pair[1].(string)
		names = append(names, pair[0].(string))
	}
	return orNull(dirhash.Hash1(names, func(name string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader([]byte(contents[name]))), nil
	}))
}

// checkZip returns the h1 of an archive if it passes everything that the go command asks of it.
func checkZip(m module.Version, archive string) (string, error) {
	data, err := base64.StdEncoding.DecodeString(archive)
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "oracle")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "m.zip")
	if err := os.WriteFile(file, data, 0o666); err != nil {
		log.Fatal(err)
	}
	checked, err := zip.CheckZip(m, file)
	if err == nil {
		err = checked.Err()
	}
	if err == nil {
		err = zip.Unzip(filepath.Join(dir, "out"), m, file)
	}
	if err != nil {
		return "", err
	}
	return dirhash.HashZip(file, dirhash.Hash1)
}

// runes tells for each code point whether this Unicode version has it and whether it is a letter,
// as strings of 0 and 1, and the smallest member of each case family of more than one.
func runes(from, to rune) any {
	var assigned, letters bytes.Buffer
	folds := [][2]rune{}
	bit := map[bool]byte{false: '0', true: '1'}
	for r := from; r < to; r++ {
		assigned.WriteByte(bit[unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.Cc, unicode.Cf, unicode.Co)])
		letters.WriteByte(bit[unicode.IsLetter(r)])
		smallest := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			smallest = min(smallest, f)
		}
		if unicode.SimpleFold(r) != r {
			folds = append(folds, [2]rune{r, smallest})
		}
	}
	return []any{assigned.String(), letters.String(), folds}
}
