package link

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// piece is how many bytes are read, delayed and written at a time. The line of a link goes from
	// connection to connection after each.
	piece = 16 << 10
	// slack is what a connection holds beside the bytes that are on their way.
	slack = 64 << 10
	// socketBuffer limits what the kernel holds beside that.
	socketBuffer = 256 << 10
)

type relay struct {
	from, to     net.Conn
	message      *message // nil if the bytes are opaque
	refuseMounts bool
	count        func(bytes, body int64)
	link         *pacer // of all connections
	conditions   Conditions
}

// run relays until the sender has closed the connection or one of the two has broken it. Then it calls abort.
func (r *relay) run(abort func()) {
	run := r.pass
	if r.conditions != (Conditions{}) {
		run = r.delay
	}
	if run() != nil {
		abort()
		return
	}
	if half, ok := r.to.(interface{ CloseWrite() error }); ok {
		if half.CloseWrite() == nil {
			return
		}
	}
	abort()
}

// pass relays bytes as fast as they come, and returns nil at their end.
func (r *relay) pass() error {
	buffer := make([]byte, 32<<10)
	for {
		if n := r.message.rest(); n > int64(len(buffer)) {
			passed, err := io.CopyN(r.to, r.from, n)
			r.message.skip(passed)
			r.count(passed, passed)
			if err != nil {
				return end(err)
			}
			continue
		}
		n, err := r.from.Read(buffer)
		r.read(buffer[:n])
		if n > 0 {
			if _, err := r.to.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return end(err)
		}
	}
}

// end is nil for the regular end of a stream.
func end(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// read counts bytes before they are passed on.
func (r *relay) read(bytes []byte) {
	body := int64(len(bytes))
	if r.message != nil {
		body = r.message.read(bytes, r.refuseMounts)
	}
	r.count(int64(len(bytes)), body)
}

// delay relays bytes at the rates of the link, each half a round trip late, and returns nil at their end.
func (r *relay) delay() error {
	for _, c := range []net.Conn{r.from, r.to} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_, _ = tcp.SetReadBuffer(socketBuffer), tcp.SetWriteBuffer(socketBuffer) // they only bound
		}
	}
	window := r.window()
	inTransit := delayed{room: semaphore.NewWeighted(int64(window)), chunks: make(chan chunk, 1+window/512)}
	broken, stop := context.WithCancel(context.Background())
	defer stop()
	var writeErr error
	var writer sync.WaitGroup
	writer.Go(func() {
		if writeErr = inTransit.deliver(r.to); writeErr != nil {
			stop()
			r.from.Close() // ends the read
		}
	})
	readErr := r.receive(broken, inTransit)
	close(inTransit.chunks)
	writer.Wait()
	return errors.Join(readErr, writeErr)
}

func (r *relay) window() int {
	rate := r.conditions.PerConnection
	if total := r.conditions.Total; rate == 0 || total > 0 && total < rate {
		rate = total
	}
	if rate == 0 {
		return 16 << 20 // more than what a fast receiver leaves in half a round trip
	}
	return slack + int(float64(rate)*r.conditions.RoundTrip.Seconds())
}

// receive reads bytes and sends them, until the other side is broken.
func (r *relay) receive(broken context.Context, inTransit delayed) error {
	connection := &pacer{rate: r.conditions.PerConnection}
	left := time.Now().Add(r.conditions.RoundTrip) // the connection has been made
	for {
		buffer := make([]byte, piece)
		asked := time.Now()
		n, err := r.from.Read(buffer)
		r.read(buffer[:n])
		if n > 0 {
			ready := readyAt(asked, time.Now(), left, n == len(buffer))
			left = connection.send(ready, n)
			if all := r.link.send(ready, n); all.After(left) {
				left = all
			}
			if !inTransit.put(broken, chunk{buffer[:n], left.Add(r.conditions.RoundTrip / 2)}) {
				return nil // deliver has the error
			}
			time.Sleep(time.Until(left))
		}
		if err != nil {
			return end(err)
		}
	}
}

// late is how late a timer may be without lowering a rate, and atOnce how long a read takes at most if the bytes were there
// before it.
const (
	late   = 50 * time.Millisecond
	atOnce = 500 * time.Microsecond
)

// readyAt returns when bytes could be sent: asked and read are the times before and after they were read, and left is when the bytes before
// them left. If a whole piece could be read at once, the sender is faster than the line, and may make up for a late timer. An idle
// line accumulates no credit.
func readyAt(asked, read, left time.Time, whole bool) time.Time {
	if whole && read.Sub(asked) < atOnce {
		read = read.Add(-late)
	}
	if read.Before(left) {
		return left
	}
	return read
}

type chunk struct {
	bytes []byte
	at    time.Time
}

// delayed is the bytes in transit in one direction, in order. It is closed after the last chunk.
type delayed struct {
	room   *semaphore.Weighted // for bytes
	chunks chan chunk
}

// put waits until there is room, and adds a chunk. It reports false if ctx ended first.
func (d delayed) put(ctx context.Context, c chunk) bool {
	if d.room.Acquire(ctx, int64(len(c.bytes))) != nil {
		return false
	}
	select {
	case d.chunks <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

// deliver writes chunks when they are due, until all are written.
func (d delayed) deliver(to io.Writer) error {
	for c := range d.chunks {
		time.Sleep(time.Until(c.at))
		if _, err := to.Write(c.bytes); err != nil {
			return err
		}
		d.room.Release(int64(len(c.bytes)))
	}
	return nil
}

// pacer computes when bytes have been sent over a line with a rate.
type pacer struct {
	rate int64 // bytes per second; 0 is unlimited

	mu   sync.Mutex
	free time.Time // when the bytes before have left
}

// send takes the line for n bytes that are ready at a time, and returns when the last one has left.
func (p *pacer) send(ready time.Time, n int) time.Time {
	if p.rate == 0 {
		return ready
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free.Before(ready) {
		p.free = ready
	}
	p.free = p.free.Add(time.Duration(int64(n) * int64(time.Second) / p.rate))
	return p.free
}
