// Command oracle-sumdb answers questions about checksum databases with golang.org/x/mod/sumdb,
// so that tests can compare our own code with it.
//
// It reads one JSON request per line and writes one JSON answer per line, in the same order.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type request struct {
	Op string `json:"op"`

	// A log whose record i is the text "rec i\n".
	Size  int64 `json:"size"`
	Older int64 `json:"older"`
	ID    int64 `json:"id"`

	Height int    `json:"height"`
	Level  int    `json:"level"`
	Index  int64  `json:"index"`
	Width  int    `json:"width"`
	Path   string `json:"path"`

	Key     string    `json:"key"`
	Text    string    `json:"text"`
	URL     string    `json:"url"`
	Modules []version `json:"modules"`
	// Answers that a client has from an earlier run.
	Config map[string]string `json:"config"`
	// Sent with each request of a client, if it is not empty.
	Authorization string `json:"authorization"`

	// A database: records by path@version, how many fillers come first, and the proxy that all
	// other records are made from.
	Records map[string]string `json:"records"`
	Fillers int               `json:"fillers"`
	Origin  string            `json:"origin"`
}

type version struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

type answer struct {
	Error  string            `json:"error,omitempty"`
	Text   string            `json:"text,omitempty"`
	Number int64             `json:"number"`
	Hashes []tlog.Hash       `json:"hashes,omitempty"`
	Bytes  []byte            `json:"bytes,omitempty"`
	Lines  [][]string        `json:"lines,omitempty"`
	Errors []string          `json:"errors,omitempty"`
	Config map[string]string `json:"config,omitempty"`
}

// hashes holds the stored hashes of the test log, as far as they were needed.
type storage struct {
	size   int64
	hashes []tlog.Hash
}

func (s *storage) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(s.hashes)) {
			return nil, fmt.Errorf("no stored hash %d", x)
		}
		out[i] = s.hashes[x]
	}
	return out, nil
}

func (s *storage) grow(size int64) error {
	for ; s.size < size; s.size++ {
		hashes, err := tlog.StoredHashes(s.size, fmt.Appendf(nil, "rec %d\n", s.size), s)
		if err != nil {
			return err
		}
		s.hashes = append(s.hashes, hashes...)
	}
	return nil
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	out := json.NewEncoder(os.Stdout)
	log := new(storage)
	for in.Scan() {
		var req request
		var ans answer
		err := json.Unmarshal(in.Bytes(), &req)
		if err == nil {
			err = handle(log, &req, &ans)
		}
		if err != nil {
			ans = answer{Error: err.Error()}
		}
		if err := out.Encode(&ans); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func handle(log *storage, req *request, ans *answer) (err error) {
	if err := log.grow(req.Size); err != nil {
		return err
	}
	switch req.Op {
	case "tree":
		hash, err := tlog.TreeHash(req.Size, log)
		ans.Hashes, ans.Number = []tlog.Hash{hash}, tlog.StoredHashCount(req.Size)
		return err

	case "proveRecord":
		ans.Hashes, err = tlog.ProveRecord(req.Size, req.ID, log)
		return err

	case "proveTree":
		ans.Hashes, err = tlog.ProveTree(req.Size, req.Older, log)
		return err

	case "storedIndex":
		ans.Number = tlog.StoredHashIndex(req.Level, req.Index)
		tile := tlog.TileForIndex(req.Height, ans.Number)
		ans.Text = tile.Path()
		return nil

	case "tileData":
		tile := tlog.Tile{H: req.Height, L: req.Level, N: req.Index, W: req.Width}
		ans.Bytes, err = tlog.ReadTileData(tile, log)
		ans.Text = tile.Path()
		return err

	case "parseTilePath":
		tile, err := tlog.ParseTilePath(req.Path)
		if err == nil {
			ans.Text = fmt.Sprint(tile.H, tile.L, tile.N, tile.W)
		}
		return err

	case "open":
		verifier, err := note.NewVerifier(req.Key)
		if err != nil {
			return err
		}
		opened, err := note.Open([]byte(req.Text), note.VerifierList(verifier))
		if err == nil {
			ans.Text = opened.Text
		}
		return err

	case "sign":
		signer, err := note.NewSigner(req.Key)
		if err != nil {
			return err
		}
		signed, err := note.Sign(&note.Note{Text: req.Text}, signer)
		ans.Text = string(signed)
		return err

	case "generateKey":
		signerKey, verifierKey, err := note.GenerateKey(nil, req.Text)
		ans.Lines = [][]string{{signerKey, verifierKey}}
		return err

	case "client":
		runClient(req, ans)
		return nil

	case "serveDatabase":
		return serveDatabase(req, ans)

	case "makeCertificate":
		return makeCertificate(ans)
	}
	return fmt.Errorf("unknown op %q", req.Op)
}

// runClient looks modules up one after the other with an empty cache.
func runClient(req *request, ans *answer) {
	ops := &clientOps{url: req.URL, key: req.Key, config: req.Config, authorization: req.Authorization}
	if ops.config == nil {
		ops.config = make(map[string]string)
	}
	client := sumdb.NewClient(ops)
	for _, m := range req.Modules {
		lines, err := client.Lookup(m.Path, m.Version)
		text := ""
		if err != nil {
			text = err.Error()
		}
		ans.Lines = append(ans.Lines, lines)
		ans.Errors = append(ans.Errors, text)
	}
	ans.Config, ans.Number, ans.Text = ops.config, ops.requests, ops.security
}

// clientOps keeps the configuration in memory and no cache at all.
type clientOps struct {
	url, key, authorization string

	mu       sync.Mutex
	config   map[string]string
	requests int64
	security string
}

func (c *clientOps) ReadRemote(path string) ([]byte, error) {
	c.mu.Lock()
	c.requests++
	c.mu.Unlock()
	req, err := http.NewRequest(http.MethodGet, c.url+path, nil)
	if err != nil {
		return nil, err
	}
	if c.authorization != "" {
		req.Header.Set("Authorization", c.authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s: %s", path, resp.Status, body)
	}
	return body, nil
}

func (c *clientOps) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(c.key), nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return []byte(c.config[file]), nil
}

func (c *clientOps) WriteConfig(file string, old, new []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.config[file] != string(old) {
		return sumdb.ErrWriteConflict
	}
	c.config[file] = string(new)
	return nil
}

func (c *clientOps) ReadCache(string) ([]byte, error) { return nil, errors.New("no cache") }

func (c *clientOps) WriteCache(string, []byte) {}

func (c *clientOps) Log(string) {}

func (c *clientOps) SecurityError(msg string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.security = msg
}
