package main

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/regsync/regsync/internal/registrytest"
)

func TestMain(m *testing.M) {
	_ = os.Setenv("GORACE", raceOptions)
	testscript.Main(m, map[string]func(){"regsync": func() {
		code := runMain()
		keepPeak(os.Getenv(peakVariable))
		os.Exit(code)
	}})
}

// peakVariable names a file that a process writes to how much memory it had at most.
const peakVariable = "REGSYNC_TEST_PEAK"

// keepPeak writes the line VmHWM of this process's status, where the system has one.
func keepPeak(path string) {
	status, err := os.ReadFile("/proc/self/status")
	if path == "" || err != nil {
		return
	}
	for line := range strings.Lines(string(status)) {
		if after, is := strings.CutPrefix(line, "VmHWM:"); is {
			_ = os.WriteFile(path, []byte(strings.TrimSuffix(strings.TrimSpace(after), " kB")), 0o600)
		}
	}
}

// raceOptions let no process sleep for a second before its end, as each does under -race.
const raceOptions = "atexit_sleep_ms=0"

// TestScripts runs the command as a process of its own, against registries in this one.
//
// Every script has a HOME of its own and the registries $A and $B, and these commands:
//
//	code N regsync …           the exit code is N
//	registry NAME OPTION…      one more registry: tls, basic, readonly, slow, referrers, imagesonly,
//	                           hub (2 pulls)
//	image NAME REPO:TAG SEED   an image there, of $DIGEST, $ID and the first layer $LAYER
//	index NAME REPO:TAG SEED   an index for three platforms there, of $DIGEST
//	windows NAME REPO:TAG SEED  an index for three versions of Windows there, of $DIGEST
//	attested NAME REPO:TAG SEED  an index for two platforms with attestations there, of $DIGEST
//	attach NAME REPO           a referrer of the last image or index
//	sign NAME REPO SEED        cosign's tag $SIGNATURE for the last image or index
//	corrupt NAME REPO DIGEST   a blob's bytes are others from now on
//	answer NAME METHOD PATTERN STATUS CODE [MESSAGE]
//	pause NAME METHOD PATTERN SECONDS  the next such request is answered with 429 and Retry-After
//	heal NAME                  it answers as it should again
//	listing NAME PATH FILE     the listing at that path is the file from now on
//	count NAME METHOD PATTERN N
//	sample N COMMAND…          README and the first pages show what was printed, below the Nth such command
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: false,
		RequireUniqueNames:  true,
		Setup:               func(env *testscript.Env) error { return setUp(t, env) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": wantCode,
			"registry": func(ts *testscript.TestScript, _ bool, args []string) {
				startRegistry(t, ts, args[0], args[1:])
			},
			"image": pushImage,
			"index": pushIndex,
			"windows": func(ts *testscript.TestScript, _ bool, args []string) {
				push(ts, args, func(seed uint64) *registrytest.Fixture {
					return registrytest.Platforms(seed, "windows(10.0.17763.6054)/amd64", "windows(10.0.20348.2655)/amd64", "windows(10.0.26100.1742)/amd64")
				})
			},
			"attested": func(ts *testscript.TestScript, _ bool, args []string) {
				push(ts, args, attestedIndex)
			},
			"attach":  attach,
			"sign":    sign,
			"corrupt": corruptBlob,
			"answer":  answerWith,
			"pause": func(ts *testscript.TestScript, _ bool, args []string) {
				fault := registrytest.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {args[3]}}}
				registryNamed(ts, args[0]).FailTimes(1, registrytest.Match(args[1], args[2]), fault)
			},
			"heal": func(ts *testscript.TestScript, _ bool, args []string) {
				registryNamed(ts, args[0]).Heal()
			},
			"listing": replaceListing,
			"count":   wantCount,
			"sample":  wantSample,
		},
	})
}

type worldKey struct{}

// world is what one script has around it.
type world struct {
	registries map[string]*registrytest.Server
	last       *registrytest.Fixture // that image or index put somewhere
}

func worldOf(ts *testscript.TestScript) *world {
	w, ok := ts.Value(worldKey{}).(*world)
	if !ok {
		ts.Fatalf("the script was not set up")
	}
	return w
}

func setUp(t *testing.T, env *testscript.Env) error {
	all := map[string]*registrytest.Server{"A": registrytest.New(t), "B": registrytest.New(t)}
	env.Values[worldKey{}] = &world{registries: all}
	for name, server := range all {
		env.Setenv(name, server.Host())
	}
	home := filepath.Join(env.WorkDir, "home")
	env.Setenv("HOME", home)
	env.Setenv("GORACE", raceOptions)
	env.Setenv("TMPDIR", filepath.Join(env.WorkDir, ".tmp"))
	return os.Mkdir(home, 0o700)
}

func registryNamed(ts *testscript.TestScript, name string) *registrytest.Server {
	server := worldOf(ts).registries[name]
	if server == nil {
		ts.Fatalf("there is no registry %s", name)
	}
	return server
}

func startRegistry(t *testing.T, ts *testscript.TestScript, name string, kinds []string) {
	var options []registrytest.Option
	for _, kind := range kinds {
		switch kind {
		case "tls":
			options = append(options, registrytest.WithTLS())
		case "basic":
			options = append(options, registrytest.WithBasic("me", "secret"))
		case "readonly":
			options = append(options, registrytest.ReadOnly())
		case "referrers":
			options = append(options, registrytest.With(registrytest.ReferrersAPI))
		case "imagesonly":
			options = append(options, registrytest.With(registrytest.ImagesOnly))
		case "slow":
			options = append(options, registrytest.Slow(1000))
		case "hub":
			options = append(options, registrytest.WithPulls(2))
		default:
			ts.Fatalf("there is no kind of registry %q", kind)
		}
	}
	server := registrytest.New(t, options...)
	worldOf(ts).registries[name] = server
	ts.Setenv(name, server.Host())
	if strings.HasPrefix(server.URL(), "https:") {
		ts.Setenv(name+"_CA", server.CAPEM())
	}
}

func wantCode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func pushImage(ts *testscript.TestScript, _ bool, args []string) {
	push(ts, args, func(seed uint64) *registrytest.Fixture {
		return registrytest.Image(registrytest.ImageSpec{Seed: seed})
	})
}

func pushIndex(ts *testscript.TestScript, _ bool, args []string) {
	push(ts, args, func(seed uint64) *registrytest.Fixture {
		return registrytest.Platforms(seed, "linux/amd64", "linux/arm64", "linux/s390x")
	})
}

func attestedIndex(seed uint64) *registrytest.Fixture {
	amd64 := registrytest.Image(registrytest.ImageSpec{Seed: seed, Platform: "linux/amd64"})
	arm64 := registrytest.Image(registrytest.ImageSpec{Seed: seed + 1, Platform: "linux/arm64"})
	return registrytest.Index(registrytest.IndexSpec{}, amd64, arm64, registrytest.Attestation(amd64), registrytest.Attestation(arm64))
}

func push(ts *testscript.TestScript, args []string, build func(seed uint64) *registrytest.Fixture) {
	seed, err := strconv.ParseUint(args[2], 10, 32)
	ts.Check(err)
	repo, tag, _ := strings.Cut(args[1], ":")
	fixture := build(seed)
	registryNamed(ts, args[0]).Push(repo, tag, fixture)
	worldOf(ts).last = fixture
	ts.Setenv("DIGEST", fixture.Digest().String())
	if len(fixture.Layers) > 0 {
		ts.Setenv("ID", fixture.Config.Digest.Encoded())
		ts.Setenv("LAYER", fixture.Layers[0].Digest.String())
	}
}

func attach(ts *testscript.TestScript, _ bool, args []string) {
	registryNamed(ts, args[0]).Push(args[1], "", registrytest.Image(registrytest.ImageSpec{
		ConfigMediaType: "application/vnd.example.signature", Subject: worldOf(ts).last,
	}))
}

func sign(ts *testscript.TestScript, _ bool, args []string) {
	tag := strings.Replace(worldOf(ts).last.Digest().String(), ":", "-", 1) + ".sig"
	seed, err := strconv.ParseUint(args[2], 10, 32)
	ts.Check(err)
	registryNamed(ts, args[0]).Push(args[1], tag, registrytest.Image(registrytest.ImageSpec{Seed: seed}))
	ts.Setenv("SIGNATURE", tag)
}

func corruptBlob(ts *testscript.TestScript, _ bool, args []string) {
	registryNamed(ts, args[0]).CorruptBlob(args[1], digest.Digest(args[2]))
}

func answerWith(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[3])
	ts.Check(err)
	fault := registrytest.Fault{Status: status, Code: args[4], Message: "as the test wants it"}
	if len(args) > 5 {
		fault.Message = args[5]
	}
	matches := registrytest.Match(args[1], args[2])
	registryNamed(ts, args[0]).Fail(func(r *http.Request) *registrytest.Fault {
		if matches(r) {
			return &fault
		}
		return nil
	})
}

func replaceListing(ts *testscript.TestScript, _ bool, args []string) {
	registryNamed(ts, args[0]).ReplaceListing(args[1], "application/json", []byte(ts.ReadFile(args[2])))
}

func wantCount(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[3])
	ts.Check(err)
	if got := registryNamed(ts, args[0]).Count(args[1], args[2]); got != want {
		ts.Fatalf("%s %s: %d requests, want %d", args[1], args[2], got, want)
	}
}
