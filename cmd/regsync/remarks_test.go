package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// talkative answers everything with 404, and then with what nobody has asked for.
func talkative(t *testing.T) (host string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var talking sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		talking.Wait() // who was talked to has ended
	})
	talking.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			talking.Go(func() { talk(connection) })
		}
	})
	return listener.Addr().String()
}

func talk(connection net.Conn) {
	defer connection.Close()
	requests := bufio.NewReader(connection)
	for {
		if _, err := http.ReadRequest(requests); err != nil {
			return
		}
		_, _ = io.WriteString(connection, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"+
			"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
	}
}

// TestRemarksOfLibraries: load balancers end idle connections with an answer that nobody has
// asked for, and net/http logs that. It once was mailed by cron, in spite of --quiet.
func TestRemarksOfLibraries(t *testing.T) {
	host := talkative(t)
	file := filepath.Join(t.TempDir(), "mirror.yaml")
	text := fmt.Sprintf("version: 1\nregistries: {%q: {tls: disabled}}\nsync: [{from: \"%s/app:{1,2,3,4}\", to: oci:mirror}]\n", host, host)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startRegsync(t, "sync", "-c", file, "-q")
	p.wantCode(t, exitFailed)
	for line := range strings.Lines(p.stderr.String()) {
		if !strings.HasPrefix(line, "regsync: ") && !strings.HasPrefix(line, "  ") { // names of tags
			t.Errorf("stderr has %s", line)
		}
	}
}

func TestRemarksAreForDebugging(t *testing.T) {
	for _, debug := range []bool{false, true} {
		var stderr bytes.Buffer
		a := newApp(Environment{Stderr: &stderr})
		a.flags.debug = debug
		if _, err := fmt.Fprint(remarks{&a.output}, "Unsolicited response\n"); err != nil {
			t.Error(err)
		}
		if got := strings.Contains(stderr.String(), `msg="Unsolicited response"`); got != debug {
			t.Errorf("debug %v: stderr is %q", debug, stderr.String())
		}
	}
}
