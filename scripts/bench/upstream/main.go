// Command upstream is the module proxy that every server of the benchmark fetches from.
//
// It asks the real proxy for each address at most once, keeps the answer on disk and replays it
// from then on, with a delay before the first byte and a rate per connection, so that all servers
// meet one and the same source. The first element of a path names the caller; requests are counted
// for each of them. POST /_control?mode=&delayMs=&bytesPerSecond=&reset= changes the behaviour and
// answers with the counts.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const maxRefusalBytes = 4096

// behaviour is how questions are answered at present.
type behaviour struct {
	mode           string // ok, 503 or hang
	delay          time.Duration
	bytesPerSecond int64
}

type refusal struct {
	status int
	text   string
}

type server struct {
	real   string
	folder string

	mu       sync.Mutex
	now      behaviour
	counts   map[string]map[string]int
	flights  map[string]*sync.Mutex
	refusals map[string]refusal
}

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	realProxy := flag.String("real", "", "the proxy to record; empty replays only")
	folder := flag.String("folder", "", "recorded answers")
	flag.Parse()
	s := &server{
		real:     strings.TrimRight(*realProxy, "/"),
		folder:   *folder,
		now:      behaviour{mode: "ok"},
		counts:   map[string]map[string]int{},
		flights:  map[string]*sync.Mutex{},
		refusals: map[string]refusal{},
	}
	http.HandleFunc("/_control", s.control)
	http.HandleFunc("/", s.answer)
	log.Fatal(http.ListenAndServe(*address, nil))
}

func (s *server) control(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	if mode := query.Get("mode"); mode != "" {
		s.now.mode = mode
	}
	if ms, err := strconv.Atoi(query.Get("delayMs")); err == nil {
		s.now.delay = time.Duration(ms) * time.Millisecond
	}
	if rate, err := strconv.ParseInt(query.Get("bytesPerSecond"), 10, 64); err == nil {
		s.now.bytesPerSecond = rate
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.counts)
	if query.Get("reset") != "" {
		s.counts = map[string]map[string]int{}
	}
}

func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	caller, path, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	now := s.count(caller, kindOf(path))
	if now.mode == "hang" {
		<-r.Context().Done()
		return
	}
	time.Sleep(now.delay)
	if now.mode == "503" {
		http.Error(w, "the source is down", http.StatusServiceUnavailable)
		return
	}
	if strings.Contains(path, "..") || strings.HasPrefix(path, "/") {
		http.Error(w, "no such path", http.StatusNotFound)
		return
	}
	file, refused, err := s.find(path)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadGateway)
	case refused != nil:
		http.Error(w, refused.text, refused.status)
	default:
		send(w, r, file, path, now.bytesPerSecond)
	}
}

func (s *server) count(caller, kind string) behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[caller] == nil {
		s.counts[caller] = map[string]int{}
	}
	s.counts[caller][kind]++
	return s.now
}

func kindOf(path string) string {
	if strings.HasPrefix(path, "sumdb/") {
		return "sumdb"
	}
	if dot := strings.LastIndexByte(path, '.'); dot >= 0 {
		switch kind := path[dot+1:]; kind {
		case "info", "mod", "zip":
			return kind
		}
	}
	if at := strings.LastIndexByte(path, '/'); at >= 0 {
		return path[at+1:]
	}
	return "other"
}

func send(w http.ResponseWriter, r *http.Request, name, path string, bytesPerSecond int64) {
	file, err := os.Open(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer file.Close()
	contentType := "text/plain; charset=utf-8"
	switch kindOf(path) {
	case "zip":
		contentType = "application/zip"
	case "info", "@latest":
		contentType = "application/json"
	}
	w.Header().Set("Content-Type", contentType)
	if bytesPerSecond <= 0 || r.Method != http.MethodGet {
		http.ServeContent(w, r, "", time.Time{}, file)
		return
	}
	if info, err := file.Stat(); err == nil {
		w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	}
	// Slices of a fiftieth of a second, by the clock: a late slice does not make all later ones late.
	started := time.Now()
	for slice := 1; ; slice++ {
		if _, err := io.CopyN(w, file, bytesPerSecond/50); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		time.Sleep(time.Until(started.Add(time.Duration(slice) * 20 * time.Millisecond)))
	}
}

// find returns the recorded answer for a path, asking the real proxy when there is none.
func (s *server) find(path string) (string, *refusal, error) {
	s.mu.Lock()
	flight := s.flights[path]
	if flight == nil {
		flight = new(sync.Mutex)
		s.flights[path] = flight
	}
	s.mu.Unlock()

	flight.Lock()
	defer flight.Unlock()
	s.mu.Lock()
	refused, known := s.refusals[path]
	s.mu.Unlock()
	if known {
		return "", &refused, nil
	}
	name := filepath.Join(s.folder, filepath.FromSlash(path))
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		return name, nil, nil
	}
	// Made modules exist nowhere: nobody is asked for them.
	if s.real == "" || strings.HasPrefix(path, "bench.example.com/") {
		return "", &refusal{http.StatusNotFound, "not recorded"}, nil
	}
	return s.record(path, name)
}

func (s *server) record(path, name string) (string, *refusal, error) {
	response, err := http.Get(s.real + "/" + path)
	if err != nil {
		return "", nil, fmt.Errorf("the real proxy cannot be reached")
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxRefusalBytes))
		refused := refusal{response.StatusCode, string(text)}
		// Some proxies say 403 of what they do not have; the protocol's word for it is 404.
		if refused.status == http.StatusForbidden {
			refused.status = http.StatusNotFound
		}
		if refused.status < http.StatusInternalServerError {
			s.mu.Lock()
			s.refusals[path] = refused
			s.mu.Unlock()
		}
		return "", &refused, nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return "", nil, err
	}
	part, err := os.CreateTemp(s.folder, ".part-*")
	if err != nil {
		return "", nil, err
	}
	defer os.Remove(part.Name())
	size, err := io.Copy(part, response.Body)
	if closing := part.Close(); err == nil {
		err = closing
	}
	if err == nil && response.ContentLength >= 0 && size != response.ContentLength {
		err = fmt.Errorf("%d of %d bytes", size, response.ContentLength)
	}
	if err == nil {
		err = os.Chmod(part.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(part.Name(), name)
	}
	return name, nil, err
}
