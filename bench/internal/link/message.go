package link

import (
	"bufio"
	"bytes"
	"net/http"
	"slices"
	"strconv"
)

// message follows the messages of HTTP/1.1 in one direction of a connection, as far as it is needed to tell
// bodies from the rest (RFC 9112, section 6). After bytes that are not HTTP, it counts nothing more.
type message struct {
	// start returns the state after a head, and the length of the body.
	start func(head []byte) (next state, length int64)

	state state
	head  []byte // what was read of a head, of the line with the size of a chunk, or of a trailer
	left  int64  // of the body or chunk
}

type state int

const (
	inHead state = iota
	inBody
	inChunkSize
	inChunk
	afterChunk // the line break after its data
	inTrailer
	untilEnd // of the connection: the body has no length
	notHTTP
)

// longestHead is the size, in bytes, above which a head is not accepted.
const longestHead = 1 << 20

// rest returns how many bytes of a body of known length are still to come; 0 if unknown. The caller may pass them to skip
// instead of read.
func (m *message) rest() int64 {
	if m != nil && m.state == inBody {
		return m.left
	}
	return 0
}

func (m *message) skip(n int64) {
	if m.left -= n; m.left > 0 {
		return
	}
	switch m.state {
	case inBody:
		m.state = inHead
	case inChunk:
		m.state, m.left = afterChunk, 2
	case afterChunk:
		m.state = inChunkSize
	}
}

// read follows p, and returns how many of its bytes belong to bodies. If refuseMounts is set, it changes the
// parameter that asks for a mount, so that the server ignores it.
func (m *message) read(p []byte, refuseMounts bool) (body int64) {
	for len(p) > 0 {
		n, whole := len(p), false
		switch m.state {
		case inHead:
			n, whole = m.upTo(p, "\r\n\r\n")
			if refuseMounts {
				m.disableMount(p[:n])
			}
		case inChunkSize, inTrailer:
			n, whole = m.upTo(p, "\r\n")
		case inBody, inChunk, afterChunk:
			n = int(min(int64(n), m.left))
			if m.state != afterChunk {
				body += int64(n)
			}
			m.skip(int64(n))
		case untilEnd:
			body += int64(n)
		case notHTTP:
		}
		if whole {
			m.begin()
			m.head = m.head[:0]
		}
		p = p[n:]
	}
	return body
}

// upTo adds p to the head, up to an end, and reports whether the head is whole with it. It returns how many bytes
// it took.
func (m *message) upTo(p []byte, end string) (n int, whole bool) {
	before := len(m.head)
	m.head = append(m.head, p...)
	from := max(0, before-len(end)+1)
	i := bytes.Index(m.head[from:], []byte(end))
	if i >= 0 {
		m.head = m.head[:from+i+len(end)]
		return len(m.head) - before, true
	}
	if len(m.head) > longestHead {
		m.state = notHTTP
	}
	return len(p), false
}

func (m *message) begin() {
	switch m.state {
	case inHead:
		m.state, m.left = m.start(m.head)
	case inChunkSize:
		digits, _, _ := bytes.Cut(bytes.TrimSpace(m.head), []byte(";"))
		size, err := strconv.ParseInt(string(digits), 16, 64)
		switch {
		case err != nil || size < 0:
			m.state = notHTTP
		case size == 0:
			m.state = inTrailer
		default:
			m.state, m.left = inChunk, size
		}
	case inTrailer:
		if len(m.head) == len("\r\n") {
			m.state = inHead
		}
	}
}

// disableMount changes mount=DIGEST to mount-DIGEST in the first line of the head, which p is the last part of.
func (m *message) disableMount(p []byte) {
	line, _, _ := bytes.Cut(m.head, []byte("\r\n"))
	if !bytes.HasPrefix(line, []byte("POST ")) {
		return
	}
	const asks = "mount="
	i := bytes.Index(line, []byte(asks))
	if last := i + len(asks) - 1 - (len(m.head) - len(p)); i >= 0 && last >= 0 {
		p[last] = '-'
	}
}

// methods are the methods of the requests of a connection that have no answer yet. Clients do not send more than a few
// requests before the answer to the first.
type methods chan string

// startRequest is the start of requests: it counts them.
func (m methods) startRequest(count func(method string)) func([]byte) (state, int64) {
	return func(head []byte) (state, int64) {
		request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			return notHTTP, 0
		}
		count(request.Method)
		m <- request.Method
		return bodyOf(request.ContentLength, request.TransferEncoding)
	}
}

// startAnswer is the start of answers.
func (m methods) startAnswer(head []byte) (state, int64) {
	if bytes.HasPrefix(head, []byte("HTTP/1.1 1")) { // another answer follows
		return inHead, 0
	}
	request := &http.Request{}
	select {
	case request.Method = <-m:
	default: // the server ends the connection
	}
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), request)
	if err != nil {
		return notHTTP, 0
	}
	answer.Body.Close()
	if answer.Body == http.NoBody {
		return inHead, 0
	}
	return bodyOf(answer.ContentLength, answer.TransferEncoding)
}

func bodyOf(length int64, encodings []string) (state, int64) {
	switch {
	case slices.Contains(encodings, "chunked"):
		return inChunkSize, 0
	case length < 0:
		return untilEnd, 0
	case length == 0:
		return inHead, 0
	}
	return inBody, length
}
