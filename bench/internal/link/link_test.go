package link

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// front starts a link in front of a server until the test ends.
func front(t *testing.T, server *httptest.Server, options Options) *Link {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Start(listener, server.Listener.Addr().String(), options)
	t.Cleanup(l.Close)
	return l
}

func call(t *testing.T, client *http.Client, method, url string, body io.Reader) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLinkCounts(t *testing.T) {
	const large = 300_000
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.Copy(io.Discard, r.Body)
		switch {
		case r.Method == http.MethodHead:
			w.Header().Set("Content-Length", "12345")
		case r.Method == http.MethodGet && r.URL.Path == "/chunked":
			for range 3 {
				_, _ = w.Write(make([]byte, large/3))
				_ = http.NewResponseController(w).Flush()
			}
		case r.Method == http.MethodGet:
			_, _ = w.Write(make([]byte, large))
		case sent != large:
			t.Errorf("%s: %d bytes arrived, want %d", r.Method, sent, large)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer server.Close()
	for name, conditions := range map[string]Conditions{
		"without conditions": {},
		"with a round trip":  {RoundTrip: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			l := front(t, server, Options{})
			l.Set(conditions)
			transport := &http.Transport{}
			client := &http.Client{Transport: transport}
			url := "http://" + l.Host
			call(t, client, http.MethodHead, url, http.NoBody)
			for _, path := range []string{"/", "/chunked"} {
				if got := call(t, client, http.MethodGet, url+path, http.NoBody); len(got) != large {
					t.Errorf("%s: %d bytes, want %d", path, len(got), large)
				}
			}
			call(t, client, http.MethodPut, url, bytes.NewReader(make([]byte, large)))
			call(t, client, http.MethodPatch, url, io.MultiReader(bytes.NewReader(make([]byte, large)))) // chunked
			call(t, client, http.MethodHead, url, http.NoBody)
			transport.CloseIdleConnections()

			c := l.Take()
			if c.BodiesUp != 2*large || c.BodiesDown != 2*large {
				t.Errorf("bodies up %d, down %d, want %d", c.BodiesUp, c.BodiesDown, 2*large)
			}
			if c.BytesUp <= c.BodiesUp || c.BytesUp > c.BodiesUp+10_000 || c.BytesDown <= c.BodiesDown || c.BytesDown > c.BodiesDown+10_000 {
				t.Errorf("all bytes: up %d, down %d", c.BytesUp, c.BytesDown)
			}
			if c.Connections != 1 || c.MostConnections != 1 {
				t.Errorf("%d connections, %d at one time, want 1", c.Connections, c.MostConnections)
			}
			for method, want := range map[string]int{"HEAD": 2, "GET": 2, "PUT": 1, "PATCH": 1} {
				if c.Requests[method] != want {
					t.Errorf("%s: %d, want %d", method, c.Requests[method], want)
				}
			}
			if again := l.Take(); again.BytesUp != 0 || len(again.Requests) != 0 {
				t.Errorf("nothing passed since, but %+v", again)
			}
		})
	}
}

func TestLinkRefusesMounts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Query().Get("mount")+" "+r.URL.Query().Get("from"))
	}))
	defer server.Close()
	for _, test := range []struct {
		options Options
		want    string
	}{
		{Options{}, "sha256:1 team/app"},
		{Options{RefuseMounts: true}, " team/app"},
	} {
		url := "http://" + front(t, server, test.options).Host + "/v2/a/blobs/uploads/?mount=sha256:1&from=team/app"
		if got := call(t, http.DefaultClient, http.MethodPost, url, http.NoBody); got != test.want {
			t.Errorf("%+v: the server saw %q, want %q", test.options, got, test.want)
		}
	}
}

// Heads, chunks and mounts are found however the bytes are cut into reads.
func TestMessagesInPieces(t *testing.T) {
	const stream = "POST /v2/a/blobs/uploads/?mount=sha256:1&from=b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc" +
		"PATCH /x HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\na\r\n0123456789\r\n0\r\nT: 1\r\n\r\n" +
		"GET / HTTP/1.1\r\n\r\n"
	want := strings.Replace(stream, "mount=", "mount-", 1)
	for size := 1; size <= len(stream); size++ {
		var requests []string
		m := &message{start: make(methods, 3).startRequest(func(method string) { requests = append(requests, method) })}
		var body int64
		text := []byte(stream)
		for from := 0; from < len(text); from += size {
			body += m.read(text[from:min(from+size, len(text))], true)
		}
		if got := strings.Join(requests, " "); got != "POST PATCH GET" || body != 18 || string(text) != want {
			t.Fatalf("pieces of %d: requests %s, %d bytes of bodies\n%s", size, got, body, text)
		}
	}
}

func TestPacer(t *testing.T) {
	began := time.Unix(1000, 0)
	p := &pacer{rate: 1_000_000}
	if left := p.send(began, 500_000).Sub(began); left != 500*time.Millisecond {
		t.Errorf("500 kB at 1 MB/s have left after %s", left)
	}
	if left := p.send(began, 500_000).Sub(began); left != time.Second {
		t.Errorf("500 kB after them have left after %s", left)
	}
	if idle := began.Add(time.Hour); p.send(idle, 1_000_000).Sub(idle) != time.Second {
		t.Error("an idle line saves up")
	}
}

func TestReadyAt(t *testing.T) {
	left := time.Unix(1000, 0)
	at := func(ms int) time.Time { return left.Add(time.Duration(ms) * time.Millisecond) }
	for _, test := range []struct {
		name                string
		asked, read, wanted int // milliseconds after left
		whole               bool
	}{
		{"the timer was 2 ms late", 2, 2, 0, true},
		{"the timer was 60 ms late", 60, 60, 10, true},
		{"the timer was late, but so were the bytes", 2, 2, 2, false},
		{"the line was idle", 0, 100, 100, true},
		{"the line is not free yet", -50, -40, 0, true},
	} {
		if got := readyAt(at(test.asked), at(test.read), left, test.whole); !got.Equal(at(test.wanted)) {
			t.Errorf("%s: ready %s after the bytes before, want %d ms", test.name, got.Sub(left), test.wanted)
		}
	}
}

// transfer sends bytes over connections that share a link, and returns when the first and the last byte arrived.
func transfer(t *testing.T, conditions Conditions, connections, bytes int) (first, last time.Duration) {
	t.Helper()
	began := time.Now()
	shared := &pacer{rate: conditions.Total}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range connections {
		sender, in := net.Pipe()
		out, receiver := net.Pipe()
		r := &relay{from: in, to: out, count: func(int64, int64) {}, link: shared, conditions: conditions}
		all.Go(func() { r.run(func() { in.Close(); out.Close() }) })
		all.Go(func() {
			_, _ = sender.Write(make([]byte, bytes))
			sender.Close()
		})
		all.Go(func() {
			_, _ = io.ReadFull(receiver, make([]byte, 1))
			mu.Lock()
			if first == 0 {
				first = time.Since(began)
			}
			mu.Unlock()
			if n, _ := io.Copy(io.Discard, receiver); n != int64(bytes)-1 {
				t.Errorf("%d bytes arrived, want %d", n+1, bytes)
			}
			mu.Lock()
			last = max(last, time.Since(began))
			mu.Unlock()
		})
	}
	all.Wait()
	return first, last
}

func TestDelayAndRates(t *testing.T) {
	line := Conditions{RoundTrip: 100 * time.Millisecond, PerConnection: 5_000_000, Total: 40_000_000}
	for _, test := range []struct {
		name               string
		connections, bytes int
		first, last        time.Duration
	}{
		// One round trip to connect, half of one for the bytes.
		{"one byte", 1, 1, 150 * time.Millisecond, 150 * time.Millisecond},
		{"one connection", 1, 10_000_000, 150 * time.Millisecond, 2150 * time.Millisecond},
		{"8 connections", 8, 5_000_000, 150 * time.Millisecond, 1150 * time.Millisecond},
		{"32 connections share the link", 32, 5_000_000, 150 * time.Millisecond, 4150 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, last := transfer(t, line, test.connections, test.bytes)
				if first < test.first || first > test.first+10*time.Millisecond {
					t.Errorf("the first byte came after %s, want %s", first, test.first)
				}
				if tolerance := test.last / 50; last < test.last-tolerance || last > test.last+tolerance {
					t.Errorf("the last byte came after %s, want %s", last, test.last)
				}
			})
		})
	}
}

// A receiver that does not read stops the sender, after what fits on the way.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conditions := Conditions{RoundTrip: 100 * time.Millisecond, PerConnection: 5_000_000}
		sender, in := net.Pipe()
		out, receiver := net.Pipe()
		r := &relay{from: in, to: out, count: func(int64, int64) {}, link: &pacer{}, conditions: conditions}
		go r.run(func() { in.Close(); out.Close() })
		var sent atomic.Int64
		go func() {
			for {
				n, err := sender.Write(make([]byte, 1000))
				sent.Add(int64(n))
				if err != nil {
					return
				}
			}
		}()
		time.Sleep(time.Minute)
		least := int64(r.window())
		if got, most := sent.Load(), least+2*piece; got < least || got > most {
			t.Errorf("%d bytes were taken, want %d to %d", got, least, most)
		}
		receiver.Close()
		time.Sleep(time.Second)
		if _, err := sender.Write([]byte("x")); err == nil {
			t.Error("the sender does not learn that the receiver is gone")
		}
	})
}
