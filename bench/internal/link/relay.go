package link

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
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

// relay is one direction of a connection.
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
	way := newFlight(r.window())
	var arrival error
	var writer sync.WaitGroup
	writer.Go(func() {
		if arrival = way.land(r.to); arrival != nil {
			way.stop()
			r.from.Close() // ends the read
		}
	})
	departure := r.depart(way)
	way.finish()
	writer.Wait()
	return errors.Join(departure, arrival)
}

// window is how many bytes may be on their way.
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

// depart reads bytes and puts them on their way.
func (r *relay) depart(way *flight) error {
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
			if !way.put(parcel{buffer[:n], left.Add(r.conditions.RoundTrip / 2)}) {
				return nil // land has the error
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

// readyAt is when bytes could be sent that were asked for and read at these times, if those before them left at another. If a whole piece
// was there already, the sender is faster than the line, and it may make up for a timer that was late. A line that was idle saves nothing up.
func readyAt(asked, read, left time.Time, whole bool) time.Time {
	if whole && read.Sub(asked) < atOnce {
		read = read.Add(-late)
	}
	if read.Before(left) {
		return left
	}
	return read
}

// parcel is bytes and when they arrive.
type parcel struct {
	bytes []byte
	at    time.Time
}

// flight is what is on its way in one direction, in order.
type flight struct {
	parcels chan parcel
	stopped chan struct{} // closed when nothing lands any more

	mu   sync.Mutex
	room sync.Cond // on mu: free has grown, or it is over
	free int       // bytes that may still be put on their way
	over bool
}

func newFlight(window int) *flight {
	f := &flight{parcels: make(chan parcel, 1+window/512), stopped: make(chan struct{}), free: window}
	f.room.L = &f.mu
	return f
}

// put waits until there is room for a parcel. It reports whether the parcel is on its way.
func (f *flight) put(p parcel) bool {
	f.mu.Lock()
	for f.free <= 0 && !f.over {
		f.room.Wait()
	}
	f.free -= len(p.bytes)
	f.mu.Unlock()
	select {
	case f.parcels <- p:
		return true
	case <-f.stopped:
		return false
	}
}

// land writes the parcels when they arrive, until finish.
func (f *flight) land(to io.Writer) error {
	for p := range f.parcels {
		time.Sleep(time.Until(p.at))
		if _, err := to.Write(p.bytes); err != nil {
			return err
		}
		f.mu.Lock()
		f.free += len(p.bytes)
		f.mu.Unlock()
		f.room.Signal()
	}
	return nil
}

// stop says that nothing lands any more.
func (f *flight) stop() {
	close(f.stopped)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	f.room.Broadcast()
}

// finish says that nothing more is put on its way.
func (f *flight) finish() { close(f.parcels) }
