package figures

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/regsync/regsync/e2e/lab"
)

// cutSource: the source alone is cut, each time after another quarter of the blob.
func (b *bench) cutSource(t *testing.T) {
	const layer = 64 << 20
	l := b.line(t)
	image := lab.Image(t, "linux/amd64", lab.Layer(t, 940, layer))
	lab.Push(t, l.origin+"/cut/app:1", image)
	cuts := 0
	l.from.Spoil(func(body lab.Body) (lab.Fault, int64) {
		if body.Length < 1<<20 || cuts == 3 {
			return lab.Whole, 0
		}
		cuts++
		return lab.Break, layer / 4
	})
	lab.NewShell(t, b.regsync).Regsync(t, "copy", l.from.Host+"/cut/app:1", l.to.Host+"/cut/app:1")
	exactly(t, b, "one blob of 64 MiB, the source cut at 25, 50 and 75 %: cuts", cuts, 3)
	aimed(t, b, "… read", times(lab.BlobBytesRead(l.from.Take()), image), 1.01)
	aimed(t, b, "… sent", times(lab.BlobBytesSent(l.to.Take()), image), 1.01)
	wantComplete(t, l.mirror.Host, "cut/app")
}

// badLine: requests are refused and bodies cut at random, on both sides.
func (b *bench) badLine(t *testing.T) {
	storage := lab.NewStorage(t)
	smallImages(storage, "app", 20, 14, 64<<10, 192<<10)
	run := func(spoil bool) (read, sent int64, took time.Duration) {
		l := b.lineFrom(t, storage)
		if spoil {
			for i, side := range []*lab.Proxy{l.from, l.to} {
				random := rand.New(rand.NewPCG(950, uint64(i)))
				side.Spoil(func(body lab.Body) (lab.Fault, int64) {
					if body.Manifest || body.Length < 0 || random.IntN(20) > 0 {
						return lab.Whole, 0
					}
					return lab.Break, random.Int64N(body.Length)
				})
				requests := rand.New(rand.NewPCG(951, uint64(i)))
				side.Refuse(func() int {
					if requests.IntN(20) > 0 {
						return 0
					}
					return []int{http.StatusServiceUnavailable, http.StatusTooManyRequests}[requests.IntN(2)]
				})
			}
		}
		shell := lab.NewShell(t, b.regsync)
		took = shell.Regsync(t, "sync", "-c", mirrorAll(t, shell, storage, l.from.Host, l.to.Host, "")).Elapsed
		arrived := wantTags(t, storage, l.mirror.Host, noTag)
		if spoil {
			exactly(t, b, "280 tags, 5 % of requests answered 503 or 429, 5 % of blobs cut, on both sides: tags that arrive", arrived, 280)
		}
		wantAllComplete(t, storage, l.mirror.Host)
		return lab.BlobBytesRead(l.from.Take()), lab.BlobBytesSent(l.to.Take()), took
	}
	read, sent, took := run(false)
	readAgain, sentAgain, tookLonger := run(true)
	aimed(t, b, "… read, times a run without faults", ratio(readAgain, read), 1.1)
	aimed(t, b, "… sent", ratio(sentAgain, sent), 1.1)
	b.noted("… time; without faults", fmt.Sprint(tookLonger.Round(100*time.Millisecond), "; ", took.Round(100*time.Millisecond)))
}

// flips: one byte of a tenth of the manifests and blobs that are read from the source is another.
func (b *bench) flips(t *testing.T) {
	storage := lab.NewStorage(t)
	smallImages(storage, "app", 10, 14, 16<<10, 64<<10)
	l := b.lineFrom(t, storage)
	random := rand.New(rand.NewPCG(955, 0))
	flipped, inARow := 0, map[string]int{}
	l.from.Spoil(func(body lab.Body) (lab.Fault, int64) {
		// regsync gives up what is wrong three times: one in a thousand would be.
		if random.IntN(10) > 0 || inARow[body.Name] == 2 {
			inARow[body.Name] = 0
			return lab.Whole, 0
		}
		inARow[body.Name]++
		flipped++
		return lab.Flip, random.Int64N(body.Length)
	})
	shell := lab.NewShell(t, b.regsync)
	shell.Regsync(t, "sync", "-c", mirrorAll(t, shell, storage, l.from.Host, l.to.Host, ""))
	exactly(t, b, "10 % of downloads with one byte flipped: tags that arrive", wantTags(t, storage, l.mirror.Host, noTag), 140)
	b.noted("… downloads flipped", flipped)
	wantAllComplete(t, storage, l.mirror.Host)
	exactly(t, b, "… blobs and manifests that arrive wrong", wrong(t, l.mirror), 0)
}

// stall: one body stops for good, while its connection stays open.
func (b *bench) stall(t *testing.T) {
	var took [2]time.Duration
	for i := range took {
		l := b.line(t)
		lab.Push(t, l.origin+"/stalled/app:1", lab.Image(t, "linux/amd64", lab.Layer(t, 960, 16<<20), lab.Layer(t, 961, 16<<20)))
		stalls := 0
		l.from.Spoil(func(body lab.Body) (lab.Fault, int64) {
			if body.Length < 1<<20 || stalls == i {
				return lab.Whole, 0
			}
			stalls++
			return lab.Stall, body.Length / 2
		})
		took[i] = lab.NewShell(t, b.regsync).Regsync(t, "copy", l.from.Host+"/stalled/app:1", l.to.Host+"/stalled/app:1").Elapsed
		wantComplete(t, l.mirror.Host, "stalled/app")
	}
	atMost(t, b, "a source that stalls with the socket open: seconds that it costs", (took[1] - took[0]).Round(100*time.Millisecond).Seconds(), 14)
}

// emptied: the destination is killed amid an upload, and started again with an empty disk.
func (b *bench) emptied(t *testing.T) {
	storage := lab.NewStorage(t)
	smallImages(storage, "app", 4, 10, 512<<10, 2<<20)
	l := b.lineFrom(t, storage)
	l.to.Rate(12e6)
	shell := lab.NewShell(t, b.regsync)
	config := mirrorAll(t, shell, storage, l.from.Host, l.to.Host, "")
	run := shell.Start(t, "", "sync", "-c", config)
	waitFor(t, l.mirror, "*/*/_manifests/tags/*/current/link")
	waitFor(t, l.mirror, "*/*/_uploads/*/data")
	l.mirror.Kill(t)
	if err := os.RemoveAll(filepath.Join(l.mirror.Dir, "docker")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	l.mirror.Start(t)
	ended := run.Wait(t)
	if ended.Code < 0 {
		t.Fatalf("killed by a signal\n%s", ended.Stderr)
	}
	atOnce := wantAllComplete(t, storage, l.mirror.Host)
	b.noted("40 tags, the destination restarted with an empty disk: exit code; tags after that run", fmt.Sprint(ended.Code, "; ", atOnce))
	shell.Regsync(t, "sync", "-c", config)
	exactly(t, b, "… tags after the next run", wantTags(t, storage, l.mirror.Host, noTag), 40)
	wantAllComplete(t, storage, l.mirror.Host)
}

// randomKills: regsync is killed at random moments. What has a tag is complete each time.
func (b *bench) randomKills(t *testing.T) {
	storage := lab.NewStorage(t)
	smallImages(storage, "app", 4, 9, 64<<10, 256<<10) // what arrives early
	smallImages(storage, "large", 1, 4, 8<<20, 16<<20) // what is in flight; fewer than there are write slots
	l := b.lineFrom(t, storage)
	l.to.Rate(8e6)
	shell := lab.NewShell(t, b.regsync)
	config := mirrorAll(t, shell, storage, l.from.Host, l.to.Host, "")
	random := rand.New(rand.NewPCG(970, 0))
	const kills = 10
	killed, complete := 0, []int{}
	for range kills {
		run := shell.Start(t, "", "sync", "-c", config)
		time.Sleep(50*time.Millisecond + time.Duration(random.Int64N(int64(1450*time.Millisecond))))
		run.Signal(t, syscall.SIGKILL)
		if run.Wait(t).Code == -1 {
			killed++
		}
		complete = append(complete, wantAllComplete(t, storage, l.mirror.Host))
	}
	exactly(t, b, "40 tags, killed at 10 random moments: kills amid the run, each tag complete after each", killed, kills)
	b.noted("… tags after each", fmt.Sprint(complete))
	if complete[kills-1] == 0 {
		t.Error("no tag had arrived before the last kill")
	}
	l.to.Rate(0)
	shell.Regsync(t, "sync", "-c", config)
	exactly(t, b, "… tags in the end", wantTags(t, storage, l.mirror.Host, noTag), 40)
	wantAllComplete(t, storage, l.mirror.Host)
	blobs, unique := map[v1.Hash]int64{}, int64(0)
	for _, r := range storage.Repositories {
		maps.Copy(blobs, r.Blobs)
	}
	for _, size := range blobs {
		unique += size
	}
	b.noted("… sent, as a ratio to what there is", ratio(lab.BlobBytesSent(l.to.Take()), unique))
}

// leftover: regsync is killed, but the rest of a body lies in buffers on its way and goes on arriving.
func (b *bench) leftover(t *testing.T) {
	l := b.line(t)
	lab.Push(t, l.origin+"/left/app:1", lab.Image(t, "linux/amd64", lab.Layer(t, 980, 2<<20)))
	l.to.Rate(100e3)
	shell := lab.NewShell(t, b.regsync)
	args := []string{"copy", l.from.Host + "/left/app:1", l.to.Host + "/left/app:1"}
	first := shell.Start(t, "", args...)
	waitFor(t, l.mirror, "*/*/_uploads/*/data")
	time.Sleep(3 * time.Second)
	first.Signal(t, syscall.SIGKILL)
	first.Wait(t)
	second := shell.Start(t, "", args...)
	time.Sleep(2 * time.Second)
	l.to.Rate(1e6)
	if ended := second.Wait(t); ended.Code != 0 {
		t.Errorf("exit code %d\n%s", ended.Code, ended.Stderr)
	}
	exactly(t, b, "killed and started again, while the rest of a body is in buffers on its way: tags that arrive", wantComplete(t, l.mirror.Host, "left/app"), 1)
	aimed(t, b, "… sent", ratio(lab.BlobBytesSent(l.to.Take()), 2<<20), 1.05)
}

// line is a source and a destination, each behind a proxy.
type line struct {
	origin   string // the source itself
	mirror   *lab.Registry
	from, to *lab.Proxy
}

func (b *bench) line(t *testing.T) *line {
	t.Helper()
	return b.lineFrom(t, lab.NewStorage(t))
}

func (b *bench) lineFrom(t *testing.T, storage *lab.Storage) *line {
	t.Helper()
	l := &line{origin: storage.Serve(t, b.registry), mirror: lab.NewRegistry(t, b.registry)}
	l.from, l.to = lab.StartProxy(t, l.origin, 0), lab.StartProxy(t, l.mirror.Host, 0)
	return l
}

// smallImages fills repositories with images of four layers: one that all of them have, one of the
// repository's own, two of the image's own.
func smallImages(s *lab.Storage, name string, repositories, tags int, least, most int64) {
	for n := range repositories {
		r := s.Repository(fmt.Sprintf("line/%s%02d", name, n))
		for i := range tags {
			var layers []v1.Descriptor
			for _, name := range []string{"base of " + name, r.Name, fmt.Sprintf("%s %d", r.Name, i), fmt.Sprintf("%s %d, too", r.Name, i)} {
				layers = append(layers, r.Layer(name, least+int64(crc32.ChecksumIEEE([]byte(name)))%(most-least)))
			}
			r.Tag(fmt.Sprint(i), r.Image("linux/amd64", fmt.Sprintf("%s %d", r.Name, i), layers...))
		}
	}
}

// wantAllComplete wants each tag that a registry has to be complete, and returns how many there are.
func wantAllComplete(t *testing.T, s *lab.Storage, host string) int {
	t.Helper()
	tags := 0
	for _, r := range s.Repositories {
		tags += wantComplete(t, host, r.Name)
	}
	return tags
}

// wantComplete wants the manifest and the blobs of each tag of a repository, with their digests.
func wantComplete(t *testing.T, host, repository string) int {
	t.Helper()
	base := "http://" + host + "/v2/" + repository
	var listed struct {
		Tags []string `json:"tags"`
	}
	if status, text := get(t, base+"/tags/list"); status == http.StatusNotFound {
		return 0
	} else if err := json.Unmarshal(text, &listed); err != nil {
		t.Fatalf("%s: %d %v", base, status, err)
	}
	tags, seen := 0, map[v1.Hash]bool{}
	for _, tag := range listed.Tags {
		status, text := get(t, base+"/manifests/"+tag)
		if status == http.StatusNotFound { // distribution lists a tag before it has written it
			continue
		}
		tags++
		var manifest v1.Manifest
		if err := json.Unmarshal(text, &manifest); status != http.StatusOK || err != nil {
			t.Errorf("%s:%s: %d %v", base, tag, status, err)
			continue
		}
		for _, blob := range append(manifest.Layers, manifest.Config) {
			if seen[blob.Digest] {
				continue
			}
			seen[blob.Digest] = true
			status, text := get(t, base+"/blobs/"+blob.Digest.String())
			if sum := sha256.Sum256(text); status != http.StatusOK || hex.EncodeToString(sum[:]) != blob.Digest.Hex {
				t.Errorf("%s:%s lacks %s: %d, sha256 %x", base, tag, blob.Digest, status, sum)
			}
		}
	}
	return tags
}

func get(t *testing.T, url string) (status int, text []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, text
}

// wrong counts the blobs on a registry's disk that do not have their digest.
func wrong(t *testing.T, r *lab.Registry) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(r.Dir, "docker/registry/v2/blobs/sha256/*/*/data"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no blobs in %s: %v", r.Dir, err)
	}
	count := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(text); !strings.HasSuffix(filepath.Dir(file), hex.EncodeToString(sum[:])) {
			count++
		}
	}
	return count
}

// waitFor waits until a file of a registry's repositories is there, and is not empty.
func waitFor(t *testing.T, r *lab.Registry, pattern string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(r.Dir, "docker/registry/v2/repositories", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err == nil && info.Size() > 0 {
				return
			}
		}
	}
	t.Fatalf("no %s in %s", pattern, r.Dir)
}
