package report_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

func dialError(errno syscall.Errno) error {
	return &net.OpError{
		Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5000}, Err: os.NewSyscallError("connect", errno),
	}
}

func TestCauseOf(t *testing.T) {
	image := ref(t, "harbor.corp/app:1")
	code := func(code string) report.Cause { return report.Cause{Code: code} }
	for _, test := range []struct {
		name string
		err  error
		want report.Cause
	}{
		{"refused", dialError(syscall.ECONNREFUSED), code(report.CodeConnectionRefused)},
		{"no route", dialError(syscall.EHOSTUNREACH), code(report.CodeUnreachable)},
		{"reset", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, code(report.CodeConnectionClosed)},
		{"closed in an answer", fmt.Errorf("read: %w", io.ErrUnexpectedEOF), code(report.CodeConnectionClosed)},
		{"closed before an answer", io.EOF, code(report.CodeConnectionClosed)},
		{"unknown host", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}, code(report.CodeUnknownHost)},
		{"no answer of a name server", &net.DNSError{Err: "i/o timeout", Name: "x", IsTimeout: true}, code(report.CodeTimeout)},
		// The host may exist: the text tells what happened.
		{"broken name server", &net.DNSError{Err: "server misbehaving", Name: "x", IsTemporary: true}, report.Cause{}},
		{"timeout of a connection", &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, code(report.CodeTimeout)},
		{"timeout", fmt.Errorf("wait: %w", context.DeadlineExceeded), code(report.CodeTimeout)},
		{"unknown authority", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, code(report.CodeCertificate)},
		{"certificate of another name", x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"}, code(report.CodeCertificate)},
		{"no TLS", fmt.Errorf("x speaks http: %w", tls.RecordHeaderError{Msg: "no"}), code(report.CodeNotTLS)},
		{"disk full", &fs.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}, code(report.CodeNoSpace)},
		{"quota of a disk", &fs.PathError{Op: "write", Path: "/x", Err: syscall.EDQUOT}, code(report.CodeNoSpace)},
		{"disk that cannot be written to", &fs.PathError{Op: "open", Path: "/x", Err: syscall.EROFS}, code(report.CodeReadOnly)},
		{"file of another user", &os.LinkError{Op: "rename", Old: "/x", New: "/y", Err: syscall.EACCES}, code(report.CodeReadOnly)},
		// A firewall on this machine, which has nothing to do with a disk.
		{"connection that is not permitted", dialError(syscall.EPERM), report.Cause{}},
		{"platform", fmt.Errorf("plan: %w", transfer.ErrNoPlatform), code(report.CodeNoPlatform)},
		{"not found", content.ErrNotFound, code(report.CodeNotFound)},
		{"not logged in", content.ErrUnauthorized, code(report.CodeUnauthorized)},
		{"no permission", content.ErrDenied, code(report.CodeDenied)},
		{"other content", &content.MismatchError{}, code(report.CodeMismatch)},
		{"interrupted", fmt.Errorf("read: %w", context.Canceled), code(report.CodeInterrupted)},
		{"deferred", &transfer.DeferredError{Reason: "the run is ending"}, code(report.CodeDeferred)},
		{"unknown", errors.New("it failed"), report.Cause{}},
		// The registry's words win, and a host that a request was redirected to.
		{"answer", fmt.Errorf("push: %w", errDenied), report.Cause{Host: "auth.harbor.corp", Status: 403, Code: "DENIED"}},
		{"answer at a side", atDestination(image, errDenied), report.Cause{Side: transfer.SideDestination, Host: "auth.harbor.corp", Status: 403, Code: "DENIED"}},
		{
			"answer without a code", atSource(image, &answerError{"ghcr.io", 404, "", "404 Not Found"}),
			report.Cause{Side: transfer.SideSource, Host: "ghcr.io", Status: 404},
		},
		{"host of an image", atSource(image, dialError(syscall.ECONNREFUSED)), report.Cause{Side: transfer.SideSource, Host: "harbor.corp", Code: report.CodeConnectionRefused}},
		{"layout", atDestination(ref(t, "oci:/x:1"), syscall.ENOSPC), report.Cause{Side: transfer.SideDestination, Code: report.CodeNoSpace}},
		{
			"signature", &transfer.ReferrersError{Tagged: true, Count: 1, Err: atSource(image, content.ErrNotFound)},
			report.Cause{Side: transfer.SideSource, Host: "harbor.corp", Code: report.CodeNotFound},
		},
	} {
		if got := report.CauseOf(test.err); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

// The errors of a real connection, of which other systems and later versions of Go may make others.
func TestCauseOfAConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", closed)
	p := report.NewProblem(atDestination(ref(t, closed+"/app:1"), err), nil)
	want := report.Cause{Side: transfer.SideDestination, Host: closed, Code: report.CodeConnectionRefused}
	if p.Cause != want || p.Address != closed {
		t.Errorf("got %+v at %q, want %+v at %q", p.Cause, p.Address, want, closed)
	}
}

func TestNewProblem(t *testing.T) {
	if got := report.NewProblem(nil, hintFor); got != nil {
		t.Errorf("of no error: %+v", got)
	}
	err := fmt.Errorf("copy: %w", atDestination(ref(t, "harbor.corp/app:1"), errDenied))
	want := report.Problem{
		Cause:   report.Cause{Side: transfer.SideDestination, Host: errDenied.host, Status: errDenied.status, Code: errDenied.code},
		URL:     errDenied.RequestURL(),
		Message: err.Error(), Reason: errDenied.reason, Hint: hintFor(errDenied),
	}
	if got := report.NewProblem(err, hintFor); *got != want || got.Hint == "" {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	// An error that says nothing of itself has no reason but its message, and none is repeated.
	if got := report.NewProblem(errors.New("it failed"), nil); *got != (report.Problem{Message: "it failed"}) {
		t.Errorf("got %+v", *got)
	}
}

func TestStatusText(t *testing.T) {
	for status, want := range map[int]string{0: "", 403: "403 Forbidden"} {
		if got := (report.Cause{Status: status}).StatusText(); got != want {
			t.Errorf("%d: got %q, want %q", status, got, want)
		}
	}
}

// An image may have 10,000 platforms with names of any length: a message that listed them had 4.5 MB.
func TestShorten(t *testing.T) {
	const limit = 4096 // bytes
	for _, test := range []struct {
		in   string
		kept int // bytes
	}{
		{"a\nb", 3},
		{strings.Repeat("x", limit), limit},
		{strings.Repeat("x", limit+1), limit},
		{"x" + strings.Repeat("镜", 2000), 1 + 1365*len("镜")}, // no character is cut
		{strings.Repeat("\x80", 5000), limit - utf8.UTFMax},  // and what has none is cut all the same
	} {
		got := report.Shorten(test.in)
		rest, ok := strings.CutPrefix(got, test.in[:test.kept])
		if left := len(test.in) - test.kept; !ok || left == 0 && rest != "" || left > 0 && !strings.Contains(rest, fmt.Sprint(left)) {
			t.Errorf("%d bytes: got %d, which end in %q; want %d kept", len(test.in), len(got), got[max(0, len(got)-40):], test.kept)
		}
	}
	long := errors.New(strings.Repeat("x", 5<<20))
	r := report.New("copy", time.Time{}, report.Options{})
	job := jobOf(t, "", "nginx:1", "harbor.corp/nginx:1")
	r.Add(resultOf(job, transfer.DestinationResult{Err: long}))
	if got := len(r.Items[0].Destinations[0].Error.Message); got > 2*limit {
		t.Errorf("the document has a message of %d bytes", got)
	}
}

// What a run that ended has not finished is told by the last failure, whatever that was, and not by the end of the run.
func TestCauseOfAnInterruptedItem(t *testing.T) {
	for code, cause := range map[string]error{
		report.CodeConnectionRefused: syscall.ECONNREFUSED,
		report.CodeUnknownHost:       &net.DNSError{Err: "no such host", Name: "harbor.corp", IsNotFound: true},
		report.CodeCertificate:       x509.UnknownAuthorityError{},
		report.CodeTimeout:           os.ErrDeadlineExceeded,
	} {
		for _, ended := range []error{context.Canceled, &transfer.DeferredError{Reason: "the run is ending"}} {
			failed := atDestination(ref(t, "harbor.corp/app:1"), cause)
			side, ok := errors.AsType[*transfer.Error](failed)
			if !ok {
				t.Fatalf("%v has no side", failed)
			}
			got := report.CauseOf(&transfer.InterruptedError{Err: side, Ended: ended})
			if got.Code != code || got.Host != "harbor.corp" || got.Side != transfer.SideDestination {
				t.Errorf("%v, then %v: got %+v, want %s", cause, ended, got, code)
			}
		}
	}
}
