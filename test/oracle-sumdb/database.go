package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
)

// serveDatabase starts golang.org/x/mod's own test server on a free port of the loopback. It runs
// until the program ends.
//
// A module that has a record of its own in the request gets that, whatever it says; the hashes of
// all others are computed from what the origin proxy serves. The log begins with filler records.
func serveDatabase(req *request, ans *answer) error {
	server := sumdb.NewTestServer(req.Key, func(path, version string) ([]byte, error) {
		name := path + "@" + version
		if text, ok := req.Records[name]; ok {
			return []byte(text), nil
		}
		if strings.HasPrefix(path, "filler.test/") {
			return fmt.Appendf(nil, "%s %s h1:%s\n", path, version, req.Text), nil
		}
		return sumLines(req.Origin, path, version)
	})
	for i := range req.Fillers {
		m := module.Version{Path: fmt.Sprintf("filler.test/m%d", i), Version: "v1.0.0"}
		if _, err := server.Lookup(context.Background(), m); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	// The test server panics when it is asked for more than it has; that is for the client to see.
	quiet := &http.Server{Handler: sumdb.NewServer(server), ErrorLog: log.New(io.Discard, "", 0)}
	go quiet.Serve(listener)
	ans.Text = "http://" + listener.Addr().String()
	return nil
}

// sumLines makes the go.sum lines of a module version.
func sumLines(origin, path, version string) ([]byte, error) {
	escapedPath, err := module.EscapePath(path)
	if err != nil {
		return nil, err
	}
	escapedVersion, err := module.EscapeVersion(version)
	if err != nil {
		return nil, err
	}
	base := origin + "/" + escapedPath + "/@v/" + escapedVersion
	zip, err := download(base + ".zip")
	if err != nil {
		return nil, err
	}
	defer os.Remove(zip)
	zipHash, err := dirhash.HashZip(zip, dirhash.Hash1)
	if err != nil {
		return nil, err
	}
	mod, err := download(base + ".mod")
	if err != nil {
		return nil, err
	}
	defer os.Remove(mod)
	modHash, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return os.Open(mod)
	})
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, version, zipHash, path, version, modHash), nil
}

// download saves a body in a temporary file; what is not there does not exist.
func download(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fs.ErrNotExist
	}
	file, err := os.CreateTemp("", "oracle-sumdb-")
	if err != nil {
		return "", err
	}
	defer file.Close()
	_, err = io.Copy(file, resp.Body)
	return file.Name(), err
}
